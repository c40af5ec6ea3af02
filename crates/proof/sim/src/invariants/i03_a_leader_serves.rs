//! I-03: once the faults have ended a leader appears, and commits are acknowledged again.

use std::time::Duration;

use crate::world::State;

pub(super) const ID: &str = "I-03";

/// Why nobody serves yet.
pub(super) fn not_yet(state: &State, since: Duration) -> Option<String> {
    let Some(leader) = state.store.leader() else {
        return Some("nobody holds the leader key".to_owned());
    };
    let Some((_, host)) = state.hosts.iter().find(|(name, _)| name.as_str() == leader) else {
        return Some(format!("{leader} holds the leader key and is no member"));
    };
    if !host.server.takes_writes() {
        return Some(format!(
            "{leader} holds the leader key and does not accept writes"
        ));
    }
    let served = state
        .ledger
        .acknowledged
        .last()
        .is_some_and(|done| done.at > since && done.server.as_str() == leader);
    (!served).then(|| format!("{leader} leads and acknowledges nothing"))
}
