//! The archive of WAL across role changes: every segment of the newest history gets there, and no name twice with
//! another content, so that a restore never waits for a file that never comes (accident S39).

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, load, rows_arrive, verdict, with_herd};
use pgherd_testbed::{Herd, HerdOptions, wait_for};

/// Bytes of a segment.
const SEGMENT: u64 = 16 << 20;
/// Segments in one "log" of a segment's name, at 16 MiB each.
const PER_LOG: u64 = 0x100;

#[tokio::test]
async fn the_archive_has_every_segment_of_the_newest_history_and_none_twice() -> Result<()> {
    let options = HerdOptions {
        archive: true,
        ..HerdOptions::default()
    };
    with_herd("archive", options, async |herd| {
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        ends_segments(herd, old).await?;
        // From here on nothing is archived: what ends now waits on the primary alone, because a standby takes what it
        // streamed for archived.
        let gate = herd.archive().join("gate");
        fs_err::write(&gate, "")?;
        ends_segments(herd, old).await?;
        rows_arrive(&oracle, 50).await?;
        herd.members[old].host().kill_all()?;
        let new = herd.wait_other_leader(old, FAILOVER).await?;
        fs_err::remove_file(&gate)?;
        ends_segments(herd, new).await?;
        herd.members[old].start()?;
        herd.wait_formed(REJOIN).await?;
        rows_arrive(&oracle, 50).await?;

        // It streams, and may be far behind still.
        let near = "SELECT count(*) FROM pg_stat_replication WHERE pg_current_wal_lsn() - replay_lsn < 65536";
        wait_for("the former primary to catch up", REJOIN, async || {
            ensure!(herd.members[new].query(near).await? == "2", "not yet");
            Ok(())
        })
        .await?;
        let to = herd.members[old].name().to_owned();
        let said = herd
            .ctl(&["switchover", "--candidate", &to, "--force"])
            .await?;
        ensure!(said.contains("Successfully switched over"), "{said}");
        herd.wait_other_leader(new, FAILOVER).await?;
        ends_segments(herd, old).await?;
        let last = herd.members[old]
            .query("SELECT pg_walfile_name(pg_switch_wal())")
            .await?;
        let archive = herd.archive();
        wait_for("the last segment in the archive", SOON, async || {
            ensure!(archive.join(&last).exists(), "{last} is not there yet");
            Ok(())
        })
        .await?;
        verdict(herd, &mut oracle).await?;
        let clashes = fs_err::read_to_string(archive.join("clashes")).unwrap_or_default();
        ensure!(clashes.is_empty(), "archived twice, and not the same: {clashes}");
        has_no_hole(&archive, &last)
    })
    .await
}

/// Some segments come to their end.
async fn ends_segments(herd: &Herd, leader: usize) -> Result<()> {
    for _ in 0..2 {
        let end = "SELECT pg_logical_emit_message(true, 'end', 'of a segment')";
        herd.members[leader].query(end).await?;
        herd.members[leader].query("SELECT pg_switch_wal()").await?;
    }
    Ok(())
}

/// From the first segment on, each one on the timeline that the newest history takes it from.
fn has_no_hole(archive: &Path, last: &str) -> Result<()> {
    let names: BTreeSet<String> = fs_err::read_dir(archive)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    let (newest, end) = place(last)?;
    let history = fs_err::read_to_string(archive.join(format!("{newest:08X}.history")))?;
    let mut from = 1;
    let mut wanted = Vec::new();
    for line in history.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let timeline: u32 = words.next().context("no timeline")?.parse()?;
        let (high, low) = words
            .next()
            .and_then(|at| at.split_once('/'))
            .with_context(|| format!("no position in {line:?}"))?;
        let at = (u64::from_str_radix(high, 16)? << 32) | u64::from_str_radix(low, 16)?;
        // The segment of the switch itself is taken from the timeline after it.
        let until = at / SEGMENT;
        wanted.extend((from..until).map(|segment| name(timeline, segment)));
        from = until;
    }
    wanted.extend((from..=end).map(|segment| name(newest, segment)));
    let missing: Vec<_> = wanted
        .iter()
        .filter(|name| !names.contains(*name))
        .collect();
    ensure!(
        missing.is_empty() && wanted.len() > 6,
        "of {wanted:?} the archive has not {missing:?}, but {names:?}"
    );
    Ok(())
}

/// Timeline and number of a segment.
fn place(name: &str) -> Result<(u32, u64)> {
    let part = |range| name.get(range).with_context(|| name.to_owned());
    let timeline = u32::from_str_radix(part(0..8)?, 16)?;
    let log = u64::from_str_radix(part(8..16)?, 16)?;
    let segment = u64::from_str_radix(part(16..24)?, 16)?;
    Ok((timeline, log * PER_LOG + segment))
}

fn name(timeline: u32, segment: u64) -> String {
    format!(
        "{timeline:08X}{:08X}{:08X}",
        segment / PER_LOG,
        segment % PER_LOG
    )
}
