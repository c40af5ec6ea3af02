//! The agent and what guards the primary beside it, killed or frozen, one by one and together.

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, Leader, SOON, patient, rows_arrive, synchronous, trial, with_herd};
use pgherd_testbed::{Herd, Member, runs, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// Process id of the tether, the parent of PostgreSQL.
fn tether(member: &Member) -> Result<Pid> {
    let found = member.started_with("tether");
    ensure!(found.len() == 1, "{found:?}");
    found.first().copied().context("no tether")
}

/// Waits for a fence other than `old`.
async fn another_fence(member: &Member, old: Pid) -> Result<()> {
    wait_for("another fence", SOON, async || {
        let found = member.fences();
        ensure!(found.len() == 1 && !found.contains(&old), "{found:?}");
        Ok(())
    })
    .await
}

/// Waits until another leads; not one process of the old primary may work by then.
async fn another_leads(herd: &Herd, old: usize, postmaster: Pid) -> Result<()> {
    herd.wait_other_leader(old, FAILOVER).await?;
    ensure!(!runs(postmaster), "the old primary runs beside the new one");
    let log = herd.members[old].log();
    ensure!(!log.contains("AFTER the end of the lease"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_guard_that_dies_or_freezes_is_replaced_and_moves_nobody() -> Result<()> {
    with_herd("guards", patient(), async |herd| {
        for (story, signal) in [
            ("fence killed", Signal::KILL),
            ("fence frozen", Signal::STOP),
        ] {
            trial(herd, story, Leader::Stays, async |herd, oracle, old| {
                let member = &herd.members[old];
                let (postmaster, fence) = (member.postmaster()?, member.one_fence().await?);
                kill_process(fence, signal)?;
                another_fence(member, fence).await?;
                rows_arrive(oracle, 20).await?;
                ensure!(
                    member.postmaster()? == postmaster,
                    "PostgreSQL was restarted"
                );
                Ok(())
            })
            .await?;
        }
        trial(
            herd,
            "tether frozen",
            Leader::Stays,
            async |herd, oracle, old| {
                let tether = tether(&herd.members[old])?;
                kill_process(tether, Signal::STOP)?;
                rows_arrive(oracle, 500).await?;
                Ok(kill_process(tether, Signal::CONT)?)
            },
        )
        .await?;
        // PostgreSQL ends with it, and is started again in place.
        trial(
            herd,
            "tether killed",
            Leader::Stays,
            async |herd, _, old| {
                let postmaster = herd.members[old].postmaster()?;
                kill_process(tether(&herd.members[old])?, Signal::KILL)?;
                wait_for("PostgreSQL to end with its tether", SOON, async || {
                    ensure!(!runs(postmaster), "it runs");
                    Ok(())
                })
                .await
            },
        )
        .await
        .map(drop)
    })
    .await
}

#[tokio::test]
async fn a_primary_ends_with_its_lease_whichever_guard_is_left() -> Result<()> {
    with_herd("lease-ends", synchronous(), async |herd| {
        trial(herd, "agent killed", Leader::Moves, async |herd, _, old| {
            let postmaster = herd.members[old].postmaster()?;
            herd.members[old].signal_agent(Signal::KILL)?;
            another_leads(herd, old, postmaster).await?;
            herd.members[old].start()
        })
        .await?;
        trial(herd, "agent frozen", Leader::Moves, async |herd, _, old| {
            let postmaster = herd.members[old].postmaster()?;
            herd.members[old].signal_agent(Signal::STOP)?;
            another_leads(herd, old, postmaster).await?;
            herd.members[old].signal_agent(Signal::CONT)
        })
        .await?;
        let story = "agent killed, fence frozen";
        trial(herd, story, Leader::Moves, async |herd, _, old| {
            let fence = herd.members[old].one_fence().await?;
            let postmaster = herd.members[old].postmaster()?;
            kill_process(fence, Signal::STOP)?;
            herd.members[old].signal_agent(Signal::KILL)?;
            another_leads(herd, old, postmaster).await?;
            kill_process(fence, Signal::CONT)?;
            herd.members[old].start()
        })
        .await?;
        let story = "agent and tether frozen";
        trial(herd, story, Leader::Moves, async |herd, _, old| {
            let (postmaster, tether) =
                (herd.members[old].postmaster()?, tether(&herd.members[old])?);
            kill_process(tether, Signal::STOP)?;
            herd.members[old].signal_agent(Signal::STOP)?;
            another_leads(herd, old, postmaster).await?;
            kill_process(tether, Signal::CONT)?;
            herd.members[old].signal_agent(Signal::CONT)
        })
        .await
        .map(drop)
    })
    .await
}
