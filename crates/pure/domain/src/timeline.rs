//! Timelines and their history: which WAL belongs to which promotion.

use std::fmt;

use crate::Lsn;

/// A timeline: each promotion starts a new one, with the next number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimelineId(pub u32);

impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a timeline ended: the next one begins at this position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchPoint {
    /// The timeline that ended.
    pub timeline: TimelineId,
    /// The first position that is not on it any more.
    pub at: Lsn,
    /// Why, as the history file says it.
    pub reason: String,
}

/// A timeline with all the switch points of its ancestors, oldest first (`NNNNNNNN.history`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TimelineHistory {
    /// The switch points, oldest first; empty on timeline 1.
    pub switches: Vec<SwitchPoint>,
}

impl TimelineHistory {
    /// Reads a history file as PostgreSQL writes it: `timeline<TAB>lsn<TAB>reason` a line, `#` for
    /// comments. Lines that are neither are passed over, as PostgreSQL's own tools do for blank ones.
    pub fn parse(text: &str) -> Self {
        let switches = text
            .lines()
            .filter_map(|line| {
                let line = line.trim();
                if line.starts_with('#') {
                    return None;
                }
                let mut parts = line.splitn(3, char::is_whitespace);
                let timeline = TimelineId(parts.next()?.parse().ok()?);
                let at = Lsn::parse(parts.next()?).ok()?;
                Some(SwitchPoint {
                    timeline,
                    at,
                    reason: parts.next().unwrap_or("").trim().into(),
                })
            })
            .collect();
        Self { switches }
    }

    /// Where `timeline` ended in this history; `None` when it is not an ancestor.
    pub fn switch_of(&self, timeline: TimelineId) -> Option<Lsn> {
        self.switches
            .iter()
            .find(|switch| switch.timeline == timeline)
            .map(|switch| switch.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_file_is_read_with_comments_and_blank_lines() {
        let text = "1\t0/5000000\tno recovery target specified\n\n# note\n2\t0/7000028\tother\n";
        let history = TimelineHistory::parse(text);
        assert_eq!(history.switches.len(), 2);
        assert_eq!(
            history.switch_of(TimelineId(2)),
            Some(Lsn::new(0x0700_0028))
        );
        assert_eq!(history.switch_of(TimelineId(3)), None);
        assert_eq!(history.switches[0].reason, "no recovery target specified");
    }
}
