//! What stands in the way of a change of regions, and what is said of a loss.

use pgherd_domain::documents::FailoverDoc;
use pgherd_domain::{ClusterView, Lsn, PgRole, PgState, TimelineId, Versioned};
use serde_json::{Value, json};

use super::failover::loss;
use super::record::{self, Entry, objection};
use super::region::{Kind, Position, kind, writes};
use super::{against, verdict};
use crate::tests::fake::{NOBODY, name, view};

const SYSTEM_ID: &str = "7000000000000000001";

/// Led by `a`, a primary.
fn primary() -> ClusterView {
    let mut view = view(NOBODY, NOBODY, NOBODY);
    view.initialize = Some(Versioned {
        value: SYSTEM_ID.into(),
        revision: 1,
    });
    view.failover = None;
    let a = view.members.get_mut(&name("a")).unwrap();
    a.state = Some(PgState::Running);
    a.role = Some(PgRole::Primary);
    a.timeline = Some(TimelineId(3));
    a.xlog_location = Some(Lsn::new(0x5000));
    view
}

/// The same as a standby of somebody.
fn standby() -> ClusterView {
    let mut view = primary();
    config(&mut view, json!({"standby_cluster": {"host": "h"}}));
    let a = view.members.get_mut(&name("a")).unwrap();
    a.role = Some(PgRole::StandbyLeader);
    a.replication_state = Some("streaming".into());
    view
}

fn config(view: &mut ClusterView, value: Value) {
    view.config = Some(Versioned { value, revision: 2 });
}

#[test]
fn two_regions_in_order_are_ready() {
    assert_eq!(
        (kind(&primary()), kind(&standby())),
        (Kind::Primary, Kind::Standby)
    );
    assert_eq!(against(&primary(), &standby()), [""; 0]);
    assert_eq!(
        verdict(&standby(), &primary()),
        "Ready for `pgherd dr switchover`"
    );
}

#[test]
fn two_primaries_are_told_before_anything_else() {
    assert!(writes(&primary()));
    assert!(verdict(&primary(), &primary()).starts_with("BOTH regions accept writes"));
    // A standby whose members still say primary is one.
    let mut leaving = standby();
    leaving.members.get_mut(&name("a")).unwrap().role = Some(PgRole::Primary);
    assert!(writes(&leaving) && kind(&leaving) == Kind::Between);
}

#[test]
fn everything_in_the_way_is_listed() {
    let mut to = standby();
    to.initialize = Some(Versioned {
        value: "7000000000000000002".into(),
        revision: 1,
    });
    to.failover = Some(Versioned {
        value: FailoverDoc::default(),
        revision: 3,
    });
    config(
        &mut to,
        json!({"standby_cluster": {"host": "h"}, "pause": true}),
    );
    let a = to.members.get_mut(&name("a")).unwrap();
    a.replication_state = None;
    a.timeline = Some(TimelineId(2));
    let ways = against(&primary(), &to).join("\n");
    for way in [
        "the standby region is paused",
        "a switchover is ordered inside the standby region",
        "different clusters",
        "does not stream",
        "on timeline 2, the primary one on 3",
    ] {
        assert!(ways.contains(way), "{way} in:\n{ways}");
    }
    let mut far_behind = standby();
    far_behind
        .members
        .get_mut(&name("a"))
        .unwrap()
        .xlog_location = Some(Lsn::new(0));
    let mut ahead = primary();
    ahead.members.get_mut(&name("a")).unwrap().xlog_location = Some(Lsn::new(2 << 20));
    let ways = against(&ahead, &far_behind).join("\n");
    assert!(ways.contains("2097152 bytes behind"), "{ways}");
}

#[test]
fn an_interrupted_switchover_is_found_in_either_region_and_a_finished_one_is_not() {
    let with = |mut view: ClusterView, state: &str| {
        let entry = json!({"at": "t", "what": "switchover", "state": state, "side": "from"});
        view.dr = Some(Versioned {
            value: json!([{"at": "s", "what": "failover", "state": "begun"}, entry]),
            revision: 4,
        });
        view
    };
    for state in ["begun", "stopped", "promoting", "undoing"] {
        assert!(record::open(&with(standby(), state)).is_some(), "{state}");
        let said = verdict(&with(standby(), state), &standby());
        assert!(said.contains("was interrupted"), "{said}");
    }
    for state in ["done", "undone"] {
        assert_eq!(record::open(&with(standby(), state)), None, "{state}");
    }
}

#[test]
fn a_loss_is_told_as_far_as_it_is_known() {
    let at = |lsn| {
        Some(Position {
            timeline: TimelineId(3),
            lsn: Lsn::new(lsn),
        })
    };
    let known = loss(at(0x1000), at(0x1800));
    assert!(known.contains("2048 bytes are missing"), "{known}");
    let unknown = loss(at(0x1000), None);
    assert!(
        unknown.contains("how far the lost one was is not known"),
        "{unknown}"
    );
    let line = Entry::new("failover", "2026-11-26")
        .at("promoted with", at(0x1000))
        .at("last known of the lost region", None)
        .line();
    assert_eq!(
        line,
        "2026-11-26 failover begun, promoted with: 0/1000 on timeline 3, last known of the lost region: unknown"
    );
}

#[test]
fn going_on_and_going_back_exclude_each_other() {
    let entry = |at: &str, state: &str| Entry::new("switchover", at).with("state", state);
    let may = |old: &str, new: &str| objection(&[entry("s", old)], &entry("s", new)).is_none();
    assert!(objection(&[], &entry("s", "begun")).is_none());
    for (old, new) in [
        ("begun", "stopped"),
        ("stopped", "promoting"),
        ("promoting", "promoting"),
        ("promoting", "done"),
        ("begun", "undone"),
        ("stopped", "undoing"),
        ("undoing", "undone"),
    ] {
        assert!(may(old, new), "{old} to {new}");
    }
    for (old, new) in [
        ("promoting", "undoing"),
        ("promoting", "undone"),
        ("undoing", "stopped"),
        ("undoing", "promoting"),
        ("done", "undoing"),
        ("undone", "promoting"),
    ] {
        assert!(!may(old, new), "{old} to {new}");
    }
    let another = objection(&[entry("before", "stopped")], &entry("s", "begun"));
    assert!(another.is_some_and(|why| why.contains("before switchover stopped")));
    assert!(objection(&[entry("before", "done")], &entry("s", "begun")).is_none());
}
