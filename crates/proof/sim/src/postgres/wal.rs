//! The WAL of one data directory as a list of records, and how two of them compare.

use pgherd_domain::{Lsn, SwitchPoint, TimelineHistory, TimelineId};

/// Where the WAL of every new cluster begins.
pub(crate) const FIRST: Lsn = Lsn::new(0x0300_0000);

/// How long a record is that has no length of its own.
const RECORD_BYTES: u64 = 0x100;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// A client's commit.
    Commit(u64),
    /// A checkpoint of a running server.
    Checkpoint,
    /// The checkpoint of a clean stop.
    Shutdown,
    /// The first record of a new timeline.
    EndOfRecovery,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where it begins.
    pub(crate) start: Lsn,
    /// Where the next one begins.
    pub(crate) end: Lsn,
    pub(crate) timeline: TimelineId,
    pub(crate) said: Said,
}

/// The WAL of a data directory: every record from the cluster's first on, and the history of its timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wal {
    records: Vec<Record>,
    pub(crate) timeline: TimelineId,
    pub(crate) history: TimelineHistory,
}

/// Why a server can not stream from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Its timeline is newer than the upstream's.
    UpstreamIsOlder,
    /// It has WAL that the upstream never had, or left behind.
    NotInHistory,
    /// The positions fit and the contents do not.
    OtherContents,
}

impl Wal {
    pub(crate) fn new() -> Self {
        let mut wal = Self {
            records: Vec::new(),
            timeline: TimelineId(1),
            history: TimelineHistory::default(),
        };
        wal.write(Said::Checkpoint, None);
        wal
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> Lsn {
        self.records.last().map_or(FIRST, |last| last.end)
    }

    /// Writes one record on the current timeline; `bytes` when it is longer than usual.
    pub(crate) fn write(&mut self, said: Said, bytes: Option<u64>) -> Record {
        let start = self.end();
        let record = Record {
            start,
            end: Lsn::new(start.as_u64() + bytes.unwrap_or(RECORD_BYTES)),
            timeline: self.timeline,
            said,
        };
        self.records.push(record);
        record
    }

    /// Begins a new timeline here (promotion): the next number after its own and after `newest`, the newest
    /// one of which it finds a history file, and `skip` numbers later.
    pub(crate) fn branch(&mut self, newest: TimelineId, skip: u32) -> TimelineId {
        self.history.switches.push(SwitchPoint {
            timeline: self.timeline,
            at: self.end(),
            reason: "no recovery target specified".to_owned(),
        });
        self.timeline = TimelineId(self.timeline.max(newest).0 + 1 + skip);
        self.write(Said::EndOfRecovery, None);
        self.timeline
    }

    /// The record that ends at `end`.
    fn ending_at(&self, end: Lsn) -> Option<&Record> {
        let index = self
            .records
            .binary_search_by(|record| record.end.cmp(&end))
            .ok()?;
        self.records.get(index)
    }

    /// Whether this can go on from `upstream`: its end lies on the upstream's history with the same contents.
    pub(crate) fn goes_on_from(&self, upstream: &Self) -> Result<(), Gap> {
        let limit = match self.timeline.cmp(&upstream.timeline) {
            std::cmp::Ordering::Greater => return Err(Gap::UpstreamIsOlder),
            std::cmp::Ordering::Equal => upstream.end(),
            std::cmp::Ordering::Less => upstream
                .history
                .switch_of(self.timeline)
                .ok_or(Gap::NotInHistory)?,
        };
        if self.end() > limit {
            return Err(Gap::NotInHistory);
        }
        if upstream.ending_at(self.end()) != self.records.last() {
            return Err(Gap::OtherContents);
        }
        Ok(())
    }

    /// The records of `self` from `from` on.
    pub(crate) fn since(&self, from: Lsn) -> &[Record] {
        let index = self.records.partition_point(|record| record.start < from);
        self.records.get(index..).unwrap_or_default()
    }

    /// Takes records that follow its end, and what `upstream` knows of the timelines they are on.
    pub(crate) fn append(&mut self, records: &[Record], history: &TimelineHistory) {
        for record in records {
            if record.start != self.end() {
                return;
            }
            self.records.push(*record);
            if record.timeline != self.timeline {
                self.timeline = record.timeline;
                self.history.switches = history
                    .switches
                    .iter()
                    .filter(|switch| switch.timeline < record.timeline)
                    .cloned()
                    .collect();
            }
        }
    }

    /// Becomes what `source` is; everything of its own after the fork is lost.
    pub(crate) fn become_like(&mut self, source: &Self) {
        self.clone_from(source);
    }

    /// The last checkpoint among the records that end at or before `until`.
    pub(crate) fn last_checkpoint(&self, until: Lsn) -> Option<&Record> {
        self.records
            .iter()
            .rev()
            .find(|record| record.end <= until && !matches!(record.said, Said::Commit(_)))
    }

    /// The commits in it, by their ids.
    pub(crate) fn commits(&self) -> impl Iterator<Item = u64> {
        self.records.iter().filter_map(|record| match record.said {
            Said::Commit(id) => Some(id),
            Said::Checkpoint | Said::Shutdown | Said::EndOfRecovery => None,
        })
    }

    /// Whether the commit `id` is in it.
    pub(crate) fn has_commit(&self, id: u64) -> bool {
        self.records
            .iter()
            .any(|record| record.said == Said::Commit(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Wal, Wal) {
        let mut primary = Wal::new();
        for id in 1..5 {
            primary.write(Said::Commit(id), None);
        }
        let replica = primary.clone();
        (primary, replica)
    }

    #[test]
    fn a_replica_follows_a_promotion_that_happened_at_or_after_its_end() {
        let (mut primary, replica) = pair();
        primary.branch(TimelineId(0), 0);
        primary.write(Said::Commit(9), None);
        assert_eq!(replica.goes_on_from(&primary), Ok(()));
        let mut follower = replica;
        let records = primary.since(follower.end()).to_vec();
        follower.append(&records, &primary.history);
        assert_eq!(follower, primary);
    }

    #[test]
    fn wal_beyond_the_fork_is_not_in_the_history() {
        let (mut old, mut new) = pair();
        new.branch(TimelineId(0), 0);
        old.write(Said::Commit(7), None);
        assert_eq!(old.goes_on_from(&new), Err(Gap::NotInHistory));
        assert_eq!(new.goes_on_from(&old), Err(Gap::UpstreamIsOlder));
    }

    #[test]
    fn two_promotions_to_the_same_timeline_differ_in_contents() {
        let (mut one, mut two) = pair();
        one.branch(TimelineId(0), 0);
        two.write(Said::Commit(8), None);
        two.branch(TimelineId(0), 0);
        one.write(Said::Commit(7), None);
        assert_eq!(one.end(), two.end());
        assert_eq!(one.goes_on_from(&two), Err(Gap::OtherContents));
    }
}
