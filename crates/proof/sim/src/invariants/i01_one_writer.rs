//! I-01: at no instant would two servers acknowledge a write.
//!
//! A server counts when it accepts writes, the standbys that its commits wait for are really connected,
//! and its agent watches the lease. A primary whose agent is frozen or dead is the fence's business, not
//! the agent's: it does not count until its agent has finished a turn and had a second to act on it.

use std::time::Duration;

use pgherd_domain::MemberName;

use crate::postgres::would_acknowledge;
use crate::world::State;

/// How long stopping a server takes after the turn that decides it.
const ACTING: Duration = Duration::from_secs(1);

pub(super) fn check(state: &mut State) {
    let writers: Vec<MemberName> = state
        .hosts
        .iter()
        .filter(|(_, host)| {
            host.guarded_since
                .is_some_and(|since| state.now >= since + ACTING)
        })
        .filter(|(name, _)| would_acknowledge(state, name))
        .map(|(name, _)| name.clone())
        .collect();
    if writers.len() > 1 {
        let names: Vec<&str> = writers.iter().map(MemberName::as_str).collect();
        state.violated("I-01", format!("{} all accept writes", names.join(", ")));
    }
}
