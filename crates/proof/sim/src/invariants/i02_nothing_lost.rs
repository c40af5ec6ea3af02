//! I-02: no commit that was acknowledged in synchronous mode is missing on a later primary.

use std::collections::BTreeSet;

use pgherd_domain::MemberName;

use crate::world::State;

pub(super) fn check(state: &mut State, primary: &MemberName) {
    let Some(cluster) = state.host(primary).server.cluster() else {
        return;
    };
    let has: BTreeSet<u64> = cluster.wal.commits().collect();
    let lost: Vec<_> = state
        .ledger
        .acknowledged
        .iter()
        .filter(|done| done.synchronous && !has.contains(&done.id))
        .collect();
    let Some(first) = lost.first() else {
        return;
    };
    let what = format!(
        "{primary} is primary without {} commits acknowledged in synchronous mode, the first at {:.3}s by {} ({} on timeline {})",
        lost.len(),
        first.at.as_secs_f64(),
        first.server,
        first.lsn,
        first.timeline,
    );
    state.violated("I-02", what);
}
