//! A herd on Consul, one member of which Patroni runs: it forms, the key is handed over to that one, and its host is
//! lost. Synchronous mode, so every acknowledged row must be there at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, SOON, load, rows_arrive, verdict};
use pgherd_testbed::{AgentProgram, Consul, Herd, HerdOptions, Member, consul, wait_for};
use serde_json::{Value, json};

/// initdb and two base backups.
const FORMED: Duration = Duration::from_secs(60);

fn store(herd: &Herd) -> Result<&Consul> {
    herd.consul.as_ref().context("the herd is on Consul")
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

/// The keys are where Patroni has them, each member's on a session of its own, the leader's on that of its member.
async fn keys_hang_on_sessions(herd: &Herd, leader: usize) -> Result<()> {
    let prefix = format!("service/{}", herd.scope());
    let keys = store(herd)?.get(&format!("kv/{prefix}/?recurse")).await?;
    let keys = keys.as_array().context("no keys")?;
    let sessions: BTreeMap<&str, &str> = keys
        .iter()
        .filter_map(|key| Some((key["Key"].as_str()?, key["Session"].as_str()?)))
        .collect();
    ensure!(sessions.len() == herd.members.len() + 1, "{sessions:?}");
    for member in &herd.members {
        let path = format!("{prefix}/members/{}", member.name());
        let id = sessions.get(path.as_str()).context(path)?;
        let session = store(herd)?.get(&format!("session/info/{id}")).await?;
        let session = &session[0];
        let expected = format!("{}-{}", herd.scope(), member.name());
        ensure!(session["Name"] == expected, "{session}");
        ensure!(session["Behavior"] == "delete", "{session}");
        ensure!(session["LockDelay"] == 1_000_000, "{session}");
        let ttl = session["TTL"].as_str().unwrap_or_default();
        ensure!(ttl == "10s" || ttl == "10.0s", "{session}");
    }
    let (leader, own) = (
        format!("{prefix}/leader"),
        format!("{prefix}/members/{}", herd.members[leader].name()),
    );
    ensure!(
        sessions.get(leader.as_str()) == sessions.get(own.as_str()),
        "{sessions:?}"
    );
    Ok(())
}

/// Every member is a service of the cluster's name, tagged with its role, whoever runs it.
async fn services_have_their_roles(herd: &Herd, leader: usize) -> Result<()> {
    let expected: BTreeMap<String, Value> = herd
        .members
        .iter()
        .enumerate()
        .map(|(at, member)| {
            let tags = match at == leader {
                true => json!(["primary", "master"]),
                false => json!(["replica"]),
            };
            let sql = member.sql();
            let id = format!("{}/{}", herd.scope(), member.name());
            (id, json!([tags, sql.ip().to_string(), sql.port()]))
        })
        .collect();
    wait_for("the services to have their roles", SOON, async || {
        let path = format!("catalog/service/{}", herd.scope());
        let services = store(herd)?.get(&path).await?;
        let services = services.as_array().context("no services")?;
        let found: BTreeMap<String, Value> = services
            .iter()
            .map(|service| {
                let id = service["ServiceID"].as_str().unwrap_or_default();
                let (tags, address) = (&service["ServiceTags"], &service["ServiceAddress"]);
                (
                    id.to_owned(),
                    json!([tags, address, service["ServicePort"]]),
                )
            })
            .collect();
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        Ok(())
    })
    .await
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
    let url = format!("consul://{}/service", store(herd)?.endpoints()[0]);
    let listed = herd
        .ctl(&["-d", &url, "list", herd.scope(), "-f", "json"])
        .await?;
    for name in herd.members.iter().map(Member::name) {
        ensure!(listed.contains(name), "{listed}");
    }
    both_synchronous(herd).await?;
    switch(herd, 0, 2).await?;
    keys_hang_on_sessions(herd, 2).await?;
    services_have_their_roles(herd, 2).await?;
    both_synchronous(herd).await?;
    rows_arrive(&oracle, 50).await?;

    let began = oracle.now();
    herd.members[2].host().power_off()?;
    herd.wait_other_leader(2, FAILOVER).await?;
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
async fn a_herd_on_consul_with_a_member_that_patroni_runs() -> Result<()> {
    if consul().is_none() {
        return Ok(());
    }
    let options = HerdOptions {
        consuls: 3,
        ttl: 20,
        retry_timeout: 3,
        synchronous: "on".to_owned(),
        dcs_lines: vec!["synchronous_node_count: 2".to_owned()],
        ..HerdOptions::default()
    };
    // Consul itself is a service called `consul`.
    let mut herd = Herd::prepare("on-consul", &options).await?;
    if !herd.bed().can_cut() {
        println!("skipped: hosts that can be powered off are needed");
        return Ok(());
    }
    match AgentProgram::patroni_with("consul") {
        Some(patroni) => herd.members[2].install(patroni),
        None => println!("without Patroni, which is not installed (scripts/setup.sh test gets it)"),
    }
    let outcome = Box::pin(whole_way(&mut herd)).await;
    outcome.with_context(|| herd.bed().report())
}
