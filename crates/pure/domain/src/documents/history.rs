//! `/history`: the timelines that ended, and who led the next one.

use serde_json::Value;

use super::unsigned;
use crate::{Lsn, TimelineId};

/// One ended timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The timeline that ended.
    pub timeline: TimelineId,
    /// Where it ended.
    pub at: Lsn,
    /// Why, as the history file says it.
    pub reason: String,
    /// When the next one began: ISO 8601.
    pub timestamp: Option<String>,
    /// Who led the next one.
    pub new_leader: Option<String>,
}

/// `[[timeline, lsn, reason, timestamp, new_leader], ...]`, oldest first (contract §4.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryDoc {
    /// The entries, oldest first.
    pub entries: Vec<HistoryEntry>,
}

impl HistoryDoc {
    /// Reads the key. `None` when it is no list; rows that are not understood are passed over.
    pub fn parse(value: &str) -> Option<Self> {
        let Ok(Value::Array(rows)) = serde_json::from_str(value) else {
            return None;
        };
        Some(Self {
            entries: rows.iter().filter_map(entry).collect(),
        })
    }

    /// The compact JSON that is written.
    pub fn render(&self) -> String {
        let rows: Vec<Value> = self.entries.iter().map(row).collect();
        Value::Array(rows).to_string()
    }

    /// The timeline that goes on now: one more than the last that ended.
    pub fn current_timeline(&self) -> TimelineId {
        TimelineId(
            self.entries
                .last()
                .map_or(1, |last| last.timeline.0.saturating_add(1)),
        )
    }
}

fn entry(row: &Value) -> Option<HistoryEntry> {
    let row = row.as_array()?;
    let text = |index: usize| row.get(index).and_then(Value::as_str).map(str::to_owned);
    Some(HistoryEntry {
        timeline: TimelineId(u32::try_from(unsigned(row.first())?).ok()?),
        at: Lsn::new(unsigned(row.get(1))?),
        reason: text(2)?,
        timestamp: text(3),
        new_leader: text(4),
    })
}

fn row(entry: &HistoryEntry) -> Value {
    let mut row: Vec<Value> = vec![
        entry.timeline.0.into(),
        entry.at.as_u64().into(),
        entry.reason.clone().into(),
    ];
    if let Some(timestamp) = &entry.timestamp {
        row.push(timestamp.clone().into());
        if let Some(leader) = &entry.new_leader {
            row.push(leader.clone().into());
        }
    }
    Value::Array(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_timeline_follows_the_last_entry() {
        assert_eq!(
            HistoryDoc::parse("[]").unwrap().current_timeline(),
            TimelineId(1)
        );
        let text =
            r#"[[1,50331808,"no recovery target specified","2026-11-24T03:00:00+00:00","b"]]"#;
        let doc = HistoryDoc::parse(text).unwrap();
        assert_eq!(doc.current_timeline(), TimelineId(2));
        assert_eq!(doc.render(), text);
    }

    #[test]
    fn three_elements_are_tolerated_and_garbage_is_unknown() {
        assert_eq!(
            HistoryDoc::parse(r#"[[3,1,"x"]]"#)
                .unwrap()
                .current_timeline(),
            TimelineId(4)
        );
        assert_eq!(HistoryDoc::parse("{}"), None);
    }
}
