//! I-04: once the faults have ended every member is the primary or a replica that streams.

use crate::world::State;

pub(super) const ID: &str = "I-04";

/// Who is not there yet, and why.
pub(super) fn not_yet(state: &State) -> Option<String> {
    let leader = state.store.leader()?;
    for (name, host) in state.hosts.iter().filter(|(_, host)| !host.outside) {
        let Some(postmaster) = host.server.postmaster.as_ref() else {
            return Some(format!("{name} does not run"));
        };
        if name.as_str() == leader {
            continue;
        }
        if !postmaster.recovery {
            return Some(format!("{name} is a primary and {leader} leads"));
        }
        if postmaster.receiver.is_none() {
            return Some(format!("{name} does not stream"));
        }
        if host.server.set_aside.is_some() {
            return Some(format!("{name} still keeps its old data directory"));
        }
    }
    None
}
