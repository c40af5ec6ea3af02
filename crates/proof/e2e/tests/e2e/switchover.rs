//! Planned changes of the leader: named candidate, any candidate, a manual failover in pause.

use anyhow::{Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, load, rows_arrive, verdict, with_herd};
use pgherd_testbed::{Herd, HerdOptions, Way, wait_for};

/// Switches over under load; returns the new leader's index.
async fn switch(herd: &Herd, candidate: Option<&str>) -> Result<usize> {
    let mut oracle = load(herd).await?;
    let old = herd.leader_index().await?;
    let began = oracle.now();
    let mut command = vec![
        "switchover",
        "--leader",
        herd.members[old].name(),
        "--force",
    ];
    command.extend(candidate.into_iter().flat_map(|name| ["--candidate", name]));
    let said = herd.ctl(&command).await?;
    ensure!(said.contains("Successfully switched over to"), "{said}");
    let new = herd.wait_formed(REJOIN).await?;
    ensure!(new != old, "the leader is the same");
    rows_arrive(&oracle, 100).await?;
    let gap = oracle.longest_gap(began).length();
    let audit = verdict(herd, &mut oracle).await?;
    ensure!(
        audit.lost.is_empty() && audit.lost_direct.is_empty(),
        "a planned change lost {audit:?}"
    );
    println!(
        "no acknowledged row for {gap:?}; {} rows, none lost",
        audit.acknowledged
    );
    Ok(new)
}

#[tokio::test]
async fn a_switchover_to_a_candidate_and_back_loses_nothing() -> Result<()> {
    with_herd("switchover", HerdOptions::default(), async |herd| {
        let first = switch(herd, Some("pg3")).await?;
        ensure!(
            herd.members[first].name() == "pg3",
            "{} leads",
            herd.members[first].name()
        );
        let second = switch(herd, Some("pg1")).await?;
        ensure!(
            herd.members[second].name() == "pg1",
            "{} leads",
            herd.members[second].name()
        );
        let history = herd.ctl(&["history", "-f", "json"]).await?;
        ensure!(
            history.contains("pg3") && history.contains("pg1"),
            "history: {history}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_switchover_without_candidate_picks_a_replica() -> Result<()> {
    with_herd("switchover-any", HerdOptions::default(), async |herd| {
        switch(herd, None).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn in_pause_nothing_moves_until_a_manual_failover() -> Result<()> {
    with_herd("pause", HerdOptions::default(), async |herd| {
        let old = herd.leader_index().await?;
        let said = herd.ctl(&["pause", "--wait"]).await?;
        ensure!(
            said.contains("Success: cluster management is paused"),
            "{said}"
        );
        ensure!(
            herd.cluster().await?["pause"] == true,
            "/cluster does not say so"
        );

        herd.members[old].kill_postmaster()?;
        wait_for(
            "the agent to see that PostgreSQL is down",
            SOON,
            async || {
                let state = herd.members[old].status().await?["state"].clone();
                ensure!(state != "running", "{state}");
                Ok(())
            },
        )
        .await?;
        herd.ctl(&["failover", "--candidate", "pg3", "--force"])
            .await?;
        let new = herd.wait_other_leader(old, FAILOVER).await?;
        ensure!(
            herd.members[new].name() == "pg3",
            "{} leads",
            herd.members[new].name()
        );

        let said = herd.ctl(&["resume", "--wait"]).await?;
        ensure!(
            said.contains("Success: cluster management is resumed"),
            "{said}"
        );
        ensure!(
            herd.wait_formed(REJOIN).await? == new,
            "the leader changed after resume"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_third_member_that_is_cut_off_does_not_hold_a_switchover_up() -> Result<()> {
    with_herd("switch-third", HerdOptions::default(), async |herd| {
        if !herd.bed().can_cut() {
            return Ok(());
        }
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        let (new, third) = ((old + 1) % 3, (old + 2) % 3);
        // PostgreSQL on the leader has no word of the third's end, so a fast stop waits for it.
        let leader = herd.members[old].host().clone();
        herd.members[third].host().cut_from(&[leader], Way::Both)?;
        rows_arrive(&oracle, 50).await?;
        let (from, to) = (herd.members[old].name(), herd.members[new].name());
        let began = oracle.now();
        let order = ["switchover", "--leader", from, "--candidate", to, "--force"];
        let said = herd.ctl(&order).await?;
        ensure!(said.contains("Successfully switched over to"), "{said}");
        rows_arrive(&oracle, 100).await?;
        let gap = oracle.longest_gap(began).length();
        ensure!(gap < SOON, "no acknowledged row for {gap:?}");
        println!("no acknowledged row for {gap:?} with a third member cut off");
        herd.members[third].host().heal()?;
        herd.wait_formed(REJOIN).await?;
        let audit = verdict(herd, &mut oracle).await?;
        ensure!(
            audit.lost.is_empty() && audit.lost_direct.is_empty(),
            "a planned change lost {audit:?}"
        );
        Ok(())
    })
    .await
}
