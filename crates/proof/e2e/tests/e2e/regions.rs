//! Two regions, each with an etcd of its own: a standby cluster that follows another one, and the change of regions.

use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, rows_arrive};
use pgherd_testbed::{Aim, Herd, HerdOptions, Oracle, OracleOptions, wait_for};
use rustix::process::{Signal, kill_process};
use tokio::io::AsyncBufReadExt as _;

/// Three members and one store each: what two regions of the guide have, on one machine. A primary that stops does not
/// wait for a region that stands still for longer than these 3 s.
pub(crate) fn region() -> HerdOptions {
    HerdOptions {
        stores: 1,
        parameters: vec!["wal_sender_timeout: 3s".to_owned()],
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
    let mut paris = begin_paris(berlin).await?;
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
    paris.wait_leader(FAILOVER).await?;
    let follower = standby_leader(berlin, None).await?;
    cascades(berlin, follower).await?;
    ensure!(inodes(berlin)? == before, "the old region was copied anew");

    is_taken_back(berlin, &paris).await?;
    rows_arrive(&oracle, 50).await?;
    paris.wait_leader(FAILOVER).await?;
    is_resumed(berlin, &paris).await?;
    rows_arrive(&oracle, 50).await?;
    is_given_up(berlin, &paris).await?;
    rows_arrive(&oracle, 50).await?;
    let primary = berlin.wait_leader(FAILOVER).await?;

    oracle.stop().await;
    if let Some(split) = oracle.two_writers() {
        bail!("two writers: {split}");
    }
    let audit = oracle.audit(berlin.members[primary].sql()).await?;
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

/// A standby region of `berlin`; its agents run.
async fn begin_paris(berlin: &Herd) -> Result<Herd> {
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
    Ok(paris)
}

/// A change of regions that is interrupted when nobody is the primary region is told, and taken back.
async fn is_taken_back(berlin: &Herd, paris: &Herd) -> Result<()> {
    let other = config_of(paris);
    interrupt(paris, &config_of(berlin)).await?;
    let status = berlin.ctl(&["dr", "status", "--other", &other]).await?;
    ensure!(status.contains("A switchover was interrupted"), "{status}");
    let back = config_of(berlin);
    let said = paris
        .ctl(&["dr", "switchover", "--other", &back, "--undo", "--force"])
        .await?;
    ensure!(said.contains("is the primary region again"), "{said}");
    Ok(())
}

/// The same, gone on with.
async fn is_resumed(berlin: &Herd, paris: &Herd) -> Result<()> {
    interrupt(paris, &config_of(berlin)).await?;
    let other = config_of(paris);
    let said = berlin
        .ctl(&["dr", "switchover", "--other", &other, "--force"])
        .await?;
    let resumed = [
        "was interrupted",
        "Successfully switched over to the region",
    ];
    ensure!(resumed.iter().all(|text| said.contains(text)), "{said}");
    berlin.wait_leader(FAILOVER).await?;
    let follower = standby_leader(paris, None).await?;
    cascades(paris, follower).await
}

/// A change of regions to one that stands still: the old one goes on.
async fn is_given_up(berlin: &Herd, paris: &Herd) -> Result<()> {
    is_ready(berlin, &config_of(paris)).await?;
    let follower = standby_leader(paris, None).await?;
    let receivers = paris.members[follower].servers_own("walreceiver");
    let receiver = *receivers.first().context("no WAL receiver runs")?;
    kill_process(receiver, Signal::STOP)?;
    let order = [
        "dr",
        "switchover",
        "--other",
        &config_of(paris),
        "--timeout",
        "2",
        "--force",
    ];
    let said = berlin.ctl(&order).await;
    let woken = kill_process(receiver, Signal::CONT);
    let said = said.err().context("it did not give up")?.to_string();
    ensure!(said.contains("taken back: "), "{said}");
    berlin.wait_leader(FAILOVER).await?;
    woken.context("wake the WAL receiver")?;
    let follower = standby_leader(paris, None).await?;
    cascades(paris, follower).await
}

/// Waits until nothing stands in the way of a change of regions.
async fn is_ready(herd: &Herd, other: &str) -> Result<()> {
    wait_for("the regions to be ready", REJOIN, async || {
        let status = herd.ctl(&["dr", "status", "--other", other]).await?;
        ensure!(
            status.contains("Ready for `pgherd dr switchover`"),
            "{status}"
        );
        Ok(())
    })
    .await
}

/// Begins a change of regions and ends it as soon as the primary region was told to step down.
async fn interrupt(herd: &Herd, other: &str) -> Result<()> {
    is_ready(herd, other).await?;
    let mut command = herd.ctl_to_interrupt(&["dr", "switchover", "--other", other, "--force"])?;
    let mut running = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let said = running.stdout.take().context("no output")?;
    let mut lines = tokio::io::BufReader::new(said).lines();
    let told = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains("becoming a standby") || line.contains("writes no more") {
                return anyhow::Ok(());
            }
        }
        bail!("it ended before it could be interrupted")
    };
    tokio::time::timeout(FAILOVER, told)
        .await
        .context("it said nothing")??;
    running.kill().await?;
    Ok(())
}

pub(crate) fn config_of(herd: &Herd) -> String {
    herd.members[0].config().to_string_lossy().into_owned()
}

pub(crate) fn inodes(herd: &Herd) -> Result<Vec<u64>> {
    let data = herd
        .members
        .iter()
        .map(|member| fs_err::metadata(member.data_dir()));
    data.map(|found| Ok(found?.ino())).collect()
}

/// Waits for a member whose `/standby-leader` says 200 and that streams; another one than `but`.
pub(crate) async fn standby_leader(herd: &Herd, but: Option<usize>) -> Result<usize> {
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
pub(crate) async fn cascades(herd: &Herd, leader: usize) -> Result<()> {
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
