//! End-to-end suites on the testbed: what the files in `tests/` share.
//!
//! Each test makes a cluster of its own, puts one fault to it under load, and asks the oracle what clients saw.
//! A failure carries the last lines of every log.

pub mod mirror;

mod trial;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_testbed::{Aim, Audit, Herd, HerdOptions, Oracle, OracleOptions, wait_for};

pub use trial::{Leader, Seen, patient, synchronous, synchronous_standby, trial};

/// A new primary after a fault. Like the others it only bounds a hang: ttl is 5 s, and a machine may be very busy.
pub const FAILOVER: Duration = Duration::from_secs(60);
/// All replicas streaming again, a pg_rewind or a new copy included.
pub const REJOIN: Duration = Duration::from_secs(90);
/// Anything that needs no lease to run out.
pub const SOON: Duration = Duration::from_secs(30);

/// Makes a cluster, runs `test` on it, and adds the logs to its error.
///
/// # Errors
/// What `test` says, or that the cluster did not form.
pub async fn with_herd(
    story: &str,
    options: HerdOptions,
    test: impl AsyncFnOnce(&mut Herd) -> Result<()>,
) -> Result<()> {
    let mut herd = Herd::start(story, &options).await?;
    let outcome = Box::pin(test(&mut herd)).await;
    outcome.with_context(|| herd.bed().report())
}

/// Clients that write to the leader, and one at each server to catch a second writer; returns once rows arrive.
///
/// # Errors
/// When no row is acknowledged.
pub async fn load(herd: &Herd) -> Result<Oracle> {
    let mut oracle = Oracle::prepare(herd.leader().await?.sql()).await?;
    oracle.watch_each(&herd.endpoints());
    oracle.write(&Aim::Leader(herd.endpoints()), &OracleOptions::default());
    rows_arrive(&oracle, 100).await?;
    Ok(oracle)
}

/// Waits until clients got `more` rows acknowledged from now on.
///
/// # Errors
/// When they do not within [`FAILOVER`]; says what stopped them.
pub async fn rows_arrive(oracle: &Oracle, more: usize) -> Result<()> {
    let enough = oracle.acknowledged() + more;
    wait_for("clients' rows to be acknowledged", FAILOVER, async || {
        let rows = oracle.acknowledged();
        ensure!(
            rows >= enough,
            "{rows} of {enough}; clients saw:\n{}",
            oracle.faults()
        );
        Ok(())
    })
    .await
}

/// Waits until clients have written for `length`; what a fault does may come only after a lease of that length.
///
/// # Errors
/// When no rows are acknowledged at the end of it.
pub async fn rows_arrive_for(oracle: &Oracle, length: Duration) -> Result<()> {
    time_passes(oracle, length).await?;
    rows_arrive(oracle, 20).await
}

/// Lets a fault go on for `length`, where nothing that could be seen has to happen.
///
/// # Errors
/// When the clock stands still.
pub async fn time_passes(oracle: &Oracle, length: Duration) -> Result<()> {
    let end = oracle.now() + length;
    wait_for("the time to pass", length + SOON, async || {
        let left = end.saturating_sub(oracle.now());
        ensure!(left.is_zero(), "{left:?} left");
        Ok(())
    })
    .await
}

/// Stops the clients and compares what they were told with what the leader has. One writer at a time is asserted here.
///
/// # Errors
/// When two servers took rows at the same time, or the leader cannot be read.
pub async fn verdict(herd: &Herd, oracle: &mut Oracle) -> Result<Audit> {
    oracle.stop().await;
    if let Some(split) = oracle.two_writers() {
        anyhow::bail!("two writers: {split}");
    }
    oracle.audit(herd.leader().await?.sql()).await
}

/// Asserts that nothing acknowledged on the newest timeline is missing; what the old one lost is for the caller.
///
/// # Errors
/// Names the first missing row.
pub fn newest_history_is_whole(audit: &Audit, timeline: u32) -> Result<()> {
    let mut lost = audit.lost.iter().chain(&audit.lost_direct);
    let newest = lost.find(|ack| ack.timeline >= timeline);
    ensure!(
        newest.is_none(),
        "lost from timeline {timeline}: {newest:?}"
    );
    Ok(())
}

/// Timeline that the leader writes on, from its status document.
///
/// # Errors
/// When nobody leads or the document has none.
pub async fn timeline(herd: &Herd) -> Result<u32> {
    let status = herd.leader().await?.status().await?;
    let timeline = status["timeline"]
        .as_u64()
        .with_context(|| format!("no timeline: {status}"))?;
    Ok(u32::try_from(timeline)?)
}
