//! A trial: one fault put to a formed herd under load, healed, and judged by the oracle.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_testbed::{Herd, HerdOptions, Oracle, wait_for};

use crate::{REJOIN, load, newest_history_is_whole, rows_arrive, timeline, verdict};

/// Who leads when a trial is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leader {
    /// The same member, on the same timeline: the fault was none of the clients' business.
    Stays,
    /// Another member.
    Moves,
    /// Whoever; the fault does not decide it.
    Any,
}

/// What clients saw of a trial.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The longest time without an acknowledged row.
    pub gap: Duration,
    /// Who leads now.
    pub leader: usize,
}

/// A herd in synchronous mode: whatever is acknowledged has to be there in the end.
#[must_use]
pub fn synchronous() -> HerdOptions {
    HerdOptions {
        synchronous: "on".to_owned(),
        ..HerdOptions::default()
    }
}

/// The same with a lease that outlives an election of etcd on a machine that is busy with other things: for faults that
/// have nothing to do with a lease.
#[must_use]
pub fn patient() -> HerdOptions {
    HerdOptions {
        ttl: 20,
        retry_timeout: 8,
        ..synchronous()
    }
}

/// Puts one fault to `herd`; `fault` gets the leader's index, and ends what it began.
///
/// Asserted when all is healed: there was one writer at a time, no acknowledged row is missing (in asynchronous mode: none
/// of the newest timeline), every member streams without a hand, and `leader` leads.
///
/// # Errors
/// When one of these does not hold, or `fault` fails.
pub async fn trial(
    herd: &mut Herd,
    story: &str,
    leader: Leader,
    fault: impl AsyncFnOnce(&mut Herd, &Oracle, usize) -> Result<()>,
) -> Result<Seen> {
    let judged = Box::pin(judge(herd, story, leader, fault)).await;
    judged.with_context(|| format!("trial: {story}"))
}

async fn judge(
    herd: &mut Herd,
    story: &str,
    expected: Leader,
    fault: impl AsyncFnOnce(&mut Herd, &Oracle, usize) -> Result<()>,
) -> Result<Seen> {
    let old = herd.wait_formed(REJOIN).await?;
    let synchronous = is_synchronous(herd).await?;
    if synchronous {
        synchronous_standby(herd).await?;
    }
    let before = timeline(herd).await?;
    let mut oracle = load(herd).await?;
    let began = oracle.now();
    Box::pin(fault(herd, &oracle, old)).await?;
    let healed = oracle.now();
    rows_arrive(&oracle, 100).await?;
    let gap = oracle.longest_gap(began).length();
    let leader = herd.wait_formed(REJOIN).await?;
    rows_arrive(&oracle, 20).await?;
    let took = oracle.now();
    let audit = verdict(herd, &mut oracle).await?;
    let now = timeline(herd).await?;
    println!(
        "{story}: no acknowledged row for {gap:?}; fault over after {:?}, healed {:?} later; {} rows, {} lost",
        healed.saturating_sub(began),
        took.saturating_sub(healed),
        audit.acknowledged,
        audit.lost.len()
    );
    if synchronous {
        let lost = (&audit.lost, &audit.lost_direct);
        ensure!(lost.0.is_empty() && lost.1.is_empty(), "lost {lost:?}");
    }
    newest_history_is_whole(&audit, now)?;
    match expected {
        Leader::Stays => ensure!(
            (leader, now) == (old, before),
            "leader and timeline were {:?}, are {:?}",
            (old, before),
            (leader, now)
        ),
        Leader::Moves => ensure!(leader != old, "{} leads again", herd.members[old].name()),
        Leader::Any => {}
    }
    Ok(Seen { gap, leader })
}

async fn is_synchronous(herd: &Herd) -> Result<bool> {
    let mode = herd.config().await?["synchronous_mode"].clone();
    Ok(mode == true || mode == "on" || mode == "quorum")
}

/// Waits until the leader commits with a synchronous standby, and the store says so.
///
/// # Errors
/// When there is none in time.
pub async fn synchronous_standby(herd: &Herd) -> Result<()> {
    let standby = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')";
    wait_for("a synchronous standby", REJOIN, async || {
        let count = herd.leader().await?.query(standby).await?;
        ensure!(count != "0", "none yet");
        let cluster = herd.cluster().await?.to_string();
        let told = cluster.contains("sync_standby") || cluster.contains("quorum_standby");
        ensure!(told, "not in the store: {cluster}");
        Ok(())
    })
    .await
}
