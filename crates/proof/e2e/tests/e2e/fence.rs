//! The fence beside the agent: a primary ends with its lease when the agent can do nothing any more.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, load, rows_arrive, verdict, with_herd};
use pgherd_testbed::{HerdOptions, Member, runs, wait_for};
use rustix::process::{Signal, kill_process};

#[tokio::test]
async fn a_fence_that_was_killed_is_back_before_the_agent_freezes() -> Result<()> {
    with_herd("fence-killed", HerdOptions::default(), async |herd| {
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        let postmaster = herd.members[old].postmaster()?;
        let first = herd.members[old].one_fence().await?;
        kill_process(first, Signal::KILL)?;
        wait_for("another fence", SOON, async || {
            let found = herd.members[old].one_fence().await?;
            ensure!(found != first, "{found:?} is the old one");
            Ok(())
        })
        .await?;
        rows_arrive(&oracle, 100).await?;
        ensure!(
            herd.members[old].postmaster()? == postmaster,
            "PostgreSQL was restarted"
        );
        herd.members[old].signal_agent(Signal::STOP)?;
        herd.wait_other_leader(old, FAILOVER).await?;
        ensure!(!runs(postmaster), "the old primary runs beside the new one");
        let log = herd.members[old].log();
        ensure!(log.contains("the lease was not renewed in time"), "{log}");
        ensure!(!log.contains("AFTER the end of the lease"), "{log}");
        rows_arrive(&oracle, 100).await?;
        herd.members[old].signal_agent(Signal::CONT)?;
        herd.wait_formed(REJOIN).await?;
        verdict(herd, &mut oracle).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn the_fence_of_a_killed_agent_acts_and_the_next_agent_takes_it_over() -> Result<()> {
    with_herd("fence-alone", HerdOptions::default(), async |herd| {
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        let postmaster = herd.members[old].postmaster()?;
        let fence = herd.members[old].one_fence().await?;
        herd.members[old].signal_agent(Signal::KILL)?;
        herd.wait_other_leader(old, FAILOVER).await?;
        ensure!(!runs(postmaster), "the old primary runs beside the new one");
        let log = herd.members[old].log();
        ensure!(log.contains("the lease was not renewed in time"), "{log}");
        ensure!(!log.contains("AFTER the end of the lease"), "{log}");
        herd.members[old].start()?;
        herd.wait_formed(REJOIN).await?;
        ensure!(
            herd.members[old].one_fence().await? == fence,
            "the fence was not taken over"
        );
        herd.members[old].stop(SOON).await?;
        let left = herd.members[old].fences();
        ensure!(left.is_empty(), "{left:?} stayed after an orderly end");
        herd.members[old].start()?;
        herd.wait_formed(REJOIN).await?;
        verdict(herd, &mut oracle).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn agent_and_fence_killed_together_leave_postgresql_its_lease_and_no_more() -> Result<()> {
    with_herd("both-killed", HerdOptions::default(), async |herd| {
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        let postmaster = herd.members[old].postmaster()?;
        let fence = herd.members[old].one_fence().await?;
        herd.members[old].signal_agent(Signal::KILL)?;
        kill_process(fence, Signal::KILL)?;
        // Nothing has happened to clients yet, and nothing is left that could start another fence.
        rows_arrive(&oracle, 20).await?;
        ensure!(runs(postmaster), "PostgreSQL ended before its lease");
        herd.wait_other_leader(old, FAILOVER).await?;
        ensure!(!runs(postmaster), "the old primary runs beside the new one");
        let log = herd.members[old].log();
        ensure!(log.contains("tether: the primary in"), "{log}");
        ensure!(!log.contains("AFTER the end of the lease"), "{log}");
        herd.members[old].start()?;
        herd.wait_formed(REJOIN).await?;

        let old = herd.leader_index().await?;
        let member = &herd.members[old];
        let (postmaster, fence) = (member.postmaster()?, member.one_fence().await?);
        let tethers = member.started_with("tether");
        member.signal_agent(Signal::KILL)?;
        for pid in tethers.iter().chain([&fence]) {
            kill_process(*pid, Signal::KILL)?;
        }
        ensure!(tethers.len() == 1, "{tethers:?}");
        wait_for("PostgreSQL ends with its tether", SOON, async || {
            ensure!(!runs(postmaster), "it runs");
            Ok(())
        })
        .await?;
        herd.wait_other_leader(old, FAILOVER).await?;
        herd.members[old].start()?;
        herd.wait_formed(REJOIN).await?;
        verdict(herd, &mut oracle).await.map(drop)
    })
    .await
}

/// All the places where a deadline file of a data directory may lie.
fn deadline_places(member: &Member) -> Vec<PathBuf> {
    let data_dir = member.data_dir();
    let bytes = data_dir.as_os_str().as_encoded_bytes().iter();
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let name = format!("pgherd-data-{sum:016x}.fence");
    vec![
        data_dir.with_file_name(".pgherd-data.fence"),
        Path::new("/run/pgherd").join(&name),
        std::env::temp_dir().join(format!(".{name}")),
    ]
}

#[tokio::test]
async fn a_member_whose_fence_can_not_start_replicates_and_does_not_lead() -> Result<()> {
    with_herd("no-fence", HerdOptions::default(), async |herd| {
        let leader = herd.leader_index().await?;
        let (bare, other) = ((leader + 1) % 3, (leader + 2) % 3);
        let name = herd.members[bare].name().to_owned();
        herd.members[bare].stop(SOON).await?;
        let places = deadline_places(&herd.members[bare]);
        for place in &places {
            fs_err::create_dir_all(place)?;
        }
        herd.members[bare].start()?;
        wait_for("it says why it may not lead", SOON, async || {
            let said = herd.ctl(&["explain"]).await?;
            ensure!(
                said.contains("no fence guards it: open the deadline file"),
                "{said}"
            );
            let status = herd.members[bare].status().await?;
            ensure!(status["watchdog_failed"] == true, "{status}");
            ensure!(status["fence_failed"].is_string(), "{status}");
            Ok(())
        })
        .await?;
        herd.wait_formed(REJOIN).await?;
        herd.members[leader].stop(SOON).await?;
        let new = herd.wait_other_leader(leader, FAILOVER).await?;
        ensure!(new == other, "{name} leads without a fence");
        for place in &places {
            fs_err::remove_dir(place)?;
        }
        wait_for("it has a fence", SOON, async || {
            let said = herd.ctl(&["explain"]).await?;
            ensure!(!said.contains("no fence guards it"), "{said}");
            Ok(())
        })
        .await?;
        herd.members[leader].start()?;
        herd.wait_formed(REJOIN).await.map(drop)
    })
    .await
}
