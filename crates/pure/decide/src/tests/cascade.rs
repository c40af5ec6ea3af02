//! Who streams from whom (contract §5.6, §15).

use pgherd_domain::{Action, Adjustment, PgRole, PgState};

use super::build::{END, World, member, secs};
use super::slots::{slots, told, with_slots};
use crate::Decision;

/// The replica `c` of `b`, which is a replica of the leader `a`.
fn cascading() -> World {
    with_slots(member("c").replica(1, END).streams_from("b"))
        .tags(r#"{"replicatefrom": "b"}"#)
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .other("b", PgRole::Replica, 1)
}

/// Whom the decision points PostgreSQL at.
fn follows(decision: &Decision) -> Option<String> {
    decision.actions.iter().find_map(|action| match action {
        Action::Adjust(Adjustment::Follow { upstream }) => {
            Some(upstream.as_ref()?.name.as_ref()?.to_string())
        }
        _ => None,
    })
}

#[test]
fn an_upstream_that_is_gone_or_runs_as_a_stale_primary_is_left_for_the_leader() {
    assert_eq!(follows(&cascading().decide()).as_deref(), Some("b"));
    let gone = cascading().other_doc("b", |b| b.state = Some(PgState::Stopped));
    let stale = cascading().other("b", PgRole::Primary, 1);
    for world in [gone, stale] {
        assert_eq!(follows(&world.decide()).as_deref(), Some("a"));
    }
}

#[test]
fn an_upstream_that_gives_no_wal_is_passed_over_for_a_while_and_tried_again() {
    let mut world = cascading().live(|live| live.receiver = None);
    world.turn();
    let mut world = world.later(secs(5));
    let decision = world.turn();
    assert!(told(&decision, "no WAL comes from b"));
    assert_eq!(follows(&world.turn()).as_deref(), Some("a"));
    let mut world = world.later(secs(20));
    assert_ne!(follows(&world.turn()).as_deref(), Some("b"));
    assert_eq!(follows(&world.later(secs(11)).turn()).as_deref(), Some("b"));
}

#[test]
fn a_circle_is_told_and_its_members_stream_from_the_leader() {
    let circle = cascading().other_doc("b", |b| {
        b.tags.insert("replicatefrom".into(), "c".into());
    });
    let decision = circle.decide();
    assert!(told(&decision, "go round in a circle (c -> b -> c)"));
    assert_eq!(follows(&decision).as_deref(), Some("a"));
    // A member outside the circle may follow one of it, which streams from the leader.
    let outside = with_slots(member("d").replica(1, END).streams_from("c"))
        .tags(r#"{"replicatefrom": "c"}"#)
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .other_doc("b", |b| {
            b.tags.insert("replicatefrom".into(), "c".into());
        })
        .other_doc("c", |c| {
            c.tags.insert("replicatefrom".into(), "b".into());
        })
        .decide();
    assert_eq!(follows(&outside).as_deref(), Some("c"));
    assert!(!told(&outside, "circle"));
}

#[test]
fn a_tag_that_names_the_member_itself_is_told() {
    let decision = cascading().tags(r#"{"replicatefrom": "c"}"#).decide();
    assert!(told(&decision, "names c itself"));
    assert_eq!(follows(&decision).as_deref(), Some("a"));
}

#[test]
fn a_leader_has_the_slot_of_a_member_whose_upstream_is_gone() {
    let leader = |state: PgState| {
        with_slots(member("a").primary(1))
            .spec(|spec| spec.member_slots_ttl = secs(0))
            .leader("a")
            .other_doc("b", |b| b.state = Some(state))
            .other_doc("c", |c| {
                c.tags.insert("replicatefrom".into(), "b".into());
            })
            .decide()
    };
    assert_eq!(slots(&leader(PgState::Running)), ["create b"]);
    assert_eq!(slots(&leader(PgState::Stopped)), ["create b", "create c"]);
}
