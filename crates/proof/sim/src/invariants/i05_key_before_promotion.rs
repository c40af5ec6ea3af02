//! I-05: nobody is promoted, or started to accept writes, without holding the leader key. In pause an
//! operator may restart a primary that has none; and nobody can know of a lease that the DCS ended before
//! its time.

use pgherd_domain::MemberName;

use crate::world::State;

/// What is said of a promotion.
pub(super) const PROMOTED: &str = "is promoted";

pub(super) fn check(state: &mut State, name: &MemberName, what: &str) {
    let holder = state.store.leader();
    let paused = state
        .store
        .value("config")
        .is_some_and(|config| config.contains("\"pause\":true"));
    let excused = state.now < state.host(name).excused_until;
    if excused || holder == Some(name.as_str()) || (paused && what != PROMOTED) {
        return;
    }
    let holder = holder.unwrap_or("nobody").to_owned();
    state.violated(
        "I-05",
        format!("{name} {what} while {holder} holds the leader key"),
    );
}
