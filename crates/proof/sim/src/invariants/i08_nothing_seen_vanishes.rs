//! I-08: no commit that clients could read on a primary that was started anew in synchronous mode, or on one that came
//! back as a replica, is missing on a later primary.
//!
//! Such a server shows commits that nobody has acknowledged, because they waited for a standby when it ended. What a
//! promoted standby shows, and what replicas show before everybody has it, does not count.

use pgherd_domain::MemberName;

use crate::world::State;

pub(super) fn check(state: &mut State, primary: &MemberName) {
    let Some(cluster) = state.host(primary).server.cluster() else {
        return;
    };
    let gone: Vec<_> = state
        .ledger
        .shown
        .iter()
        .filter(|(id, _)| !cluster.wal.has_commit(**id))
        .collect();
    let Some((id, first)) = gone.first() else {
        return;
    };
    let what = format!(
        "{primary} is primary without {} commits that could be read in synchronous mode, the first ({id}) at {:.3}s on {}",
        gone.len(),
        first.at.as_secs_f64(),
        first.server,
    );
    state.violated("I-08", what);
}
