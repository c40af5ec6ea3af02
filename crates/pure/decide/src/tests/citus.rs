//! The catalogue of Citus, against a table that refuses what Citus refuses.

use std::collections::BTreeSet;

use pgherd_domain::{DistNode, GroupNodes, NodeAddress, NodeChange, NodeRole};

use crate::citus::{demoted, moved, settled};

const GROUP: u32 = 1;

fn at(host: &str) -> NodeAddress {
    NodeAddress {
        host: host.to_owned(),
        port: 5432,
    }
}

fn node(id: i64, group: u32, role: NodeRole, host: &str) -> DistNode {
    DistNode {
        id,
        group,
        role,
        address: at(host),
    }
}

/// `pg_dist_node` as Citus keeps it: an address once, a primary before its secondaries and never a second one.
fn carry_out(rows: &mut Vec<DistNode>, changes: &[NodeChange]) {
    for change in changes {
        match change {
            NodeChange::Add {
                group,
                role,
                address,
            } => {
                assert!(
                    rows.iter().all(|row| row.address != *address),
                    "{changes:?}"
                );
                let has_primary = rows
                    .iter()
                    .any(|row| row.group == *group && row.role == NodeRole::Primary);
                assert_eq!(has_primary, *role == NodeRole::Secondary, "{changes:?}");
                rows.push(DistNode {
                    id: 1000 + i64::try_from(rows.len()).unwrap(),
                    group: *group,
                    role: *role,
                    address: address.clone(),
                });
            }
            NodeChange::Update { id, address } => {
                assert!(
                    rows.iter().all(|row| row.address != *address),
                    "{changes:?} on {rows:?}"
                );
                let row = rows.iter_mut().find(|row| row.id == *id).unwrap();
                row.address = address.clone();
            }
            NodeChange::Remove { address } => {
                let found = rows.iter().position(|row| row.address == *address);
                let removed = rows.remove(found.unwrap());
                assert_eq!(removed.role, NodeRole::Secondary, "shards belong to it");
            }
        }
    }
}

fn subsets(of: &[&str]) -> Vec<BTreeSet<NodeAddress>> {
    (0..1u32 << of.len())
        .map(|bits| {
            let chosen = of
                .iter()
                .enumerate()
                .filter(|(at, _)| bits & (1 << at) != 0);
            chosen.map(|(_, host)| at(host)).collect()
        })
        .collect()
}

/// Every catalogue of one group of up to three servers, beside another group that must stay as it is.
fn every_catalogue() -> Vec<Vec<DistNode>> {
    let hosts = ["a", "b", "c"];
    let mut all = Vec::new();
    for primary in [None, Some("a"), Some("b"), Some("c"), Some("a-demoted")] {
        for secondaries in subsets(&hosts) {
            if primary.is_some_and(|primary| secondaries.contains(&at(primary))) {
                continue;
            }
            let mut rows = vec![
                node(1, 0, NodeRole::Primary, "x"),
                node(2, 7, NodeRole::Primary, "y"),
                node(3, 7, NodeRole::Secondary, "z"),
            ];
            rows.extend(primary.map(|primary| node(10, GROUP, NodeRole::Primary, primary)));
            let ids = 20..;
            rows.extend(secondaries.iter().zip(ids).map(|(address, id)| DistNode {
                id,
                group: GROUP,
                role: NodeRole::Secondary,
                address: address.clone(),
            }));
            all.push(rows);
        }
    }
    all
}

fn of_group(rows: &[DistNode], role: NodeRole) -> BTreeSet<NodeAddress> {
    let of_group = rows
        .iter()
        .filter(|row| row.group == GROUP && row.role == role);
    of_group.map(|row| row.address.clone()).collect()
}

fn id_of_primary(rows: &[DistNode]) -> Option<i64> {
    let mut rows = rows.iter();
    rows.find(|row| row.group == GROUP && row.role == NodeRole::Primary)
        .map(|row| row.id)
}

#[test]
fn every_catalogue_comes_to_every_group_without_a_refusal_and_stays_there() {
    let mut cases = 0;
    for rows in every_catalogue() {
        for primary in ["a", "b", "c"] {
            for mut secondaries in subsets(&["a", "b", "c"]) {
                secondaries.remove(&at(primary));
                let wanted = GroupNodes {
                    primary: at(primary),
                    secondaries,
                };
                let mut after = rows.clone();
                carry_out(&mut after, &settled(&rows, GROUP, &wanted));
                let primaries = of_group(&after, NodeRole::Primary);
                assert_eq!(primaries, [wanted.primary.clone()].into(), "{rows:?}");
                assert_eq!(of_group(&after, NodeRole::Secondary), wanted.secondaries);
                let before = id_of_primary(&rows);
                assert!(before.is_none() || before == id_of_primary(&after));
                assert_eq!(after[..3], rows[..3], "another group is not touched");
                assert_eq!(settled(&after, GROUP, &wanted), [], "{after:?}");
                cases += 1;
            }
        }
    }
    assert!(cases > 400, "{cases}");
}

#[test]
fn every_change_of_the_primary_may_be_announced_or_not_and_keeps_all_rows() {
    for rows in every_catalogue() {
        for to in ["a", "b", "c"] {
            for announced in [false, true] {
                let mut after = rows.clone();
                if announced {
                    carry_out(&mut after, &demoted(&rows, GROUP));
                    assert_eq!(demoted(&after, GROUP), [], "once is enough");
                }
                let changes = moved(&after, GROUP, &at(to));
                carry_out(&mut after, &changes);
                assert_eq!(of_group(&after, NodeRole::Primary), [at(to)].into());
                assert_eq!(moved(&after, GROUP, &at(to)), []);
            }
        }
    }
}

#[test]
fn a_switchover_lets_both_rows_change_places() {
    let mut rows = vec![
        node(2, GROUP, NodeRole::Primary, "a"),
        node(3, GROUP, NodeRole::Secondary, "b"),
    ];
    let update = |id, host| NodeChange::Update {
        id,
        address: at(host),
    };
    let before = demoted(&rows, GROUP);
    assert_eq!(before, [update(2, "a-demoted")]);
    carry_out(&mut rows, &before);
    let changes = moved(&rows, GROUP, &at("b"));
    assert_eq!(changes, [update(3, "a"), update(2, "b")]);
}

#[test]
fn a_restart_gives_the_primary_its_name_back() {
    let mut rows = vec![node(2, GROUP, NodeRole::Primary, "a")];
    let before = demoted(&rows, GROUP);
    carry_out(&mut rows, &before);
    let after = moved(&rows, GROUP, &at("a"));
    carry_out(&mut rows, &after);
    assert_eq!(rows, [node(2, GROUP, NodeRole::Primary, "a")]);
    assert_eq!(demoted(&rows, 9), [], "nothing is listed of group 9");
}
