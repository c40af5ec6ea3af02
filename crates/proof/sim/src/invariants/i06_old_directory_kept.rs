//! I-06: a data directory that a copy replaced is kept until the copy has streamed.

use pgherd_domain::MemberName;

use crate::world::State;

pub(super) fn check(state: &mut State, name: &MemberName) {
    let proven = state
        .host(name)
        .server
        .cluster()
        .is_some_and(|cluster| cluster.proven);
    if !proven {
        state.violated(
            "I-06",
            format!("{name} removes its old data directory before the copy has streamed"),
        );
    }
}
