//! The primary's host is lost: every process killed, or the link cut.

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{
    FAILOVER, REJOIN, load, newest_history_is_whole, rows_arrive, timeline, verdict, with_herd,
};
use pgherd_testbed::{Cut, HerdOptions, Login, PostgresTools};

#[tokio::test]
async fn another_member_leads_when_every_process_of_the_host_is_killed() -> Result<()> {
    with_herd("host-killed", HerdOptions::default(), async |herd| {
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        let dsn = herd
            .ctl(&["dsn", "-d", "postgres", "-U", "postgres"])
            .await?;
        let replicas = herd
            .ctl(&["dsn", "-r", "replica", "-d", "postgres", "-U", "postgres"])
            .await?;
        ensure!(
            psql(&dsn).await? == herd.members[old].sql().to_string(),
            "{dsn}"
        );
        let began = oracle.now();
        herd.members[old].host().kill_all()?;
        let new = herd.wait_other_leader(old, FAILOVER).await?;
        // The same address, the old primary's host dead: libpq finds the new one, and a replica beside it.
        ensure!(
            psql(&dsn).await? == herd.members[new].sql().to_string(),
            "{dsn}"
        );
        let replica = psql(&replicas).await?;
        ensure!(
            replica != herd.members[new].sql().to_string(),
            "{replicas} leads to the primary"
        );
        rows_arrive(&oracle, 100).await?;
        let gap = oracle.longest_gap(began).length();
        herd.members[old].start()?;
        ensure!(
            herd.wait_formed(REJOIN).await? == new,
            "the leader changed again"
        );
        let audit = verdict(herd, &mut oracle).await?;
        newest_history_is_whole(&audit, timeline(herd).await?)?;
        let (rows, lost) = (audit.acknowledged, audit.lost.len());
        println!("no acknowledged row for {gap:?}; {rows} rows, {lost} lost (asynchronous)");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn no_acknowledged_row_is_lost_in_synchronous_mode() -> Result<()> {
    let options = HerdOptions {
        synchronous: "on".to_owned(),
        ..HerdOptions::default()
    };
    with_herd("host-killed-sync", options, async |herd| {
        let standby = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        pgherd_testbed::wait_for("a synchronous standby", FAILOVER, async || {
            ensure!(
                herd.leader().await?.query(standby).await? == "1",
                "none yet"
            );
            let cluster = herd.cluster().await?;
            ensure!(
                cluster.to_string().contains("sync_standby"),
                "not in the store: {cluster}"
            );
            Ok(())
        })
        .await?;
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        herd.members[old].host().power_off()?;
        herd.wait_other_leader(old, FAILOVER).await?;
        rows_arrive(&oracle, 100).await?;
        herd.members[old].host().power_on()?;
        herd.members[old].start()?;
        let audit = verdict(herd, &mut oracle).await?;
        ensure!(audit.lost.is_empty(), "lost {:?}", audit.lost);
        ensure!(
            audit.lost_direct.is_empty(),
            "lost by a direct client {:?}",
            audit.lost_direct
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_primary_that_is_cut_off_stops_before_another_leads() -> Result<()> {
    with_herd("cut", HerdOptions::default(), async |herd| {
        if !herd.bed().can_cut() {
            return Ok(());
        }
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        // Clients still reach it, so that a second writer would be seen.
        herd.members[old].host().cut(Cut::Peers)?;
        let new = herd.wait_other_leader(old, FAILOVER).await?;
        rows_arrive(&oracle, 100).await?;
        let health = herd.members[old].health("/primary").await;
        ensure!(
            health != Some(200),
            "the old one still says that it is the primary"
        );
        herd.members[old].host().heal()?;
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
async fn an_unplugged_primary_rejoins_when_the_cable_is_back() -> Result<()> {
    with_herd("unplugged", HerdOptions::default(), async |herd| {
        if !herd.bed().can_cut() {
            return Ok(());
        }
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        herd.members[old].host().unplug()?;
        let new = herd.wait_other_leader(old, FAILOVER).await?;
        rows_arrive(&oracle, 100).await?;
        herd.members[old].host().plug()?;
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
async fn a_replica_that_is_cut_off_changes_nothing_for_clients() -> Result<()> {
    with_herd("replica-cut", HerdOptions::default(), async |herd| {
        if !herd.bed().can_cut() {
            return Ok(());
        }
        let mut oracle = load(herd).await?;
        let leader = herd.leader_index().await?;
        let replica = (leader + 1) % herd.members.len();
        herd.members[replica].host().cut(Cut::Everyone)?;
        // Longer than ttl: the store forgets the member, nobody else moves.
        pgherd_testbed::wait_for("its key to expire", FAILOVER, async || {
            let known = herd.cluster_member(herd.members[replica].name()).await;
            ensure!(known.is_err(), "still there");
            Ok(())
        })
        .await?;
        rows_arrive(&oracle, 100).await?;
        herd.members[replica].host().heal()?;
        ensure!(
            herd.wait_formed(REJOIN).await? == leader,
            "the leader changed"
        );
        let audit = verdict(herd, &mut oracle).await?;
        ensure!(
            audit.lost.is_empty() && timeline(herd).await? == 1,
            "{audit:?}"
        );
        Ok(())
    })
    .await
}

/// The server that libpq finds by an address: host and port.
async fn psql(dsn: &str) -> Result<String> {
    let program = PostgresTools::find()?.bin_dir.join("psql");
    let run = tokio::process::Command::new(program)
        .arg(dsn.trim())
        .args([
            "-XAtc",
            "SELECT host(inet_server_addr()) || ':' || inet_server_port()",
        ])
        .env("PGPASSWORD", Login::superuser().password)
        .env("PGCONNECT_TIMEOUT", "5")
        .output();
    let output = tokio::time::timeout(FAILOVER, run)
        .await
        .context("psql never ended")??;
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "psql {dsn}: {wrong}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
