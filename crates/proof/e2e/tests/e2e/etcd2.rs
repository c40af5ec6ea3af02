//! A herd on etcd's old API (section `etcd`), one member of which Patroni runs: it forms, the key is handed over to that one
//! and back, and the leader's host is lost. Synchronous mode, so every acknowledged row must be there at the end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, SOON, load, rows_arrive, verdict};
use pgherd_testbed::{AgentProgram, Herd, HerdOptions, Member, wait_for};

/// initdb and two base backups.
const FORMED: Duration = Duration::from_secs(60);

async fn switch(herd: &Herd, from: usize, to: usize) -> Result<()> {
    let (leader, candidate) = (herd.members[from].name(), herd.members[to].name());
    let order = [
        "switchover",
        herd.scope(),
        "--leader",
        leader,
        "--candidate",
        candidate,
        "--force",
    ];
    let said = herd.ctl(&order).await?;
    let now = herd.wait_other_leader(from, FAILOVER).await?;
    ensure!(now == to, "not {candidate} leads: {said}");
    herd.wait_formed(FAILOVER).await.map(drop)
}

/// Waits until both other members are synchronous, so that either may take over.
async fn both_synchronous(herd: &Herd) -> Result<()> {
    wait_for("both replicas to be synchronous", SOON, async || {
        let cluster = herd.cluster().await?;
        let synchronous = cluster.to_string().matches("\"sync_standby\"").count();
        ensure!(synchronous == 2, "{synchronous}: {cluster}");
        Ok(())
    })
    .await
}

/// The keys are where Patroni has them, those of members and of the leader end by themselves, and there is nothing of the
/// cluster in the other API but what tells members so.
async fn keys_are_in_the_old_api(herd: &Herd, leader: usize) -> Result<()> {
    let prefix = format!("/service/{}", herd.scope());
    let node = herd.etcd.old_node(&format!("{prefix}/leader")).await?;
    ensure!(node["value"] == herd.members[leader].name(), "{node}");
    let members = herd.etcd.old_node(&format!("{prefix}/members")).await?;
    let members = members["nodes"].as_array().context("no members")?;
    ensure!(members.len() == herd.members.len(), "{members:?}");
    for node in members.iter().chain([&node]) {
        let left = node["ttl"].as_i64().unwrap_or_default();
        // Our clocks are known to a second at first, and that is added.
        ensure!((1..=22).contains(&left), "{node}");
    }
    let other = herd.etcd.keys(&format!("{prefix}/")).await?;
    ensure!(other == format!("{prefix}/pgherd_api"), "{other}");
    Ok(())
}

async fn form(herd: &mut Herd) -> Result<()> {
    herd.members[0].start()?;
    herd.wait_leader(FORMED).await?;
    for member in herd.members.iter_mut().skip(1) {
        member.start()?;
    }
    herd.wait_formed(FORMED).await.map(drop)
}

async fn whole_way(herd: &mut Herd) -> Result<()> {
    form(herd).await?;
    let mut oracle = load(herd).await?;
    let url = format!("etcd://{}/service", herd.etcd.endpoints()[0]);
    let list = ["-d", &url, "list", herd.scope(), "-f", "json"];
    let listed = herd.ctl(&list).await?;
    for name in herd.members.iter().map(Member::name) {
        ensure!(listed.contains(name), "{listed}");
    }
    both_synchronous(herd).await?;
    switch(herd, 0, 2).await?;
    keys_are_in_the_old_api(herd, 2).await?;
    both_synchronous(herd).await?;
    rows_arrive(&oracle, 50).await?;
    switch(herd, 2, 0).await?;
    keys_are_in_the_old_api(herd, 0).await?;
    both_synchronous(herd).await?;
    rows_arrive(&oracle, 50).await?;

    let began = oracle.now();
    herd.members[0].host().power_off()?;
    herd.wait_other_leader(0, FAILOVER).await?;
    rows_arrive(&oracle, 50).await?;
    let gap = oracle.longest_gap(began).length();
    let audit = verdict(herd, &mut oracle).await?;
    println!(
        "no acknowledged row for {gap:?}; {} rows",
        audit.acknowledged
    );
    let lost = audit.lost.first();
    ensure!(lost.is_none(), "acknowledged and lost: {lost:?}");
    Ok(())
}

#[tokio::test]
async fn a_herd_on_the_old_api_with_a_member_that_patroni_runs() -> Result<()> {
    let options = HerdOptions {
        old_api: true,
        ttl: 20,
        retry_timeout: 3,
        synchronous: "on".to_owned(),
        dcs_lines: vec!["synchronous_node_count: 2".to_owned()],
        ..HerdOptions::default()
    };
    let mut herd = Herd::prepare("on-etcd2", &options).await?;
    if !herd.bed().can_cut() {
        println!("skipped: hosts that can be powered off are needed");
        return Ok(());
    }
    match AgentProgram::patroni_with("etcd") {
        Some(patroni) => herd.members[2].install(patroni),
        None => println!("without Patroni, which is not installed (scripts/setup.sh test gets it)"),
    }
    let outcome = Box::pin(whole_way(&mut herd)).await;
    outcome.with_context(|| herd.bed().report())
}
