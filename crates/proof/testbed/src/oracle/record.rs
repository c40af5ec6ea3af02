//! What the clients saw, and the questions to it: the longest gap, lost rows, a second writer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A row that a server acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Which client, and which of its rows.
    pub row: (i32, i64),
    /// Name of the server.
    pub server: String,
    /// Timeline the server wrote on.
    pub timeline: u32,
    /// When the row was sent.
    pub sent: Duration,
    /// When it was acknowledged.
    pub acked: Duration,
    /// Written by a client that stays at one server whoever leads.
    pub direct: bool,
}

/// A time without any acknowledged row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Last acknowledgement before it.
    pub from: Duration,
    /// First acknowledgement after it, or the end of the window.
    pub to: Duration,
    /// Whether the window ended before another row was acknowledged.
    pub open: bool,
}

impl Gap {
    /// How long it was.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// Rows acknowledged and rows found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Rows acknowledged to clients that follow the leader (or their one server).
    pub acknowledged: usize,
    /// Those of them that are not there any more.
    pub lost: Vec<Ack>,
    /// The same for clients that stay at one server whoever leads.
    pub lost_direct: Vec<Ack>,
    /// Rows whose fate a client never learned; they may be there or not.
    pub unknown: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Record {
    acks: Vec<Ack>,
    unknown: BTreeSet<(i32, i64)>,
    /// What ended attempts, and how often.
    pub(crate) faults: BTreeMap<String, u64>,
}

impl Record {
    pub(crate) fn acks(&self) -> impl Iterator<Item = &Ack> {
        self.acks.iter()
    }

    pub(crate) fn acknowledge(&mut self, ack: Ack) {
        self.acks.push(ack);
    }

    /// Notes that nobody knows whether `row` was written.
    pub(crate) fn leave_unknown(&mut self, row: (i32, i64)) {
        self.unknown.insert(row);
    }

    pub(crate) fn fault(&mut self, fault: String) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(crate) fn longest_gap(&self, from: Duration, to: Duration) -> Gap {
        let mut times: Vec<Duration> = self
            .acks()
            .filter(|ack| !ack.direct && ack.acked >= from && ack.acked <= to)
            .map(|ack| ack.acked)
            .collect();
        times.sort_unstable();
        let mut longest = Gap {
            from,
            to: from,
            open: false,
        };
        let mut last = from;
        for time in times {
            if time.saturating_sub(last) > longest.length() {
                longest = Gap {
                    from: last,
                    to: time,
                    open: false,
                };
            }
            last = time;
        }
        if to.saturating_sub(last) > longest.length() {
            longest = Gap {
                from: last,
                to,
                open: true,
            };
        }
        longest
    }

    /// One writer means: once a row is acknowledged on a timeline, nothing that is *sent* later is acknowledged on an
    /// older one; and one timeline has one server.
    pub(crate) fn two_writers(&self) -> Option<String> {
        let by_timeline = self.by_timeline();
        for (timeline, acks) in &by_timeline {
            let servers: BTreeSet<&str> = acks.iter().map(|ack| ack.server.as_str()).collect();
            if servers.len() > 1 {
                return Some(format!("timeline {timeline} was written on {servers:?}"));
            }
            let first = acks.iter().min_by_key(|ack| ack.acked)?;
            let older = by_timeline.range(..timeline).flat_map(|(_, acks)| acks);
            if let Some(late) = older
                .filter(|ack| ack.sent > first.acked)
                .max_by_key(|ack| ack.sent)
            {
                return Some(format!(
                    "{} acknowledged a row on timeline {} that was sent {:?} after {} had acknowledged one on \
                     timeline {timeline}",
                    late.server,
                    late.timeline,
                    late.sent.saturating_sub(first.acked),
                    first.server
                ));
            }
        }
        None
    }

    /// For how long two servers took rows, by the measure of [`Self::two_writers`]: from the first row acknowledged on
    /// a timeline to the last one that an older timeline acknowledged after that; the longest such time.
    pub(crate) fn time_of_two_writers(&self) -> Duration {
        let by_timeline = self.by_timeline();
        let mut longest = Duration::ZERO;
        for (timeline, acks) in &by_timeline {
            let Some(first) = acks.iter().map(|ack| ack.acked).min() else {
                continue;
            };
            let older = by_timeline.range(..timeline).flat_map(|(_, acks)| acks);
            let late = older.filter(|ack| ack.sent > first).map(|ack| ack.acked);
            let last = late.max().unwrap_or(first);
            longest = longest.max(last.saturating_sub(first)).max(shared(acks));
        }
        longest
    }

    fn by_timeline(&self) -> BTreeMap<u32, Vec<&Ack>> {
        let mut by_timeline: BTreeMap<u32, Vec<&Ack>> = BTreeMap::new();
        for ack in &self.acks {
            by_timeline.entry(ack.timeline).or_default().push(ack);
        }
        by_timeline
    }

    pub(crate) fn audit(&self, present: &BTreeSet<(i32, i64)>) -> Audit {
        let missing = |direct| {
            let acks = self.acks.iter().filter(move |ack| ack.direct == direct);
            acks.filter(|ack| !present.contains(&ack.row))
                .cloned()
                .collect()
        };
        Audit {
            acknowledged: self.acks().filter(|ack| !ack.direct).count(),
            lost: missing(false),
            lost_direct: missing(true),
            unknown: self.unknown.len(),
        }
    }
}

/// For how long rows of one timeline were acknowledged at more than one server: from the second server's first row to
/// the last row of whoever ended first.
fn shared(acks: &[&Ack]) -> Duration {
    let mut spans: BTreeMap<&str, (Duration, Duration)> = BTreeMap::new();
    for ack in acks {
        let span = spans.entry(&ack.server).or_insert((ack.acked, ack.acked));
        *span = (span.0.min(ack.acked), span.1.max(ack.acked));
    }
    let mut spans: Vec<_> = spans.into_values().collect();
    spans.sort_unstable();
    let pairs = spans.iter().zip(spans.iter().skip(1));
    pairs
        .map(|(first, second)| first.1.min(second.1).saturating_sub(second.0))
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Ack, Gap, Record};

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn ack(server: &str, timeline: u32, sent: u64, acked: u64) -> Ack {
        let row = (0, i64::try_from(sent).unwrap());
        let (sent, acked) = (ms(sent), ms(acked));
        Ack {
            row,
            server: server.to_owned(),
            timeline,
            sent,
            acked,
            direct: false,
        }
    }

    fn record(acks: impl IntoIterator<Item = Ack>) -> Record {
        let mut record = Record::default();
        acks.into_iter().for_each(|ack| record.acknowledge(ack));
        record
    }

    #[test]
    fn the_longest_gap_is_between_two_acknowledgements_or_still_open() {
        let record = record([
            ack("a", 1, 0, 10),
            ack("a", 1, 10, 20),
            ack("b", 2, 30, 500),
        ]);
        let gap = record.longest_gap(ms(0), ms(510));
        assert_eq!(
            gap,
            Gap {
                from: ms(20),
                to: ms(500),
                open: false
            }
        );
        let gap = record.longest_gap(ms(0), ms(2000));
        assert_eq!(
            gap,
            Gap {
                from: ms(500),
                to: ms(2000),
                open: true
            }
        );
    }

    #[test]
    fn a_row_sent_to_the_old_timeline_after_the_new_one_took_one_is_a_second_writer() {
        let fine = record([ack("a", 1, 0, 90), ack("b", 2, 80, 85), ack("b", 2, 90, 95)]);
        assert_eq!(
            fine.two_writers(),
            None,
            "sent before, acknowledged after: may be in flight"
        );
        let split = record([ack("a", 1, 86, 90), ack("b", 2, 80, 85)]);
        assert!(
            split
                .two_writers()
                .unwrap()
                .contains("a acknowledged a row on timeline 1")
        );
    }

    #[test]
    fn one_timeline_on_two_servers_is_a_second_writer() {
        let split = record([ack("a", 2, 0, 10), ack("b", 2, 20, 30)]);
        assert!(
            split
                .two_writers()
                .unwrap()
                .contains("timeline 2 was written on")
        );
    }

    #[test]
    fn the_time_of_two_writers_ends_with_the_last_row_of_the_older_one() {
        let fine = record([ack("a", 1, 0, 90), ack("b", 2, 80, 85), ack("b", 2, 90, 95)]);
        assert_eq!(fine.time_of_two_writers(), ms(0));
        let late = [ack("a", 1, 86, 90), ack("a", 1, 300, 340)];
        let split = record([ack("b", 2, 80, 85)].into_iter().chain(late));
        assert_eq!(split.time_of_two_writers(), ms(340 - 85));
        let twins = [ack("a", 2, 0, 10), ack("a", 2, 70, 80)];
        let twins = record(
            [ack("b", 2, 20, 30), ack("b", 2, 40, 50)]
                .into_iter()
                .chain(twins),
        );
        assert_eq!(twins.time_of_two_writers(), ms(50 - 30));
    }

    #[test]
    fn an_unknown_row_is_neither_acknowledged_nor_lost() {
        let mut record = record([ack("a", 1, 1, 10), ack("a", 1, 2, 20)]);
        record.leave_unknown((0, 3));
        let audit = record.audit(&[(0, 1)].into());
        assert_eq!((audit.acknowledged, audit.unknown), (2, 1));
        let lost: Vec<_> = audit.lost.iter().map(|ack| ack.row).collect();
        assert_eq!(lost, [(0, 2)]);
    }
}
