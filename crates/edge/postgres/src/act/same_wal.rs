//! Is the WAL here the other server's? Two servers that were promoted from one position have timelines of one number
//! and one history, and neither PostgreSQL nor pg_rewind can tell them apart. Their bytes differ: what stands at the beginning
//! of the timeline and before the end of the local WAL is compared with what the other server has there.
//!
//! The first record of a timeline holds the microsecond of its promotion. The end is compared as well, since files are removed
//! in time; alone it proves less: records of one length stand at one place, whatever is in them, so two servers that have
//! been idle since can have the same last page.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use camino::Utf8Path;
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

/// A page, of which one or the best part of two are compared.
const PAGE: u64 = 8192;

/// How far the local server has replayed.
const REPLAYED: &str = "SELECT pg_last_wal_replay_lsn()::text";

/// How far the other server's WAL reaches, and how large its files are.
const REACHES: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
     ELSE pg_current_wal_flush_lsn() END::text || ' ' || pg_size_bytes(current_setting('wal_segment_size'))";

impl LocalServer {
    /// Whether the bytes of `timeline`, which begins at `began`, are those of the server behind `client`, which is on it too;
    /// `None` when either has the last of them no more, or they may not be asked for.
    pub(super) async fn has_same_wal(
        &self,
        client: &Client,
        timeline: TimelineId,
        began: Option<Lsn>,
    ) -> Option<bool> {
        let end = self.local_end().await?;
        let answer = ask_value(client, REACHES, PATIENCE).await.ok()?;
        let (reaches, size) = answer.split_once(' ')?;
        let (reaches, size) = (Lsn::parse(reaches).ok()?, size.parse().ok()?);
        let end = end.min(reaches);
        if let Some((file, offset)) = began.and_then(|began| WalFile::after(began, end, size)) {
            let first = move |path: &Utf8Path| file.first_bytes(path, offset);
            if self.is_same(client, file.name(timeline), first).await == Some(false) {
                return Some(false);
            }
        }
        let file = WalFile::before(end, size)?;
        let last = move |path: &Utf8Path| file.last_page(path);
        self.is_same(client, file.name(timeline), last).await
    }

    /// Whether what `read` finds in the local file `name` stands there on the other server, too.
    async fn is_same(
        &self,
        client: &Client,
        name: String,
        read: impl FnOnce(&Utf8Path) -> io::Result<Option<(u64, String)>> + Send + 'static,
    ) -> Option<bool> {
        let path = self.place.data_dir().join("pg_wal").join(&name);
        let reading = spawn_blocking(move || read(&path));
        let (offset, mine) = timeout(DISK_PATIENCE, reading).await.ok()?.ok()?.ok()??;
        let length = mine.len() / 2;
        let statement = format!(
            "SELECT encode(pg_read_binary_file('pg_wal/{name}', {offset}, {length}, true), 'hex')"
        );
        let theirs = ask_value(client, &statement, PATIENCE).await.ok()?;
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

/// A WAL file up to some byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WalFile {
    number: u64,
    size: u64,
    /// At least 1.
    stop: u64,
}

impl WalFile {
    /// Where the byte before `end` stands, in files of `size` bytes.
    fn before(end: Lsn, size: u64) -> Option<Self> {
        let last = end.as_u64().checked_sub(1)?;
        let number = last.checked_div(size)?;
        let stop = last % size + 1;
        Some(Self { number, size, stop })
    }

    /// The file that `began` stands in, up to `end` or a page further, and where in it that is; `None` when nothing follows.
    fn after(began: Lsn, end: Lsn, size: u64) -> Option<(Self, u64)> {
        let offset = began.as_u64().checked_rem(size)?;
        let length = end.as_u64().checked_sub(began.as_u64())?.min(PAGE);
        let file = Self {
            number: began.as_u64() / size,
            size,
            stop: (offset + length).min(size),
        };
        (length > 0).then_some((file, offset))
    }

    /// The timeline, and the number in two halves, of which the first counts what is above 32 bits.
    fn name(&self, timeline: TimelineId) -> String {
        let files = (1_u64 << 32) / self.size;
        let (high, low) = (self.number / files, self.number % files);
        format!("{:08X}{high:08X}{low:08X}", timeline.0)
    }

    /// What stands from `offset` on, in hexadecimal digits.
    fn first_bytes(&self, path: &Utf8Path, offset: u64) -> io::Result<Option<(u64, String)>> {
        let bytes = read_at(&fs::File::open(path)?, offset, self.stop)?;
        Ok(Some((offset, digits_of(&bytes))))
    }

    /// Where the last page begins on which something stands, and what, in hexadecimal digits. A file that was switched
    /// away from holds nothing but zeros after that, on whatever server.
    fn last_page(&self, path: &Utf8Path) -> io::Result<Option<(u64, String)>> {
        let file = fs::File::open(path)?;
        let mut stop = self.stop;
        while stop > 0 {
            // A page that has hardly begun tells little more than its address.
            let offset = stop.saturating_sub(PAGE / 2) / PAGE * PAGE;
            let bytes = read_at(&file, offset, stop)?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(Some((offset, digits_of(&bytes))));
            }
            stop = offset;
        }
        Ok(None)
    }
}

fn read_at(file: &fs::File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let length = to.saturating_sub(from);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.file().read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

fn digits_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_before_an_end_is_in_one_file() {
        let megabytes = |count: u64| count << 20;
        let of = |end: u64, size| WalFile::before(Lsn::new(end), size).unwrap();
        let inside = of(megabytes(0x24 * 16) + 0x228, megabytes(16));
        assert_eq!(inside.stop, 0x228);
        assert_eq!(inside.name(TimelineId(4)), "000000040000000000000024");
        let whole = of(megabytes(0x25 * 16), megabytes(16));
        assert_eq!(whole.name(TimelineId(4)), "000000040000000000000024");
        assert_eq!(whole.stop, megabytes(16));
        let large = of((1 << 32) + megabytes(3 * 1024) + 9000, megabytes(1024));
        assert_eq!(large.name(TimelineId(1)), "000000010000000100000003");
        assert_eq!(WalFile::before(Lsn::new(0), megabytes(16)), None);
        assert_eq!(WalFile::before(Lsn::new(1), 0), None);
    }

    #[test]
    fn a_timeline_begins_somewhere_in_a_file() {
        let of = |began: u64, end: u64| WalFile::after(Lsn::new(began), Lsn::new(end), 1 << 24);
        let (file, offset) = of((5 << 24) + 0x228, (5 << 24) + 0x300).unwrap();
        assert_eq!((file.number, offset, file.stop), (5, 0x228, 0x300));
        let (file, offset) = of((5 << 24) + 0x228, 9 << 24).unwrap();
        assert_eq!((offset, file.stop), (0x228, 0x228 + PAGE));
        let (file, offset) = of((6 << 24) - 100, 9 << 24).unwrap();
        assert_eq!((file.stop, offset), (1 << 24, (1 << 24) - 100));
        assert_eq!(of(5 << 24, 5 << 24), None, "it has nothing of it");
        assert_eq!(of(5 << 24, 4 << 24), None, "it is older");
    }

    #[test]
    fn the_zeros_after_a_switch_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = camino::Utf8PathBuf::try_from(folder.path().join("wal")).unwrap();
        let mut bytes = vec![0_u8; 1 << 20];
        bytes[8192 + 5] = 0xAB;
        std::fs::write(&path, &bytes).unwrap();
        let last = |stop| {
            let size = 1 << 20;
            let file = WalFile {
                number: 7,
                size,
                stop,
            };
            file.last_page(&path).unwrap()
        };
        let (offset, digits) = last(1 << 20).unwrap();
        assert_eq!((offset, digits.len()), (8192, 2 * 8192));
        let (offset, digits) = last(8192 + 6).unwrap();
        assert_eq!((offset, digits.len()), (0, 2 * (8192 + 6)));
        assert!(digits.ends_with("00ab"));
        assert_eq!(last(8192 + 5), None);
    }
}
