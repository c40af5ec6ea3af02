//! How long clients get no row acknowledged: restart in place, switchover, loss of the leader's host.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_testbed::{Aim, Herd, HerdOptions, Oracle, OracleOptions, wait_for};
use tokio::time::Instant;

use crate::figure::{Figure, Must};

/// Rows that show that clients write again.
const FLOWING: usize = 100;
/// Longest outage that is waited for; Patroni with its shortest lease needs some 25 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Waits for `FLOWING` more rows.
pub(crate) async fn flowing(oracle: &Oracle) -> Result<()> {
    let enough = oracle.acknowledged() + FLOWING;
    wait_for("clients to write", PATIENCE, async || {
        let rows = oracle.acknowledged();
        ensure!(
            rows >= enough,
            "{rows} of {enough} rows; clients saw:\n{}",
            oracle.faults()
        );
        Ok(())
    })
    .await
}

/// Clients that write while `fault` is put to the herd; returns their longest outage.
async fn outage(
    herd: &Herd,
    aim: &Aim,
    fault: impl AsyncFnOnce() -> Result<()>,
) -> Result<Duration> {
    let leader = herd.wait_formed(PATIENCE).await?;
    let mut oracle = Oracle::prepare(herd.members[leader].sql()).await?;
    oracle.write(aim, &OracleOptions::default());
    flowing(&oracle).await?;
    let began = oracle.now();
    fault().await?;
    flowing(&oracle).await?;
    oracle.stop().await;
    let gap = oracle.longest_gap(began);
    Ok(gap.length())
}

/// The postmaster is killed and restarted where it was; clients stay at the leader's own address.
///
/// # Errors
/// When the cluster does not form or does not come back.
pub async fn restart_in_place(options: &HerdOptions, runs: usize) -> Result<Vec<Figure>> {
    let name = "postmaster killed, restart in place: longest time without a row";
    let mut figure = Figure::new(name, "s", Must::AtMost(1.0));
    let herd = Herd::start("restart", options).await?;
    for run in 1..=runs {
        let leader = herd.leader().await?;
        let aim = Aim::Fixed(leader.endpoint());
        let gap = outage(&herd, &aim, async || leader.kill_postmaster());
        figure.add(gap.await.with_context(|| herd.bed().report())?);
        progress("restart in place", run, runs, &figure);
    }
    Ok(vec![figure])
}

/// In a synchronous mode only a member that commits wait for is taken as successor.
async fn has_a_successor(herd: &Herd) -> Result<()> {
    wait_for("a synchronous standby", PATIENCE, async || {
        let cluster = herd.cluster().await?;
        let roles = cluster["members"].as_array().into_iter().flatten();
        let mut roles = roles.filter_map(|member| member["role"].as_str());
        let waits = roles.any(|role| matches!(role, "sync_standby" | "quorum_standby"));
        ensure!(waits, "{cluster}");
        Ok(())
    })
    .await
}

/// A switchover by order; clients follow the leader.
///
/// # Errors
/// When the cluster does not form or refuses.
pub async fn switchover(options: &HerdOptions, runs: usize) -> Result<Vec<Figure>> {
    let name = "switchover: longest time without a row";
    let mut figure = Figure::new(name, "s", Must::AtMost(1.0));
    let herd = Herd::start("switchover", options).await?;
    for run in 1..=runs {
        if options.synchronous != "off" {
            has_a_successor(&herd).await?;
        }
        let leader = herd.leader().await?.name().to_owned();
        let aim = Aim::Leader(herd.endpoints());
        let gap = outage(&herd, &aim, async || {
            let said = herd
                .ctl(&["switchover", "--leader", &leader, "--force"])
                .await?;
            ensure!(said.contains("Successfully switched over"), "{said}");
            Ok(())
        });
        figure.add(gap.await.with_context(|| herd.bed().report())?);
        progress("switchover", run, runs, &figure);
    }
    Ok(vec![figure])
}

/// The leader's host loses power; clients follow the leader. Then the host returns, and streams again.
///
/// # Errors
/// When the cluster does not form or nobody takes over.
pub async fn host_loss(options: &HerdOptions, runs: usize) -> Result<Vec<Figure>> {
    let ttl = options.ttl;
    let name = format!("leader's host lost, ttl {ttl}: longest time without a row");
    let mut lost = Figure::new(&name, "s", Must::AtMost(6.0));
    let name = "its host returns: time until it streams again";
    let mut back = Figure::new(name, "s", Must::AtMost(5.0));
    let mut herd = Herd::start("host-loss", options).await?;
    for run in 1..=runs {
        if options.synchronous != "off" {
            has_a_successor(&herd).await?;
        }
        let (gap, rejoin) = lose_and_return(&mut herd)
            .await
            .with_context(|| herd.bed().report())?;
        lost.add(gap);
        progress("host lost", run, runs, &lost);
        back.add(rejoin);
        progress("streaming again", run, runs, &back);
    }
    Ok(vec![lost, back])
}

async fn lose_and_return(herd: &mut Herd) -> Result<(Duration, Duration)> {
    let old = herd.wait_formed(PATIENCE).await?;
    let host = herd.members[old].host().clone();
    let aim = Aim::Leader(herd.endpoints());
    let gap = outage(herd, &aim, async || host.power_off()).await?;
    let new = herd.wait_other_leader(old, PATIENCE).await?;
    host.power_on()?;
    let began = Instant::now();
    herd.members[old].start()?;
    let streaming = format!(
        "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '{}'",
        herd.members[old].name()
    );
    wait_for("the former primary to stream", PATIENCE, async || {
        ensure!(herd.members[new].query(&streaming).await? != "0", "not yet");
        Ok(())
    })
    .await?;
    Ok((gap, began.elapsed()))
}

/// Tells where we are, with the newest sample.
pub(crate) fn progress(what: &str, run: usize, runs: usize, figure: &Figure) {
    let sample = figure.samples.last().copied().unwrap_or_default();
    println!("  {what}, run {run} of {runs}: {sample:.3} {}", figure.unit);
}
