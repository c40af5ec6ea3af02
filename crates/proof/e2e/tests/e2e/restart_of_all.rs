//! The store restarts, or the whole house does.

use anyhow::{Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, load, rows_arrive, timeline, verdict, with_herd};
use pgherd_testbed::{Aim, Herd, HerdOptions, Oracle, OracleOptions, wait_for};

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
        store_is_wiped(herd).await?;
        let audit = oracle.audit(herd.leader().await?.sql()).await?;
        ensure!(
            audit.lost.is_empty() && audit.acknowledged >= 200,
            "{audit:?}"
        );
        Ok(())
    })
    .await
}

/// The store loses every key of the cluster while all agents are away. The primary goes on with its data, and what
/// the store held comes from it. An agent that finds a replica and a cluster without an identity ends, as it should,
/// and is started again as a service manager would.
async fn store_is_wiped(herd: &mut Herd) -> Result<()> {
    let setting = "maximum_lag_on_failover=1234567";
    herd.ctl(&["edit-config", "-s", setting, "--force"]).await?;
    let leader = herd.leader_index().await?;
    let kept = herd.members[leader].data_dir().join("patroni.dynamic.json");
    wait_for("the setting to be kept beside the data", SOON, async || {
        let text = fs_err::read_to_string(&kept)?;
        ensure!(text.contains("1234567"), "{text}");
        Ok(())
    })
    .await?;
    let before = (herd.config().await?, timeline(herd).await?);
    let identity = herd.members[leader].status().await?["database_system_identifier"].clone();
    for member in &mut herd.members {
        member.kill_agent().await?;
    }
    herd.etcd
        .erase(&format!("/service/{}/", herd.scope()))
        .await?;
    for member in &mut herd.members {
        member.start()?;
    }
    let members = &mut herd.members;
    wait_for("all agents to stay", REJOIN, async || {
        let mut answering = 0;
        for member in members.iter_mut() {
            if member.has_ended()? {
                member.start()?;
            } else {
                answering += usize::from(member.health("/health").await == Some(200));
            }
        }
        ensure!(answering == members.len(), "{answering} answer");
        Ok(())
    })
    .await?;
    ensure!(
        herd.wait_formed(REJOIN).await? == leader,
        "a wiped store moved the leader"
    );
    let after = (herd.config().await?, timeline(herd).await?);
    ensure!(before == after, "before {before:?}\nafter {after:?}");
    let initialize = format!("/service/{}/initialize", herd.scope());
    let written = herd.etcd.value(&initialize).await?;
    ensure!(
        identity == written,
        "initialize is {written}, not {identity}"
    );
    Ok(())
}
