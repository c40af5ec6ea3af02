//! Somebody else leads and PostgreSQL runs as a replica (contract §5.6, "Someone else").

use pgherd_domain::{Action, Adjustment, Lsn, Outcome, PgRole, PgState, Upstream, Work};

use super::build::{END, World, member, millis, name, secs, upstream};
use crate::memory::{Divergence, OldDirectory};

/// The replica `b` of the leader `a`.
fn replica() -> World {
    member("b")
        .replica(1, END)
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .memory(|memory| memory.old_directory = OldDirectory::Gone)
}

fn follow(to: Upstream) -> Action {
    Action::Adjust(Adjustment::Follow { upstream: Some(to) })
}

#[test]
fn a_streaming_replica_does_nothing() {
    let decision = replica().streams_from("a").decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(
        decision.line(),
        "no action. I am (b), a secondary, and following a leader (a)"
    );
    assert_eq!(decision.verdict, []);
}

#[test]
fn who_came_too_late_for_the_key_says_so() {
    let decision = replica()
        .streams_from("a")
        .effect(Action::AcquireLeader, Outcome::Refused)
        .decide();
    assert_eq!(
        decision.line(),
        "following new leader after trying and failing to obtain lock"
    );
    let decision = member("b")
        .primary(1)
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .effect(Action::AcquireLeader, Outcome::Refused)
        .decide();
    assert_eq!(
        decision.line(),
        "demoted self after trying and failing to obtain lock"
    );
}

#[test]
fn a_new_leader_is_followed_at_once() {
    let decision = replica()
        .streams_from("a")
        .leader("c")
        .other("c", PgRole::Replica, 1)
        .decide();
    assert_eq!(decision.effects(), [follow(upstream("c"))]);
}

#[test]
fn a_slot_is_used_where_slots_are_used() {
    let to = Upstream {
        slot: Some(pgherd_domain::SlotName::existing("b")),
        ..upstream("a")
    };
    let world = || {
        replica()
            .spec(|spec| spec.use_slots = true)
            .view(|view| view.config = None)
    };
    assert_eq!(
        world().streams_from("a").decide().effects(),
        [follow(to.clone())]
    );
    let settled = world()
        .streams_from("a")
        .memory(|memory| memory.last_upstream = Some(to))
        .live(|live| live.receiver.as_mut().unwrap().slot = Some("b".into()));
    assert_eq!(settled.decide().effects(), []);
}

#[test]
fn replicatefrom_is_followed_while_that_member_runs() {
    let tagged = || {
        replica()
            .streams_from("c")
            .tags(r#"{"replicatefrom": "c"}"#)
    };
    let there = tagged().other("c", PgRole::Replica, 1).decide();
    assert_eq!(there.effects(), []);
    for absent in [
        tagged(),
        tagged().other_doc("c", |c| c.state = Some(PgState::Stopped)),
    ] {
        assert_eq!(absent.decide().effects(), [follow(upstream("a"))]);
    }
}

#[test]
fn a_member_that_names_itself_follows_the_leader() {
    let decision = replica()
        .streams_from("a")
        .tags(r#"{"replicatefrom": "b"}"#)
        .decide();
    assert_eq!(decision.effects(), []);
}

#[test]
fn nostream_takes_the_upstream_away() {
    let tagged = || replica().tags(r#"{"nostream": true}"#);
    assert_eq!(
        tagged().streams_from("a").decide().effects(),
        [Action::Adjust(Adjustment::Follow { upstream: None })]
    );
    assert_eq!(tagged().decide().effects(), []);
}

#[test]
fn a_leader_without_member_key_changes_nothing() {
    let decision = replica()
        .streams_from("a")
        .view(|view| view.members.clear())
        .decide();
    assert_eq!(decision.effects(), []);
}

#[test]
fn a_replica_that_does_not_stream_is_compared_after_a_second() {
    let mut world = replica().other("a", PgRole::Primary, 2);
    world.memory.last_upstream = Some(upstream("a"));
    assert_eq!(world.turn().asks(), Vec::<String>::new());
    let mut world = world.later(secs(1));
    assert_eq!(world.turn().asks(), ["history of a (a:5432)"]);
    let mut well = world.clone().told("a", 2, &[(1, END)]);
    assert_eq!(well.turn().begins(), None);
    let decision = world.told("a", 2, &[(1, END - 8)]).decide();
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
    assert_eq!(
        decision.line(),
        "no action. I am (b), a secondary, and following a leader (a)"
    );
}

#[test]
fn a_replica_whose_wal_of_the_leaders_timeline_is_another_one_stops_for_a_copy() {
    let past = [(1, END - 800)];
    let mut world = member("b")
        .replica(2, END)
        .leader("a")
        .other("a", PgRole::Primary, 2);
    world.memory.last_upstream = Some(upstream("a"));
    world.turn();
    let mut world = world.later(secs(1));
    assert_eq!(world.turn().asks(), ["history of a (a:5432)"]);
    for (same_wal, stops) in [(Some(true), false), (None, false), (Some(false), true)] {
        let mut world = world.clone().told("a", 2, &past);
        if let Some((_, Ok(told))) = &mut world.seen.upstream {
            told.same_wal = same_wal;
        }
        let decision = world.turn();
        let begins = matches!(decision.begins(), Some(Work::Stop { .. }));
        assert_eq!(begins, stops, "{same_wal:?}: {}", decision.says());
        let says = "its WAL of timeline 2 is not the leader's, byte for byte: only a new copy can follow it";
        assert_eq!(decision.says().contains(says), stops);
    }
}

#[test]
fn after_the_stop_it_is_wound_back() {
    let mut world = replica()
        .other("a", PgRole::Primary, 2)
        .stopped(pgherd_domain::ControlState::ShutDownInRecovery, 1)
        .memory(|memory| {
            memory.last_leader = Some(name("a"));
            memory.divergence = Divergence::Diverged {
                leader: Some(name("a")),
            };
        });
    let source = upstream("a");
    assert_eq!(world.turn().begins(), Some(&Work::Rewind { source }));
}

#[test]
fn wal_that_was_received_and_not_replayed_is_no_divergence() {
    let mut world = replica()
        .other("a", PgRole::Primary, 2)
        .live(|live| live.received = Lsn::new(END + 800));
    world.turn();
    let world = world.later(secs(1)).told("a", 2, &[(1, END)]);
    assert_eq!(world.decide().begins(), None);
}

#[test]
fn the_same_leader_on_a_new_timeline_is_compared_again() {
    let mut world = replica().streams_from("a");
    world.turn();
    let mut world = world
        .live(|live| live.receiver = None)
        .other("a", PgRole::Primary, 2)
        .later(secs(10));
    world.turn();
    let mut world = world.later(millis(1_001));
    assert_eq!(world.turn().asks(), ["history of a (a:5432)"], "S8");
}

#[test]
fn a_leader_that_is_no_primary_yet_is_not_compared_with() {
    let mut world = replica().other("a", PgRole::Replica, 1);
    world.turn();
    let decision = world.later(secs(2)).decide();
    assert_eq!(decision.asks(), Vec::<String>::new());
    assert!(decision.wake_at <= super::build::NOW.plus(millis(2_250)));
}

#[test]
fn the_old_directory_goes_when_the_copy_streams_and_not_before() {
    let unknown =
        |world: World| world.memory(|memory| memory.old_directory = OldDirectory::Unknown);
    let forget = Action::Adjust(Adjustment::ForgetOldDirectory);
    assert!(!unknown(replica()).decide().does(&forget));
    let mut world = unknown(replica().streams_from("a"));
    assert!(world.turn().does(&forget));
    let mut world = world.effect(forget.clone(), Outcome::Done);
    assert!(!world.turn().does(&forget), "once");
}

#[test]
fn replay_that_waits_for_larger_parameters_is_told_to_go_on() {
    let resumes = |world: World| {
        world
            .decide()
            .does(&Action::Adjust(Adjustment::ResumeReplay))
    };
    let waiting = |outgrown| {
        member("b")
            .replica(1, END)
            .leader("a")
            .other("a", PgRole::Primary, 1)
            .live(|live| {
                live.replay_paused = true;
                live.outgrown = outgrown;
            })
    };
    assert!(resumes(waiting(true)));
    assert!(!resumes(waiting(false)), "the operator has paused it");
    assert!(!resumes(waiting(true).spec(|spec| spec.pause = true)));
}
