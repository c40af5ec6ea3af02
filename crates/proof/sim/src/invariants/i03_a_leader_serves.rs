//! I-03: once the faults have ended a leader appears, and commits are acknowledged again; in a standby cluster it
//! streams from the other one.

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
    if state.store.follows_another() {
        let streams = host
            .server
            .postmaster
            .as_ref()
            .and_then(|it| it.receiver.as_ref());
        let is_remote = streams.is_some_and(|it| it.from.name.is_none());
        return (!is_remote)
            .then(|| format!("{leader} leads and does not follow the other cluster"));
    }
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
