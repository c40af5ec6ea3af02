//! What must always hold, each with an id and a file of its own.
//!
//! I-01, I-02, I-05, I-06 and I-08 are looked at whenever something changes; I-03 and I-04 when the faults have
//! ended; I-07 (the same seed gives the same bytes) is a test over whole universes.

mod i01_one_writer;
mod i02_nothing_lost;
mod i03_a_leader_serves;
mod i04_everybody_streams;
mod i05_key_before_promotion;
mod i06_old_directory_kept;
mod i08_nothing_seen_vanishes;

use std::fmt;
use std::time::Duration;

use pgherd_domain::MemberName;

use crate::world::State;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which, such as `I-01`.
    pub id: &'static str,
    /// When, since the universe began.
    pub at: Duration,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_secs_f64();
        write!(f, "{} broken at {at:.3}s: {}", self.id, self.what)
    }
}

impl State {
    /// Notes a violation, each text once.
    fn violated(&mut self, id: &'static str, what: String) {
        let known = |known: &Violation| known.id == id && known.what == what;
        if self.violations.iter().any(known) {
            return;
        }
        let violation = Violation {
            id,
            at: self.now,
            what,
        };
        self.tell("!", violation.to_string());
        self.violations.push(violation);
    }
}

/// After every change of the world.
pub(crate) fn at_every_change(state: &mut State) {
    i01_one_writer::check(state);
}

/// When a server is told to end recovery.
pub(crate) fn at_promotion(state: &mut State, name: &MemberName) {
    if !state.host(name).outside {
        i05_key_before_promotion::check(state, name, i05_key_before_promotion::PROMOTED);
    }
}

/// When a server is started to accept writes.
pub(crate) fn at_start_as_primary(state: &mut State, name: &MemberName) {
    let first = state.store.value("initialize").is_none_or(str::is_empty);
    if !first {
        i05_key_before_promotion::check(state, name, "is started as a primary");
    }
}

/// When recovery has ended.
pub(crate) fn after_promotion(state: &mut State, name: &MemberName) {
    if !state.host(name).outside {
        i02_nothing_lost::check(state, name);
        i08_nothing_seen_vanishes::check(state, name);
    }
}

/// When the old data directory is removed.
pub(crate) fn at_forgetting(state: &mut State, name: &MemberName) {
    i06_old_directory_kept::check(state, name);
}

/// Why the cluster has not healed yet; `None` when it has. `since` is when the faults ended.
pub(crate) fn not_healed(state: &State, since: Duration) -> Option<(&'static str, String)> {
    i03_a_leader_serves::not_yet(state, since)
        .map(|why| (i03_a_leader_serves::ID, why))
        .or_else(|| {
            i04_everybody_streams::not_yet(state).map(|why| (i04_everybody_streams::ID, why))
        })
}

/// The time is over, and the cluster has not healed.
pub(crate) fn never_healed(state: &mut State, id: &'static str, why: String) {
    state.violated(id, why);
}

/// At the end: what was acknowledged is where the writes go now.
pub(crate) fn at_the_end(state: &mut State) {
    let leader = state
        .store
        .leader()
        .and_then(|leader| MemberName::new(leader).ok())
        .filter(|leader| state.hosts.contains_key(leader));
    if let Some(leader) = leader {
        i02_nothing_lost::check(state, &leader);
        i08_nothing_seen_vanishes::check(state, &leader);
    }
}
