//! I-01: at no instant would two servers acknowledge a write.
//!
//! A server counts when it accepts writes and the standbys that its commits wait for are really connected.
//! Three kinds do not count, because nobody could know better: one whose lease the DCS ended before its time,
//! for as long as that lease would have lived; and one whose agent last heard that the cluster is paused: by
//! contract §13 it goes on without the key, and it has a second to act on the end of the pause; and one on a host
//! that wakes from a suspend, for the moment that its fence needs.

use pgherd_domain::MemberName;

use crate::postgres::would_acknowledge;
use crate::world::State;

pub(super) fn check(state: &mut State) {
    let writers: Vec<MemberName> = state
        .hosts
        .iter()
        .filter(|(_, host)| state.now >= host.excused_until && !host.knows_pause && !host.outside)
        .filter(|(name, _)| would_acknowledge(state, name))
        .map(|(name, _)| name.clone())
        .collect();
    if writers.len() > 1 {
        let names: Vec<&str> = writers.iter().map(MemberName::as_str).collect();
        state.violated("I-01", format!("{} all accept writes", names.join(", ")));
    }
}
