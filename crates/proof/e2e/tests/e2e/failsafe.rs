//! Failsafe mode: the store is away for the leader or for all, and the members' promises keep it the primary.

use std::time::Duration;

use anyhow::{Result, ensure};
use pgherd_e2e::{FAILOVER, Leader, SOON, synchronous, trial, with_herd};
use pgherd_testbed::{Herd, HerdOptions, Oracle, Way, wait_for};

/// Longer than two leases of the herd.
const LONG: Duration = Duration::from_secs(12);

fn failsafe() -> HerdOptions {
    HerdOptions {
        dcs_lines: vec!["failsafe_mode: true".to_owned()],
        ..synchronous()
    }
}

/// Every member knows that all three are listed.
async fn all_are_listed(herd: &Herd) -> Result<()> {
    wait_for("all members in /failsafe", SOON, async || {
        for member in &herd.members {
            let list = member.document("/failsafe").await?;
            let count = list.as_object().map_or(0, serde_json::Map::len);
            ensure!(count == 3, "{} knows {list}", member.name());
        }
        Ok(())
    })
    .await
}

/// Rows are acknowledged all the while, for longer than the lease would last.
async fn rows_go_on(oracle: &Oracle) -> Result<()> {
    let began = oracle.now();
    let mut last = (oracle.acknowledged(), began);
    wait_for("rows for longer than two leases", FAILOVER, async || {
        let (rows, now) = (oracle.acknowledged(), oracle.now());
        if rows > last.0 {
            last = (rows, now);
        }
        ensure!(now.saturating_sub(began) > LONG, "{now:?} since {began:?}");
        Ok(())
    })
    .await?;
    let silence = oracle.now().saturating_sub(last.1);
    ensure!(silence < Duration::from_secs(3), "no row for {silence:?}");
    Ok(())
}

/// Every member tells that failsafe mode is what holds the cluster together.
async fn all_say_so(herd: &Herd) -> Result<()> {
    for member in &herd.members {
        let status = member.status().await?;
        let active = status["failsafe_mode_is_active"] == true;
        ensure!(active, "{} does not say so", member.name());
    }
    Ok(())
}

#[tokio::test]
async fn without_the_store_the_leader_goes_on_while_all_members_promise() -> Result<()> {
    with_herd("failsafe", failsafe(), async |herd| {
        all_are_listed(herd).await?;
        let story = "etcd away, all promise";
        let seen = trial(herd, story, Leader::Stays, async |herd, oracle, old| {
            herd.etcd.kill_all()?;
            rows_go_on(oracle).await?;
            all_say_so(herd).await?;
            let health = herd.members[old].health("/primary").await;
            ensure!(health == Some(200), "/primary says {health:?}");
            herd.etcd.start_all()?;
            herd.etcd.wait_ready().await
        })
        .await?;
        ensure!(
            seen.gap < Duration::from_secs(5),
            "an outage of {:?}",
            seen.gap
        );
        if !herd.bed().can_cut() {
            return Ok(());
        }
        let story = "cut from etcd alone, all promise";
        let seen = trial(herd, story, Leader::Stays, async |herd, oracle, old| {
            let stores = herd.etcd.hosts().to_vec();
            herd.members[old].host().cut_from(&stores, Way::Both)?;
            rows_go_on(oracle).await?;
            herd.members[old].host().heal()
        })
        .await?;
        ensure!(
            seen.gap < Duration::from_secs(5),
            "an outage of {:?}",
            seen.gap
        );
        let story = "etcd away, then a switchover";
        trial(herd, story, Leader::Moves, async |herd, _, old| {
            herd.etcd.kill_all()?;
            wait_for("all to promise", SOON, async || all_say_so(herd).await).await?;
            herd.etcd.start_all()?;
            herd.etcd.wait_ready().await?;
            switch_over(herd).await?;
            herd.wait_other_leader(old, SOON).await.map(drop)
        })
        .await
        .map(drop)
    })
    .await
}

/// Asks until the switchover is done: right after the outage nobody may be synchronous yet.
async fn switch_over(herd: &Herd) -> Result<()> {
    wait_for("the switchover to be done", SOON, async || {
        let said = herd.ctl(&["switchover", "--force"]).await?;
        ensure!(said.contains("Successfully switched over"), "{said}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn one_member_that_does_not_promise_is_enough_to_stop_the_leader() -> Result<()> {
    with_herd("failsafe-veto", failsafe(), async |herd| {
        all_are_listed(herd).await?;
        let story = "etcd away, and a replica's agent";
        trial(herd, story, Leader::Any, async |herd, _, old| {
            let other = (old + 1) % herd.members.len();
            herd.members[other].signal_agent(rustix::process::Signal::KILL)?;
            herd.etcd.kill_all()?;
            wait_for("nobody to call itself the primary", FAILOVER, async || {
                let leader = herd.leader_index().await;
                ensure!(leader.is_err(), "{leader:?} still does");
                Ok(())
            })
            .await?;
            herd.etcd.start_all()?;
            herd.members[other].start()?;
            herd.etcd.wait_ready().await
        })
        .await
        .map(drop)
    })
    .await
}
