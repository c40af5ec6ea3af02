//! Two regions, each with an etcd of its own: a standby cluster that follows another one, and the change of regions.

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result, bail, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, rows_arrive};
use pgherd_testbed::{Aim, Herd, HerdOptions, Oracle, OracleOptions, wait_for};

/// Three members and one store each: what two regions of the guide have, on one machine.
fn region() -> HerdOptions {
    HerdOptions {
        stores: 1,
        ..HerdOptions::default()
    }
}

#[tokio::test]
async fn a_region_follows_another_takes_over_without_a_loss_and_is_followed() -> Result<()> {
    let berlin = Herd::start(
        "regions",
        &HerdOptions {
            synchronous: "on".to_owned(),
            ..region()
        },
    )
    .await?;
    let outcome = Box::pin(tell(&berlin)).await;
    outcome.with_context(|| berlin.bed().report())
}

async fn tell(berlin: &Herd) -> Result<()> {
    let hosts: Vec<String> = berlin
        .members
        .iter()
        .map(|member| member.sql().ip().to_string())
        .collect();
    let port = berlin.members[0].sql().port();
    let options = HerdOptions {
        synchronous: "on".to_owned(),
        dcs_lines: vec![format!(
            "standby_cluster: {{host: '{}', port: {port}}}",
            hosts.join(",")
        )],
        ..region()
    };
    let mut paris = Herd::prepare_on(berlin.bed().clone(), "regions", "dr", &options).await?;
    for member in &mut paris.members {
        member.start()?;
    }
    let mut oracle = Oracle::prepare(berlin.leader().await?.sql()).await?;
    let mut all = berlin.endpoints();
    all.extend(paris.endpoints());
    oracle.watch_each(&all);
    oracle.write(&Aim::Leader(all), &OracleOptions::default());
    rows_arrive(&oracle, 50).await?;

    // The first member copied the other region; the others cascade from it.
    let first = standby_leader(&paris, None).await?;
    cascades(&paris, first).await?;
    ensure!(
        paris.members[first].health("/primary").await == Some(503)
            && paris.members[first].health("/read-only").await == Some(200),
        "a standby leader is no primary and may be read from"
    );

    // Failover inside: another member follows the other region, and nobody is promoted.
    paris.members[first].host().kill_all()?;
    let second = standby_leader(&paris, Some(first)).await?;
    paris.members[first].start()?;
    cascades(&paris, second).await?;
    rows_arrive(&oracle, 50).await?;

    // The change of regions, under load.
    let before = inodes(berlin)?;
    let began = oracle.now();
    let other = paris.members[0].config().to_string_lossy().into_owned();
    let status = berlin.ctl(&["dr", "status", "--other", &other]).await?;
    ensure!(
        status.contains("Ready for `pgherd dr switchover`"),
        "{status}"
    );
    let said = berlin
        .ctl(&["dr", "switchover", "--other", &other, "--force"])
        .await?;
    ensure!(
        said.contains("Successfully switched over to the region"),
        "{said}"
    );
    rows_arrive(&oracle, 100).await?;
    println!(
        "region switchover: no acknowledged row for {:?}",
        oracle.longest_gap(began).length()
    );
    let primary = paris.wait_leader(FAILOVER).await?;
    let follower = standby_leader(berlin, None).await?;
    cascades(berlin, follower).await?;
    ensure!(inodes(berlin)? == before, "the old region was copied anew");

    oracle.stop().await;
    if let Some(split) = oracle.two_writers() {
        bail!("two writers: {split}");
    }
    let audit = oracle.audit(paris.members[primary].sql()).await?;
    ensure!(
        audit.lost.is_empty() && audit.lost_direct.is_empty(),
        "a change of regions lost {audit:?}"
    );
    let record = paris
        .ctl(&["dr", "status", "--other", &config_of(berlin)])
        .await?;
    ensure!(record.contains("switchover done"), "{record}");
    Ok(())
}

fn config_of(herd: &Herd) -> String {
    herd.members[0].config().to_string_lossy().into_owned()
}

fn inodes(herd: &Herd) -> Result<Vec<u64>> {
    let data = herd
        .members
        .iter()
        .map(|member| fs_err::metadata(member.data_dir()));
    data.map(|found| Ok(found?.ino())).collect()
}

/// Waits for a member whose `/standby-leader` says 200 and that streams; another one than `but`.
async fn standby_leader(herd: &Herd, but: Option<usize>) -> Result<usize> {
    wait_for("a standby leader that streams", REJOIN, async || {
        for (at, member) in herd.members.iter().enumerate() {
            if Some(at) != but && member.health("/standby-leader").await == Some(200) {
                let streams =
                    "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
                ensure!(
                    member.query(streams).await? == "1",
                    "{} does not stream",
                    member.name()
                );
                return Ok(at);
            }
        }
        bail!("none of them is")
    })
    .await
}

/// Waits until both others stream from `leader`, as its own PostgreSQL says.
async fn cascades(herd: &Herd, leader: usize) -> Result<()> {
    let names: Vec<String> = herd
        .members
        .iter()
        .map(|member| format!("'{}'", member.name()))
        .collect();
    let count = format!(
        "SELECT count(DISTINCT application_name) FROM pg_stat_replication \
         WHERE state = 'streaming' AND application_name IN ({})",
        names.join(", ")
    );
    wait_for("the others to cascade", REJOIN + SOON, async || {
        let streaming = herd.members[leader].query(&count).await?;
        ensure!(streaming == "2", "{streaming} of 2 stream");
        Ok(())
    })
    .await
}
