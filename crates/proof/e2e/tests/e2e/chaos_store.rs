//! The store is away, loses its leader, or is slow.

use std::time::Duration;

use anyhow::{Result, ensure};
use pgherd_e2e::{
    FAILOVER, Leader, patient, rows_arrive, rows_arrive_for, synchronous, time_passes, trial,
    with_herd,
};
use pgherd_testbed::{BadLine, Herd, Oracle, wait_for};

#[tokio::test]
async fn without_a_store_the_primary_stops_and_nothing_is_lost() -> Result<()> {
    let options = synchronous();
    let ttl = Duration::from_secs(options.ttl.into());
    with_herd("store-away", options, async |herd| {
        trial(herd, "etcd away", Leader::Any, async |herd, oracle, _| {
            herd.etcd.kill_all()?;
            // No lease was renewed after that, so by then the last one has ended.
            time_passes(oracle, ttl).await?;
            let taken = oracle.acknowledged();
            let leader = herd.leader_index().await;
            ensure!(leader.is_err(), "{leader:?} calls itself the primary");
            time_passes(oracle, ttl).await?;
            let rows = oracle.acknowledged() - taken;
            ensure!(rows == 0, "{rows} rows without a lease");
            herd.etcd.start_all()?;
            herd.etcd.wait_ready().await
        })
        .await
        .map(drop)
    })
    .await
}

/// Kills etcd's leader, lets clients write until another leads, and starts the killed one again.
async fn kill_leader(herd: &mut Herd, oracle: &Oracle) -> Result<()> {
    let killed = herd.etcd.kill_leader().await?;
    rows_arrive(oracle, 500).await?;
    wait_for("another leader of etcd", FAILOVER, async || {
        herd.etcd.leader_index().await
    })
    .await?;
    herd.etcd.start_one(killed)?;
    herd.etcd.wait_ready().await
}

#[tokio::test]
async fn an_election_or_a_slow_line_of_the_store_moves_nobody() -> Result<()> {
    with_herd("store-slow", patient(), async |herd| {
        for story in ["etcd's leader killed", "and the next one"] {
            trial(herd, story, Leader::Stays, async |herd, oracle, _| {
                kill_leader(herd, oracle).await
            })
            .await?;
        }
        if !herd.bed().can_cut() {
            return Ok(());
        }
        let slow = BadLine {
            delay: Duration::from_millis(200),
            loss_percent: 5,
        };
        // Longer than a lease, so that one that is not renewed ends.
        trial(herd, "slow etcd", Leader::Stays, async |herd, oracle, _| {
            let lines = herd.etcd.bad_line(slow)?;
            rows_arrive_for(oracle, Duration::from_secs(15)).await?;
            kill_leader(herd, oracle).await?;
            rows_arrive_for(oracle, Duration::from_secs(8)).await?;
            drop(lines);
            Ok(())
        })
        .await
        .map(drop)
    })
    .await
}
