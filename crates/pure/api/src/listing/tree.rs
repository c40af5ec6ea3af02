//! The order of `topology`: a leader, and below it whoever replicates from it.

use std::collections::BTreeSet;

use pgherd_domain::{ClusterView, MemberName, Tags};

/// Members with their depth below the leader, parents first, siblings by name. Whoever replicates from a
/// member that is not there replicates from the leader.
pub(super) fn order(view: &ClusterView) -> Vec<(MemberName, usize)> {
    let mut order = Vec::new();
    let mut placed = BTreeSet::new();
    let leader = view
        .leader_name()
        .filter(|leader| view.members.contains_key(*leader));
    if let Some(leader) = leader {
        order.push((leader.clone(), 0));
        placed.insert(leader.clone());
    }
    descend(view, leader, 1, &mut placed, &mut order);
    // members that replicate from each other in a circle belong nowhere; they are shown all the same
    for name in view.members.keys() {
        if placed.insert(name.clone()) {
            order.push((name.clone(), 1));
        }
    }
    order
}

fn descend(
    view: &ClusterView,
    parent: Option<&MemberName>,
    depth: usize,
    placed: &mut BTreeSet<MemberName>,
    order: &mut Vec<(MemberName, usize)>,
) {
    for name in view.members.keys() {
        if upstream(name, view).as_ref() == parent && placed.insert(name.clone()) {
            order.push((name.clone(), depth));
            descend(view, Some(name), depth + 1, placed, order);
        }
    }
}

/// Whom a member replicates from; `None` at the top of a cluster without a leader.
fn upstream(name: &MemberName, view: &ClusterView) -> Option<MemberName> {
    let leader = view
        .leader_name()
        .filter(|leader| view.members.contains_key(*leader));
    let tags = Tags::from_published(&view.members.get(name)?.tags);
    tags.replicatefrom
        .filter(|upstream| upstream != name && view.members.contains_key(upstream))
        .or_else(|| leader.cloned())
}
