//! A herd on objects of Kubernetes, one member of which Patroni runs: it forms, the key is handed over to that one and back, and
//! the leader's host is lost. Synchronous mode, so every acknowledged row must be there at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, SOON, load, rows_arrive, verdict};
use pgherd_testbed::{AgentProgram, Herd, HerdOptions, KubeApi, Member, wait_for};
use serde_json::{Value, json};

/// initdb and two base backups.
const FORMED: Duration = Duration::from_secs(60);
/// An annotation of ours, which Patroni must leave alone.
const OURS: &str = "pgherd_dr";

fn store(herd: &Herd) -> Result<&KubeApi> {
    herd.kubernetes
        .as_ref()
        .context("the herd is on Kubernetes")
}

async fn switch(herd: &Herd, from: usize, to: usize) -> Result<()> {
    let (leader, candidate) = (herd.members[from].name(), herd.members[to].name());
    let scope = herd.scope();
    let order = [
        "switchover",
        scope,
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

/// Pods have the roles of their members in their labels, and the leader's address is in the Endpoints, whoever leads.
async fn objects_say_who_leads(herd: &Herd, leader: usize) -> Result<()> {
    let members = herd.members.iter().enumerate();
    let expected: BTreeMap<String, Value> = members
        .map(|(at, member)| {
            let role = if at == leader { "primary" } else { "replica" };
            (member.name().to_owned(), role.into())
        })
        .collect();
    let (name, ip) = (
        herd.members[leader].name(),
        herd.members[leader].host().address().to_string(),
    );
    wait_for("the labels to say who leads", SOON, async || {
        let pods = store(herd)?.get("pods").await?;
        let pods = pods["items"].as_array().context("no pods")?;
        let found: BTreeMap<String, Value> = pods
            .iter()
            .map(|pod| {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                (name.to_owned(), pod["metadata"]["labels"]["role"].clone())
            })
            .collect();
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        let endpoints = store(herd)?
            .get(&format!("endpoints/{}", herd.scope()))
            .await?;
        let record = &endpoints["metadata"]["annotations"];
        ensure!(record["leader"] == name, "{record}");
        let addresses = &endpoints["subsets"][0]["addresses"];
        ensure!(addresses[0]["ip"] == ip.as_str(), "{addresses}");
        Ok(())
    })
    .await
}

/// What Patroni has written since left ours where it was.
async fn ours_is_left_alone(herd: &Herd) -> Result<()> {
    let path = format!("endpoints/{}-config", herd.scope());
    let config = store(herd)?.get(&path).await?;
    let annotations = &config["metadata"]["annotations"];
    ensure!(annotations[OURS] == "[]", "{annotations}");
    ensure!(annotations["history"].is_string(), "{annotations}");
    Ok(())
}

async fn form(herd: &mut Herd) -> Result<()> {
    let config = json!({"metadata": {
        "name": format!("{}-config", herd.scope()),
        "labels": {"application": "patroni", "cluster-name": herd.scope()},
        "annotations": {OURS: "[]"},
    }});
    store(herd)?.make("endpoints", &config).await?;
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
    let listed = herd.ctl(&["list", herd.scope(), "-f", "json"]).await?;
    for name in herd.members.iter().map(Member::name) {
        ensure!(listed.contains(name), "{listed}");
    }
    both_synchronous(herd).await?;
    objects_say_who_leads(herd, 0).await?;
    switch(herd, 0, 2).await?;
    objects_say_who_leads(herd, 2).await?;
    both_synchronous(herd).await?;
    switch(herd, 2, 0).await?;
    objects_say_who_leads(herd, 0).await?;
    ours_is_left_alone(herd).await?;
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
async fn a_herd_on_kubernetes_with_a_member_that_patroni_runs() -> Result<()> {
    let options = HerdOptions {
        kubernetes: true,
        ttl: 20,
        retry_timeout: 3,
        synchronous: "on".to_owned(),
        dcs_lines: vec!["synchronous_node_count: 2".to_owned()],
        ..HerdOptions::default()
    };
    let mut herd = Herd::prepare("on-kubernetes", &options).await?;
    if !herd.bed().can_cut() {
        println!("skipped: hosts that can be powered off are needed");
        return Ok(());
    }
    match AgentProgram::patroni() {
        Some(patroni) => herd.members[2].install(patroni),
        None => println!("without Patroni, which is not installed (scripts/setup.sh test gets it)"),
    }
    let outcome = Box::pin(whole_way(&mut herd)).await;
    outcome.with_context(|| herd.bed().report())
}
