//! PostgreSQL's processes that die or freeze while the agent beside them lives.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{
    FAILOVER, Leader, SOON, patient, rows_arrive, rows_arrive_for, synchronous, time_passes, trial,
    with_herd,
};
use pgherd_testbed::{Herd, Oracle, runs, wait_for};
use rustix::process::{Signal, kill_process};

/// Two turns of an agent, at `loop_wait` 1.
const TURNS: Duration = Duration::from_secs(2);
/// Longer than the herd's lease of 5 s.
const LEASE: Duration = Duration::from_secs(6);

/// SIGKILL to one of the leader's processes; the postmaster starts the others anew.
async fn kill(herd: &mut Herd, what: &str) -> Result<()> {
    trial(herd, what, Leader::Stays, async |herd, _, old| {
        let pid = herd.members[old].server_process(what).await?;
        kill_process(pid, Signal::KILL).with_context(|| format!("{what} is gone already"))
    })
    .await
    .map(drop)
}

/// SIGSTOP to one of the leader's processes, a hundred rows, SIGCONT.
async fn freeze(herd: &mut Herd, what: &str) -> Result<()> {
    let story = format!("{what} frozen");
    trial(herd, &story, Leader::Stays, async |herd, oracle, old| {
        let pid = herd.members[old].server_process(what).await?;
        kill_process(pid, Signal::STOP)?;
        rows_arrive(oracle, 100).await?;
        Ok(kill_process(pid, Signal::CONT)?)
    })
    .await
    .map(drop)
}

/// Waits until no row is acknowledged between two looks.
async fn no_rows(oracle: &Oracle) -> Result<()> {
    let mut before = oracle.acknowledged();
    let mut quiet = 0;
    wait_for("clients to get nothing acknowledged", SOON, async || {
        let now = oracle.acknowledged();
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
        ensure!(quiet >= 10, "rows still arrive");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_process_of_the_primary_that_is_killed_moves_nobody() -> Result<()> {
    with_herd("processes-killed", patient(), async |herd| {
        trial(herd, "postmaster", Leader::Stays, async |herd, _, old| {
            herd.members[old].kill_postmaster()
        })
        .await?;
        for what in ["checkpointer", "walsender", "walwriter", " INSERT"] {
            kill(herd, what).await?;
        }
        trial(herd, "walreceiver", Leader::Stays, async |herd, _, old| {
            let replica = (old + 1) % herd.members.len();
            let pid = herd.members[replica].server_process("walreceiver").await?;
            Ok(kill_process(pid, Signal::KILL)?)
        })
        .await?;
        trial(herd, "startup", Leader::Stays, async |herd, _, old| {
            let replica = (old + 1) % herd.members.len();
            let pid = herd.members[replica].server_process("startup").await?;
            let postmaster = herd.members[replica].postmaster()?;
            kill_process(pid, Signal::KILL)?;
            wait_for("its server to end", SOON, async || {
                ensure!(!runs(postmaster), "it runs");
                Ok(())
            })
            .await
        })
        .await
        .map(drop)
    })
    .await
}

#[tokio::test]
async fn a_process_of_the_primary_that_freezes_moves_nobody() -> Result<()> {
    with_herd("processes-frozen", synchronous(), async |herd| {
        for what in ["checkpointer", "walwriter"] {
            freeze(herd, what).await?;
        }
        trial(
            herd,
            "walsender frozen",
            Leader::Stays,
            async |herd, oracle, old| {
                let walsenders = herd.members[old].servers_own("walsender");
                ensure!(walsenders.len() == 2, "{walsenders:?}");
                for pid in &walsenders {
                    kill_process(*pid, Signal::STOP)?;
                }
                no_rows(oracle).await?;
                for pid in &walsenders {
                    kill_process(*pid, Signal::CONT)?;
                }
                Ok(())
            },
        )
        .await?;
        // What it holds others may wait for, so rows need not arrive meanwhile.
        let story = "a client's backend frozen for two turns";
        trial(herd, story, Leader::Stays, async |herd, oracle, old| {
            let pid = herd.members[old].server_process(" INSERT").await?;
            kill_process(pid, Signal::STOP)?;
            time_passes(oracle, TURNS).await?;
            Ok(kill_process(pid, Signal::CONT)?)
        })
        .await?;
        // Nobody new gets in; who is connected does not notice.
        let story = "postmaster frozen for longer than a lease";
        trial(herd, story, Leader::Stays, async |herd, oracle, old| {
            herd.members[old].signal_postmaster(Signal::STOP)?;
            rows_arrive_for(oracle, LEASE).await?;
            herd.members[old].signal_postmaster(Signal::CONT)
        })
        .await?;
        let story = "postmaster frozen, agent killed";
        trial(herd, story, Leader::Moves, async |herd, _, old| {
            let postmaster = herd.members[old].postmaster()?;
            herd.members[old].signal_postmaster(Signal::STOP)?;
            herd.members[old].signal_agent(Signal::KILL)?;
            herd.wait_other_leader(old, FAILOVER).await?;
            ensure!(!runs(postmaster), "the old primary runs beside the new one");
            herd.members[old].start()
        })
        .await
        .map(drop)
    })
    .await
}
