//! What pg_controldata prints (LC_ALL=C), read into the words of the domain.

use std::collections::BTreeMap;

use pgherd_domain::{ControlData, ControlState, Lsn, TimelineId};

/// Lengths of a shutdown checkpoint's record, the same in PostgreSQL 13 to 18: header, data header, body.
const CHECKPOINT_RECORD: u64 = 24 + 2 + 88;
/// Page header in WAL, and the longer one that opens a segment.
const PAGE_HEADER: u64 = 24;
const SEGMENT_HEADER: u64 = 40;

/// A text that is not what pg_controldata prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A line is missing.
    #[error("pg_controldata does not print `{0}`")]
    Missing(&'static str),
    /// A line holds something else than it should.
    #[error("pg_controldata prints `{value}` as `{name}`")]
    Unreadable {
        /// The line.
        name: &'static str,
        /// What it says.
        value: String,
    },
}

/// Everything of the control file that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlReport {
    /// What decisions need.
    pub data: ControlData,
    /// What a standby's parameters must not be below.
    pub limits: ControlLimits,
    /// Bytes of a WAL segment.
    pub segment: u64,
}

/// Parameters of the primary that wrote the WAL: a standby with less can not replay it (contract §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlLimits {
    /// `max_connections`
    pub max_connections: u64,
    /// `max_worker_processes`
    pub max_worker_processes: u64,
    /// `max_wal_senders`
    pub max_wal_senders: u64,
    /// `max_prepared_transactions`
    pub max_prepared_transactions: u64,
    /// `max_locks_per_transaction`
    pub max_locks_per_transaction: u64,
}

impl ControlLimits {
    /// Names and least values.
    pub const fn least(&self) -> [(&'static str, u64); 5] {
        [
            ("max_connections", self.max_connections),
            ("max_worker_processes", self.max_worker_processes),
            ("max_wal_senders", self.max_wal_senders),
            ("max_prepared_transactions", self.max_prepared_transactions),
            ("max_locks_per_transaction", self.max_locks_per_transaction),
        ]
    }
}

impl ControlReport {
    /// Reads the output of pg_controldata.
    ///
    /// # Errors
    /// When a line that is needed is missing or unreadable.
    pub fn parse(text: &str) -> Result<Self, ControlError> {
        let lines = Lines(
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.trim(), value.trim()))
                .collect(),
        );
        let checksums = lines.number("Data page checksum version")? != 0;
        let state = lines.state()?;
        let checkpoint = lines.lsn("Latest checkpoint location")?;
        Ok(Self {
            segment: lines.number("Bytes per WAL segment")?.max(1),
            data: ControlData {
                system_id: lines.text("Database system identifier")?.to_owned(),
                state,
                timeline: lines.timeline("Latest checkpoint's TimeLineID")?,
                checkpoint,
                checkpoint_end: lines.checkpoint_end(state, checkpoint)?,
                min_recovery: (
                    lines.lsn("Minimum recovery ending location")?,
                    lines.timeline("Min recovery ending loc's timeline")?,
                ),
                can_rewind: checksums || lines.text("wal_log_hints setting")? == "on",
            },
            limits: ControlLimits {
                max_connections: lines.number("max_connections setting")?,
                max_worker_processes: lines.number("max_worker_processes setting")?,
                max_wal_senders: lines.number("max_wal_senders setting")?,
                max_prepared_transactions: lines.number("max_prepared_xacts setting")?,
                max_locks_per_transaction: lines.number("max_locks_per_xact setting")?,
            },
        })
    }
}

impl ControlReport {
    /// Names of the segments that hold the record of the last checkpoint: one, or two where it goes on in the next.
    pub fn checkpoint_segments(&self) -> Vec<String> {
        let begin = self.data.checkpoint.as_u64();
        let end = self.data.checkpoint_end.map_or(begin, Lsn::as_u64);
        let (first, last) = (begin / self.segment, end.max(begin + 1) - 1);
        let per_file = (1 << 32) / self.segment;
        let name = |number: u64| {
            let (high, low) = (number / per_file.max(1), number % per_file.max(1));
            format!("{:08X}{high:08X}{low:08X}", self.data.timeline.0)
        };
        (first..=last / self.segment).map(name).collect()
    }
}

struct Lines<'a>(BTreeMap<&'a str, &'a str>);

impl Lines<'_> {
    fn text(&self, name: &'static str) -> Result<&str, ControlError> {
        let value = self.0.get(name).copied();
        value.ok_or(ControlError::Missing(name))
    }

    fn read<T>(
        &self,
        name: &'static str,
        reader: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ControlError> {
        let value = self.text(name)?;
        reader(value).ok_or_else(|| ControlError::Unreadable {
            name,
            value: value.to_owned(),
        })
    }

    fn number(&self, name: &'static str) -> Result<u64, ControlError> {
        self.read(name, |value| value.parse().ok())
    }

    fn lsn(&self, name: &'static str) -> Result<Lsn, ControlError> {
        self.read(name, |value| Lsn::parse(value).ok())
    }

    fn timeline(&self, name: &'static str) -> Result<TimelineId, ControlError> {
        self.read(name, |value| value.parse().ok().map(TimelineId))
    }

    fn state(&self) -> Result<ControlState, ControlError> {
        self.read("Database cluster state", |value| {
            Some(match value {
                "starting up" => ControlState::StartingUp,
                "shut down" => ControlState::ShutDown,
                "shut down in recovery" => ControlState::ShutDownInRecovery,
                "shutting down" => ControlState::ShuttingDown,
                "in crash recovery" => ControlState::InCrashRecovery,
                "in archive recovery" => ControlState::InArchiveRecovery,
                "in production" => ControlState::InProduction,
                _ => return None,
            })
        })
    }

    /// Where WAL of a cleanly stopped primary ends: its last record is the shutdown checkpoint, whose
    /// length is known. `None` after anything else, or in a version not known to write that length.
    fn checkpoint_end(
        &self,
        state: ControlState,
        checkpoint: Lsn,
    ) -> Result<Option<Lsn>, ControlError> {
        let known = matches!(
            self.text("pg_control version number")?,
            "1300" | "1700" | "1800"
        );
        if state != ControlState::ShutDown || !known {
            return Ok(None);
        }
        let page = self.number("WAL block size")?;
        let segment = self.number("Bytes per WAL segment")?;
        Ok(record_end(
            checkpoint,
            CHECKPOINT_RECORD,
            page.max(1),
            segment.max(1),
        ))
    }
}

/// Where a record of `length` bytes that begins at `start` ends, page headers on its way counted, rounded
/// up to eight bytes. `None` when it would not fit two pages.
fn record_end(start: Lsn, length: u64, page: u64, segment: u64) -> Option<Lsn> {
    let aligned = |bytes: u64| bytes.next_multiple_of(8);
    let start = start.as_u64();
    let room = page - start % page;
    if length <= room {
        return Some(Lsn::new(start + aligned(length)));
    }
    let next = start + room;
    let header = if next.is_multiple_of(segment) {
        SEGMENT_HEADER
    } else {
        PAGE_HEADER
    };
    let rest = aligned(length - room);
    (rest <= page - header).then(|| Lsn::new(next + header + rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
pg_control version number:            1300
Database system identifier:           7711556117599976370
Database cluster state:               shut down
pg_control last modified:             Tue Nov 24 02:16:14 2026
Latest checkpoint location:           0/17414F8
Latest checkpoint's TimeLineID:       3
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
wal_log_hints setting:                off
max_connections setting:              100
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
WAL block size:                       8192
Bytes per WAL segment:                16777216
Data page checksum version:           1
";

    #[test]
    fn the_control_file_is_read() {
        let report = ControlReport::parse(PRINTED).unwrap();
        assert_eq!(report.data.system_id, "7711556117599976370");
        assert_eq!(report.data.state, ControlState::ShutDown);
        assert_eq!(report.data.timeline, TimelineId(3));
        assert_eq!(report.data.checkpoint, Lsn::parse("0/17414F8").unwrap());
        assert_eq!(
            report.data.checkpoint_end,
            Some(Lsn::parse("0/1741570").unwrap())
        );
        assert!(report.data.can_rewind, "checksums are enough");
        assert_eq!(report.limits.max_wal_senders, 10);
    }

    #[test]
    fn a_checkpoint_lies_in_one_segment_or_two() {
        let of = |at: &str| {
            let text = PRINTED.replace("0/17414F8", at);
            ControlReport::parse(&text).unwrap().checkpoint_segments()
        };
        assert_eq!(of("0/17414F8"), ["000000030000000000000001"]);
        assert_eq!(of("12/FF000028"), ["0000000300000012000000FF"]);
        let two = ["0000000300000012000000FF", "000000030000001300000000"];
        assert_eq!(of("12/FFFFFFC0"), two);
    }

    #[test]
    fn a_server_that_did_not_stop_cleanly_has_no_known_end() {
        let text = PRINTED.replace("shut down", "in production");
        let report = ControlReport::parse(&text).unwrap();
        assert_eq!(report.data.state, ControlState::InProduction);
        assert_eq!(report.data.checkpoint_end, None);
        let text = PRINTED.replace("version:           1\n", "version:           0\n");
        assert!(!ControlReport::parse(&text).unwrap().data.can_rewind);
    }

    #[test]
    fn a_record_across_pages_counts_their_headers() {
        let end = |start| record_end(Lsn::new(start), CHECKPOINT_RECORD, 8192, 1 << 24);
        assert_eq!(end(8192 - 120), Some(Lsn::new(8192)));
        assert_eq!(end(8192 - 112), Some(Lsn::new(8192 + 24 + 8)));
        assert_eq!(end((1 << 24) - 64), Some(Lsn::new((1 << 24) + 40 + 56)));
    }

    #[test]
    fn what_is_missing_or_strange_is_named() {
        let text = PRINTED.replace("Database cluster state", "State");
        assert_eq!(
            ControlReport::parse(&text),
            Err(ControlError::Missing("Database cluster state"))
        );
        let text = PRINTED.replace("shut down", "asleep");
        let error = ControlReport::parse(&text).unwrap_err().to_string();
        assert!(error.contains("`asleep`"), "{error}");
    }
}
