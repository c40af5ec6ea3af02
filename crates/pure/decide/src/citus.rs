//! Which calls bring Citus' catalogue of nodes to what the groups are (contract §20).
//!
//! The row of a primary is never removed: shards belong to it. It gets the address of the new primary, and when that one
//! is listed as a secondary both rows change places, by way of a name that nobody has: an address is listed once.

use std::collections::BTreeSet;

use pgherd_domain::{DistNode, GroupNodes, NodeAddress, NodeChange, NodeRole};

/// The primary of `group` as it is listed.
fn primary(held: &[DistNode], group: u32) -> Option<&DistNode> {
    let mut of_group = held.iter().filter(|node| node.group == group);
    of_group.find(|node| node.role == NodeRole::Primary)
}

/// The primary of `group` is about to stop: its row gets a name under which connections wait. Nothing, where none is listed.
pub fn demoted(held: &[DistNode], group: u32) -> Vec<NodeChange> {
    let Some(node) = primary(held, group) else {
        return Vec::new();
    };
    let address = node.address.demoted();
    if node.address == address {
        return Vec::new();
    }
    vec![NodeChange::Update {
        id: node.id,
        address,
    }]
}

/// `to` is the primary of `group`: its row leads there, and a secondary that was listed there is listed where the primary
/// was. Nothing else is touched, so that a change of the primary is short.
pub fn moved(held: &[DistNode], group: u32, to: &NodeAddress) -> Vec<NodeChange> {
    let there = held.iter().find(|node| node.address == *to);
    let Some(primary) = primary(held, group) else {
        // A secondary row can not become one of a primary.
        let former = there
            .filter(|node| node.role == NodeRole::Secondary)
            .map(|_| NodeChange::Remove {
                address: to.clone(),
            });
        let added = NodeChange::Add {
            group,
            role: NodeRole::Primary,
            address: to.clone(),
        };
        return former.into_iter().chain([added]).collect();
    };
    let update = |id, address: &NodeAddress| NodeChange::Update {
        id,
        address: address.clone(),
    };
    if primary.address == *to {
        return Vec::new();
    }
    let mut changes = Vec::new();
    if let Some(secondary) = there.filter(|node| node.role == NodeRole::Secondary) {
        let (before, marked) = (primary.address.without_mark(), primary.address.demoted());
        if before == *to {
            // Both are the same server: an agent before us has left it so.
            changes.push(NodeChange::Remove {
                address: to.clone(),
            });
        } else if held.iter().any(|node| node.address == before) && primary.address != before {
            changes.push(NodeChange::Remove {
                address: to.clone(),
            });
        } else {
            if primary.address != marked {
                changes.push(update(primary.id, &marked));
            }
            changes.push(update(secondary.id, &before));
        }
    }
    changes.push(update(primary.id, to));
    changes
}

/// The group is as `wanted` says: first the primary, then secondaries that are gone are removed and new ones added.
pub fn settled(held: &[DistNode], group: u32, wanted: &GroupNodes) -> Vec<NodeChange> {
    let mut changes = moved(held, group, &wanted.primary);
    let after = carried_out(held, &changes);
    let listed: BTreeSet<&NodeAddress> = after
        .iter()
        .filter(|node| node.group == group && node.role == NodeRole::Secondary)
        .map(|node| &node.address)
        .collect();
    let gone = listed
        .iter()
        .filter(|address| !wanted.secondaries.contains(**address));
    changes.extend(gone.map(|address| NodeChange::Remove {
        address: (*address).clone(),
    }));
    let new = wanted
        .secondaries
        .iter()
        .filter(|address| !listed.contains(*address));
    changes.extend(new.map(|address| NodeChange::Add {
        group,
        role: NodeRole::Secondary,
        address: address.clone(),
    }));
    changes
}

/// The rows after `changes`, without those that are added, whose ids the server gives.
fn carried_out(held: &[DistNode], changes: &[NodeChange]) -> Vec<DistNode> {
    let mut rows = held.to_vec();
    for change in changes {
        match change {
            NodeChange::Update { id, address } => {
                for row in rows.iter_mut().filter(|row| row.id == *id) {
                    row.address = address.clone();
                }
            }
            NodeChange::Remove { address } => rows.retain(|row| row.address != *address),
            NodeChange::Add { .. } => {}
        }
    }
    rows
}
