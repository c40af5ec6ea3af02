//! Is the WAL here the other server's? Two servers that were promoted from one position have timelines of one number
//! and one history, and neither PostgreSQL nor pg_rewind can tell them apart. Their bytes differ: what stands before the
//! end of the local WAL is compared with what the other server has there.

use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use fs_err as fs;
use pgherd_domain::{Lsn, TimelineId};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::connect::ask_value;
use crate::observe::DISK_PATIENCE;
use crate::server::LocalServer;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How much is compared: a page. Each record names the one before, so servers that once differed go on differing.
const COMPARED: u64 = 8192;

/// How far the local server has replayed.
const REPLAYED: &str = "SELECT pg_last_wal_replay_lsn()::text";

/// How far the other server's WAL reaches, and how large its files are.
const REACHES: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
     ELSE pg_current_wal_flush_lsn() END::text || ' ' || pg_size_bytes(current_setting('wal_segment_size'))";

impl LocalServer {
    /// Whether the bytes of `timeline` before the local end are those of the server behind `client`, which is on it
    /// too; `None` when either has them no more, or they may not be asked for.
    pub(super) async fn has_same_wal(&self, client: &Client, timeline: TimelineId) -> Option<bool> {
        let end = self.local_end().await?;
        let answer = ask_value(client, REACHES, PATIENCE).await.ok()?;
        let (reaches, size) = answer.split_once(' ')?;
        let stretch = Stretch::before(end.min(Lsn::parse(reaches).ok()?), size.parse().ok()?)?;
        let file = stretch.file(timeline);
        let (offset, length) = (stretch.offset, stretch.length);
        let statement = format!(
            "SELECT encode(pg_read_binary_file('pg_wal/{file}', {offset}, {length}, true), 'hex')"
        );
        let theirs = ask_value(client, &statement, PATIENCE).await.ok()?;
        let path = self.place.data_dir().join("pg_wal").join(file);
        let reading = spawn_blocking(move || stretch.read(&path));
        let mine = timeout(DISK_PATIENCE, reading).await.ok()?.ok()?.ok()?;
        (theirs.len() == mine.len()).then(|| theirs == mine)
    }

    /// Up to where the local WAL was replayed, or is to be.
    async fn local_end(&self) -> Option<Lsn> {
        if let Some(postmaster) = self.running().await {
            let pid = postmaster.pid;
            let asking = self
                .heartbeat
                .ask_statement(self.door().await, pid, REPLAYED, PATIENCE);
            return Lsn::parse(&asking.await.ok()?).ok();
        }
        let control = self.control.read(&self.place).await.ok()?.data;
        let (end, _) = control.min_recovery;
        Some(if end.is_zero() {
            control.checkpoint
        } else {
            end
        })
    }
}

/// Bytes of one WAL file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    number: u64,
    size: u64,
    offset: u64,
    length: u64,
}

impl Stretch {
    /// What stands before `end` in files of `size` bytes.
    fn before(end: Lsn, size: u64) -> Option<Self> {
        let last = end.as_u64().checked_sub(1)?;
        let number = last.checked_div(size)?;
        let stop = last % size + 1;
        let offset = stop.saturating_sub(COMPARED);
        let length = stop - offset;
        Some(Self {
            number,
            size,
            offset,
            length,
        })
    }

    /// The file's name: the timeline, and the number in two halves, of which the second counts the files of 4 GB.
    fn file(&self, timeline: TimelineId) -> String {
        let files = (1_u64 << 32) / self.size;
        let (high, low) = (self.number / files, self.number % files);
        format!("{:08X}{high:08X}{low:08X}", timeline.0)
    }

    /// In hexadecimal digits.
    fn read(&self, path: &camino::Utf8Path) -> std::io::Result<String> {
        let mut bytes = vec![0; usize::try_from(self.length).unwrap_or_default()];
        fs::File::open(path)?
            .file()
            .read_exact_at(&mut bytes, self.offset)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_an_end_is_in_one_file() {
        let megabytes = |count: u64| count << 20;
        let of = |end: u64, size| Stretch::before(Lsn::new(end), size).unwrap();
        let inside = of(megabytes(0x24 * 16) + 0x228, megabytes(16));
        assert_eq!((inside.offset, inside.length), (0, 0x228));
        assert_eq!(inside.file(TimelineId(4)), "000000040000000000000024");
        let at_its_end = of(megabytes(0x25 * 16), megabytes(16));
        assert_eq!(at_its_end.file(TimelineId(4)), "000000040000000000000024");
        assert_eq!(at_its_end.offset + at_its_end.length, megabytes(16));
        let large = of((1 << 32) + megabytes(3 * 1024) + 9000, megabytes(1024));
        assert_eq!(large.file(TimelineId(1)), "000000010000000100000003");
        assert_eq!((large.offset, large.length), (808, 8192));
        assert_eq!(Stretch::before(Lsn::new(0), megabytes(16)), None);
        assert_eq!(Stretch::before(Lsn::new(1), 0), None);
    }
}
