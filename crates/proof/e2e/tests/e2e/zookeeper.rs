//! ZooKeeper in etcd's place, with a member that is Patroni's: the key is handed over between members of ours, moves to
//! Patroni by a switchover, and comes back when Patroni's host is lost.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{SOON, load, rows_arrive, verdict};
use pgherd_testbed::{AgentProgram, Herd, HerdOptions, ZooKeeper, wait_for};

/// Two servers and Patroni begin at the same time.
const FORMED: Duration = Duration::from_secs(90);
const FAILOVER: Duration = Duration::from_secs(90);

/// Waits until the leader has both others in `/sync`; gives its index.
async fn calm(herd: &Herd) -> Result<usize> {
    let leader = herd.wait_formed(FORMED).await?;
    // As the leader says it: another member may show what its predecessor wrote.
    wait_for("both replicas to be synchronous", FORMED, async || {
        let cluster = herd.members[leader].document("/cluster").await?;
        let synchronous = cluster.to_string().matches("\"sync_standby\"").count();
        ensure!(synchronous == 2, "{cluster}");
        Ok(())
    })
    .await?;
    Ok(leader)
}

async fn switch(herd: &Herd, to: usize, by: &AgentProgram) -> Result<()> {
    let from = calm(herd).await?;
    let (leader, candidate) = (herd.members[from].name(), herd.members[to].name());
    let order = [
        "switchover",
        herd.scope(),
        "--leader",
        leader,
        "--candidate",
        candidate,
    ];
    let said = herd
        .ctl_of(by, &[&order[..], &["--force"]].concat())
        .await?;
    let now = herd.wait_other_leader(from, SOON).await?;
    ensure!(
        now == to,
        "member {now} leads instead of {candidate}: {said}"
    );
    Ok(())
}

async fn story(herd: &mut Herd, patroni: &AgentProgram) -> Result<()> {
    let pgherd = AgentProgram::pgherd()?;
    herd.members[2].install(patroni.clone());
    herd.members[0].start()?;
    herd.wait_leader(FORMED).await?;
    herd.members[1].start()?;
    herd.members[2].start()?;
    herd.wait_formed(FORMED).await?;
    let mut oracle = load(herd).await?;

    switch(herd, 1, &pgherd)
        .await
        .context("between members of ours")?;
    let log = herd.members[1].log();
    ensure!(
        log.contains("took the leader key over"),
        "the key was not handed over: {log}"
    );
    rows_arrive(&oracle, 50).await?;
    switch(herd, 2, patroni).await.context("to Patroni")?;
    rows_arrive(&oracle, 50).await?;
    calm(herd).await?;

    herd.members[2].host().power_off()?;
    let leader = herd.wait_other_leader(2, FAILOVER).await?;
    rows_arrive(&oracle, 50).await?;
    let listed = herd.ctl(&["list"]).await?;
    let name = herd.members[leader].name();
    ensure!(
        listed
            .lines()
            .any(|line| line.contains(name) && line.contains("Leader")),
        "{listed}"
    );
    let audit = verdict(herd, &mut oracle).await?;
    ensure!(
        audit.lost.is_empty(),
        "acknowledged and lost: {:?}",
        audit.lost.first()
    );
    Ok(())
}

#[tokio::test]
async fn members_of_ours_and_patronis_share_zookeeper() -> Result<()> {
    let patroni = AgentProgram::patroni_with("kazoo").filter(|_| ZooKeeper::is_installed());
    let Some(patroni) = patroni else {
        println!(
            "skipped: Patroni or ZooKeeper is not installed (scripts/setup.sh test gets them)"
        );
        return Ok(());
    };
    let options = HerdOptions {
        stores: 0,
        zookeepers: 3,
        ttl: 20,
        retry_timeout: 3,
        synchronous: "on".to_owned(),
        dcs_lines: vec!["synchronous_node_count: 2".to_owned()],
        ..HerdOptions::default()
    };
    let mut herd = Herd::prepare("zookeeper", &options).await?;
    if !herd.bed().can_cut() {
        println!("skipped: hosts that can be powered off are needed");
        return Ok(());
    }
    let outcome = Box::pin(story(&mut herd, &patroni)).await;
    outcome.with_context(|| herd.bed().report())
}
