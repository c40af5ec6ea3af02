//! I-05: nobody is promoted, or started to accept writes, without holding the leader key.

use pgherd_domain::MemberName;

use crate::world::State;

pub(super) fn check(state: &mut State, name: &MemberName, what: &str) {
    let holder = state.store.leader();
    if holder == Some(name.as_str()) {
        return;
    }
    let holder = holder.unwrap_or("nobody").to_owned();
    state.violated(
        "I-05",
        format!("{name} {what} while {holder} holds the leader key"),
    );
}
