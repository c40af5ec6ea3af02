//! The journal: what happened, in order, as the transcript shows it.

use std::fmt::Write as _;
use std::time::Duration;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, since the universe began.
    pub at: Duration,
    /// Who: a member, `dcs`, `clients` or `>` for a command.
    pub who: String,
    /// What.
    pub what: String,
}

/// Everything that was told.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) entries: Vec<Entry>,
}

impl Journal {
    pub(crate) fn tell(&mut self, at: Duration, who: &str, what: String) {
        self.entries.push(Entry {
            at,
            who: who.to_owned(),
            what,
        });
    }
}

/// The entries as lines, with times counted from `zero`, in seconds with so many decimals.
pub(crate) fn render(entries: &[Entry], zero: Duration, decimals: usize) -> String {
    let width = entries
        .iter()
        .map(|entry| entry.who.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for entry in entries {
        let at = entry.at.saturating_sub(zero).as_secs_f64();
        // Writing to a string can not fail.
        writeln!(
            text,
            "{at:>7.decimals$}  {:<width$}  {}",
            entry.who, entry.what
        )
        .ok();
    }
    text
}
