//! The store restarts, or the whole house does.

use anyhow::{Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, load, rows_arrive, timeline, verdict, with_herd};
use pgherd_testbed::{Aim, HerdOptions, Oracle, OracleOptions, wait_for};

#[tokio::test]
async fn a_restart_of_all_of_etcd_moves_nobody() -> Result<()> {
    let options = HerdOptions {
        ttl: 20,
        retry_timeout: 8,
        ..HerdOptions::default()
    };
    with_herd("etcd-restart", options, async |herd| {
        let mut oracle = load(herd).await?;
        let before = (herd.leader_index().await?, timeline(herd).await?);
        herd.etcd.kill_all()?;
        herd.etcd.start_all()?;
        herd.etcd.wait_ready().await?;
        rows_arrive(&oracle, 300).await?;
        herd.wait_formed(REJOIN).await?;
        let after = (herd.leader_index().await?, timeline(herd).await?);
        ensure!(
            before == after,
            "leader and timeline were {before:?}, are {after:?}"
        );
        let audit = verdict(herd, &mut oracle).await?;
        ensure!(audit.lost.is_empty(), "lost {:?}", audit.lost);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn without_a_store_the_primary_stops_and_returns_with_it() -> Result<()> {
    with_herd("etcd-away", HerdOptions::default(), async |herd| {
        let mut oracle = load(herd).await?;
        herd.etcd.kill_all()?;
        wait_for("nobody to call itself the primary", FAILOVER, async || {
            let leader = herd.leader_index().await;
            ensure!(leader.is_err(), "{leader:?} still does");
            Ok(())
        })
        .await?;
        herd.etcd.start_all()?;
        herd.etcd.wait_ready().await?;
        herd.wait_formed(REJOIN).await?;
        rows_arrive(&oracle, 100).await?;
        let audit = verdict(herd, &mut oracle).await?;
        ensure!(audit.lost.is_empty(), "lost {:?}", audit.lost);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_restart_of_everything_at_once_heals_by_itself() -> Result<()> {
    with_herd("everything", HerdOptions::default(), async |herd| {
        let leader = herd.leader().await?;
        let mut oracle = Oracle::prepare(leader.sql()).await?;
        oracle.write(&Aim::Leader(herd.endpoints()), &OracleOptions::default());
        rows_arrive(&oracle, 200).await?;
        oracle.stop().await;
        // Replication is asynchronous here: give every replica the rows first, then none may be lost.
        let behind = "SELECT count(*) FROM pg_stat_replication \
                      WHERE flush_lsn < pg_current_wal_flush_lsn()";
        wait_for("the replicas to catch up", SOON, async || {
            let behind = leader.query(behind).await?;
            ensure!(behind == "0", "{behind} are behind");
            Ok(())
        })
        .await?;

        herd.kill_everything()?;
        herd.etcd.start_all()?;
        for member in &mut herd.members {
            member.start()?;
        }
        herd.wait_formed(REJOIN).await?;
        let audit = oracle.audit(herd.leader().await?.sql()).await?;
        ensure!(
            audit.lost.is_empty() && audit.acknowledged >= 200,
            "{audit:?}"
        );
        Ok(())
    })
    .await
}
