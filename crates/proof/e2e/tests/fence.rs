//! The fence beside the agent: a primary ends with its lease when the agent can do nothing any more.

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, load, rows_arrive, verdict, with_herd};
use pgherd_testbed::{HerdOptions, Member, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// Process ids of the fences on a member's host.
fn fences(member: &Member) -> Vec<Pid> {
    started_with(member, "fence")
}

/// Process ids of our programs on a member's host that were started with `verb`.
fn started_with(member: &Member, verb: &str) -> Vec<Pid> {
    let is_one = |pid: &i32| {
        let line = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.next().is_some_and(|word| !word.is_empty()) && words.next() == Some(verb.as_bytes())
    };
    let all = member.host().processes().into_iter();
    all.filter(is_one).filter_map(Pid::from_raw).collect()
}

/// What has exited works nowhere, even while its parent, a frozen agent, has not heard of it.
fn runs(pid: Pid) -> bool {
    fs_err::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).is_ok()
}

async fn one_fence(member: &Member) -> Result<Pid> {
    wait_for("one fence", SOON, async || {
        let found = fences(member);
        ensure!(found.len() == 1, "{found:?}");
        found.first().copied().context("none")
    })
    .await
}

#[tokio::test]
async fn a_fence_that_was_killed_is_back_before_the_agent_freezes() -> Result<()> {
    with_herd("fence-killed", HerdOptions::default(), async |herd| {
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        let postmaster = herd.members[old].postmaster()?;
        let first = one_fence(&herd.members[old]).await?;
        kill_process(first, Signal::KILL)?;
        wait_for("another fence", SOON, async || {
            let found = one_fence(&herd.members[old]).await?;
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
        let fence = one_fence(&herd.members[old]).await?;
        herd.members[old].signal_agent(Signal::KILL)?;
        herd.wait_other_leader(old, FAILOVER).await?;
        ensure!(!runs(postmaster), "the old primary runs beside the new one");
        let log = herd.members[old].log();
        ensure!(log.contains("the lease was not renewed in time"), "{log}");
        ensure!(!log.contains("AFTER the end of the lease"), "{log}");
        herd.members[old].start()?;
        herd.wait_formed(REJOIN).await?;
        ensure!(
            one_fence(&herd.members[old]).await? == fence,
            "the fence was not taken over"
        );
        herd.members[old].stop(SOON).await?;
        let left = fences(&herd.members[old]);
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
        let fence = one_fence(&herd.members[old]).await?;
        herd.members[old].signal_agent(Signal::KILL)?;
        kill_process(fence, Signal::KILL)?;
        // Nothing has happened to clients yet, and nothing is left that could start another fence.
        rows_arrive(&oracle, 20).await?;
        ensure!(runs(postmaster), "PostgreSQL ended before its lease");
        herd.wait_other_leader(old, FAILOVER).await?;
        ensure!(!runs(postmaster), "the old primary runs beside the new one");
        let log = herd.members[old].log();
        ensure!(log.contains("neither agent nor fence did it"), "{log}");
        ensure!(!log.contains("AFTER the end of the lease"), "{log}");
        herd.members[old].start()?;
        herd.wait_formed(REJOIN).await?;

        let old = herd.leader_index().await?;
        let member = &herd.members[old];
        let (postmaster, fence) = (member.postmaster()?, one_fence(member).await?);
        let tethers = started_with(member, "tether");
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
