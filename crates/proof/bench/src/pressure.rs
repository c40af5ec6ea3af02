//! A herd under pressure, with a slow store that changes its leader: nobody has to take over, so who does is wrong.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_testbed::{Aim, BadLine, Herd, HerdOptions, Oracle, OracleOptions, Pressure, wait_for};
use tokio::time::{Instant, sleep};

use crate::figure::{Figure, Must};
use crate::outage::{PATIENCE, flowing};

/// From one change of etcd's leader to the next.
const TERM: Duration = Duration::from_secs(30);
/// How long etcd's former leader stays away.
const AWAY: Duration = Duration::from_secs(5);
/// How much later packets reach the store.
const LATE: Duration = Duration::from_millis(200);
/// What a stressor fills and frees.
const MEBIBYTES: usize = 512;

/// False failovers, and the longest time without a row, in `length` of pressure: each core burned twice over, memory
/// filled and freed, 200 ms to the store, whose leader is killed every 30 s.
///
/// # Errors
/// When the cluster does not form, or packets cannot be held back here.
pub async fn false_failovers(options: &HerdOptions, length: Duration) -> Result<Vec<Figure>> {
    let options = HerdOptions {
        ttl: 20,
        loop_wait: 2,
        retry_timeout: 8,
        ..options.clone()
    };
    let mut herd = Herd::start("pressure", &options).await?;
    let measured = Box::pin(under_pressure(&mut herd, length)).await;
    let (failovers, gap) = measured.with_context(|| herd.bed().report())?;
    let story = format!(
        "{} s of pressure, slow etcd, ttl {}",
        length.as_secs(),
        options.ttl
    );
    let mut count = Figure::new(&format!("{story}: false failovers"), "", Must::AtMost(0.0));
    count.samples.push(f64::from(failovers));
    let mut outage = Figure::new("the same: longest time without a row", "s", Must::Nothing);
    outage.add(gap);
    Ok(vec![count, outage])
}

async fn under_pressure(herd: &mut Herd, length: Duration) -> Result<(u32, Duration)> {
    let leader = herd.wait_formed(PATIENCE).await?;
    let mut oracle = Oracle::prepare(herd.members[leader].sql()).await?;
    oracle.write(&Aim::Leader(herd.endpoints()), &OracleOptions::default());
    flowing(&oracle).await?;
    let before = timeline(herd).await?;
    let began = (oracle.now(), Instant::now());
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let pressure = Pressure::start(herd.bed(), 2 * cores, 1, MEBIBYTES)?;
    let lines = herd.etcd.bad_line(BadLine {
        delay: LATE,
        loss_percent: 0,
    })?;
    while began.1.elapsed() < length {
        let left = length.saturating_sub(began.1.elapsed());
        let killed = herd.etcd.kill_leader().await?;
        sleep(AWAY.min(left)).await;
        herd.etcd.start_one(killed)?;
        sleep(TERM.saturating_sub(AWAY).min(left.saturating_sub(AWAY))).await;
        println!(
            "  {:.0} s of {} s, timeline {:?}",
            began.1.elapsed().as_secs_f64(),
            length.as_secs(),
            timeline(herd).await.ok()
        );
    }
    let gap = oracle.longest_gap(began.0).length();
    drop((pressure, lines));
    herd.etcd.wait_ready().await?;
    herd.wait_formed(PATIENCE).await?;
    oracle.stop().await;
    let now = timeline(herd).await?;
    Ok((now.saturating_sub(before), gap))
}

/// Each promotion begins a timeline, so their number tells how many there were.
async fn timeline(herd: &Herd) -> Result<u32> {
    wait_for("the leader's timeline", PATIENCE, async || {
        let status = herd.leader().await?.status().await?;
        let timeline = status["timeline"].as_u64();
        ensure!(timeline.is_some(), "no timeline: {status}");
        Ok(u32::try_from(timeline.unwrap_or_default())?)
    })
    .await
}
