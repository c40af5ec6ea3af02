//! Processes that die or freeze on a host that lives.

use anyhow::{Result, ensure};
use pgherd_e2e::{
    FAILOVER, REJOIN, load, newest_history_is_whole, rows_arrive, timeline, verdict, with_herd,
};
use pgherd_testbed::HerdOptions;
use rustix::process::Signal;

#[tokio::test]
async fn a_killed_postmaster_is_restarted_in_place() -> Result<()> {
    with_herd("postmaster", HerdOptions::default(), async |herd| {
        let mut oracle = load(herd).await?;
        let before = (herd.leader_index().await?, timeline(herd).await?);
        let began = oracle.now();
        herd.leader().await?.kill_postmaster()?;
        rows_arrive(&oracle, 200).await?;
        let gap = oracle.longest_gap(began).length();
        herd.wait_formed(REJOIN).await?;
        let audit = verdict(herd, &mut oracle).await?;
        ensure!(audit.lost.is_empty(), "lost {:?}", audit.lost);
        let after = (herd.leader_index().await?, timeline(herd).await?);
        ensure!(
            before == after,
            "leader and timeline were {before:?}, are {after:?}"
        );
        println!(
            "no acknowledged row for {gap:?}; {} rows, none lost",
            audit.acknowledged
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_killed_agent_lets_go_of_its_primary_before_another_leads() -> Result<()> {
    with_herd("agent-killed", HerdOptions::default(), async |herd| {
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        herd.members[old].signal_agent(Signal::KILL)?;
        let new = herd.wait_other_leader(old, FAILOVER).await?;
        rows_arrive(&oracle, 100).await?;
        herd.members[old].start()?;
        ensure!(
            herd.wait_formed(REJOIN).await? == new,
            "the leader changed again"
        );
        let audit = verdict(herd, &mut oracle).await?;
        newest_history_is_whole(&audit, timeline(herd).await?)
    })
    .await
}

#[tokio::test]
async fn a_frozen_agent_loses_its_primary_and_comes_back_as_a_replica() -> Result<()> {
    with_herd("agent-frozen", HerdOptions::default(), async |herd| {
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        herd.members[old].signal_agent(Signal::STOP)?;
        let new = herd.wait_other_leader(old, FAILOVER).await?;
        rows_arrive(&oracle, 100).await?;
        herd.members[old].signal_agent(Signal::CONT)?;
        ensure!(
            herd.wait_formed(REJOIN).await? == new,
            "the leader changed again"
        );
        let audit = verdict(herd, &mut oracle).await?;
        newest_history_is_whole(&audit, timeline(herd).await?)
    })
    .await
}

#[tokio::test]
async fn an_agent_that_is_restarted_quickly_keeps_its_postgresql() -> Result<()> {
    let options = HerdOptions {
        ttl: 20,
        ..HerdOptions::default()
    };
    with_herd("agent-restart", options, async |herd| {
        let mut oracle = load(herd).await?;
        let at = herd.leader_index().await?;
        let postmaster = herd.members[at].postmaster()?;
        herd.members[at].signal_agent(Signal::KILL)?;
        herd.members[at].start()?;
        rows_arrive(&oracle, 300).await?;
        ensure!(herd.wait_formed(REJOIN).await? == at, "another leads now");
        ensure!(
            herd.members[at].postmaster()? == postmaster,
            "PostgreSQL was restarted"
        );
        let audit = verdict(herd, &mut oracle).await?;
        ensure!(audit.lost.is_empty(), "lost {:?}", audit.lost);
        Ok(())
    })
    .await
}
