//! The end of the lease: a primary stops in time, whatever else goes on.

use pgherd_domain::{Action, ControlState, LeaseSeen, Operation, PgRole, StartAs, StopMode, Work};

use super::build::{END, NOW, PRIMARY, World, member, millis, secs, upstream};
use crate::{Decision, demote_budget, fence_margin};

fn stop(decision: &Decision) -> Option<(StopMode, Option<pgherd_domain::Moment>)> {
    match decision.begins() {
        Some(Work::Stop { mode, escalate_at }) => Some((*mode, *escalate_at)),
        _ => None,
    }
}

/// The leader `a`, whose lease has so much left, with a silent store.
fn leader(left: std::time::Duration) -> World {
    member("a").primary(1).leader("a").lease(left).silent()
}

#[test]
fn budget_and_margin_fit_into_the_shortest_and_the_longest_ttl() {
    for ttl in [3, 5, 10, 20, 30, 300] {
        let ttl = secs(ttl);
        assert!(fence_margin(ttl) < demote_budget(ttl), "{ttl:?}");
        assert!(demote_budget(ttl) <= ttl / 2, "{ttl:?}");
    }
}

#[test]
fn with_a_good_lease_the_primary_goes_on_without_the_store() {
    let mut world = leader(secs(20));
    let decision = world.turn();
    assert_eq!(decision.begins(), None);
    assert_eq!(decision.line(), "DCS is not accessible");
    assert!(decision.wake_at <= NOW.plus(secs(1)));
}

#[test]
fn the_turn_wakes_when_the_budget_begins() {
    let world = member("a").primary(1).leader("a").lease(secs(10));
    assert_eq!(world.decide().wake_at, NOW.plus(millis(2_500)));
}

#[test]
fn at_the_budget_it_stops_fast_and_not_beyond_the_margin() {
    let decision = leader(millis(7_500)).decide();
    let escalate_at = NOW.plus(millis(4_500));
    assert_eq!(stop(&decision), Some((StopMode::Fast, Some(escalate_at))));
    assert_eq!(
        decision.line(),
        "demoted self because DCS is not accessible and I was a leader"
    );
}

#[test]
fn at_the_margin_it_stops_at_once() {
    let decision = leader(secs(3)).decide();
    assert_eq!(
        stop(&decision).map(|(mode, _)| mode),
        Some(StopMode::Immediate)
    );
}

#[test]
fn after_the_end_it_stops_at_once_also_when_the_store_answers() {
    let world = member("a").primary(1).leader("a").lease(secs(0));
    let decision = world.decide();
    assert_eq!(
        stop(&decision).map(|(mode, _)| mode),
        Some(StopMode::Immediate),
        "S1: frozen beyond ttl"
    );
}

#[test]
fn a_lost_lease_stops_it_at_once() {
    for silent in [false, true] {
        let mut world = member("a")
            .primary(1)
            .leader("b")
            .other("b", PgRole::Primary, 2)
            .lost();
        if silent {
            world = world.silent();
        }
        let decision = world.decide();
        assert_eq!(
            stop(&decision).map(|(mode, _)| mode),
            Some(StopMode::Immediate)
        );
        assert_eq!(
            decision.line(),
            "demoted self because failed to update leader lock in DCS"
        );
    }
}

#[test]
fn a_fast_stop_that_takes_too_long_becomes_an_immediate_one() {
    let fast = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    let decision = leader(secs(2)).works(fast.clone()).decide();
    let effects = decision.effects();
    assert_eq!(effects[0], Action::CancelWork);
    assert!(matches!(
        effects[1],
        Action::Begin(Work::Stop {
            mode: StopMode::Immediate,
            ..
        })
    ));
    let early = leader(secs(6)).works(fast).decide();
    assert_eq!(early.effects(), [], "S13: once is enough");
}

#[test]
fn an_immediate_stop_that_goes_on_is_left_alone() {
    let immediate = Work::Stop {
        mode: StopMode::Immediate,
        escalate_at: None,
    };
    assert_eq!(leader(secs(0)).works(immediate).decide().effects(), []);
}

#[test]
fn any_other_work_gives_way() {
    for work in [
        Work::Checkpoint,
        Work::Restart {
            start_as: PRIMARY,
            timeout: secs(60),
        },
    ] {
        let decision = leader(secs(1)).works(work).decide();
        assert_eq!(decision.effects()[0], Action::CancelWork);
        assert!(stop(&decision).is_some());
    }
}

#[test]
fn a_request_of_that_turn_does_not_come_in_between() {
    let decision = member("a")
        .primary(1)
        .leader("a")
        .lease(secs(2))
        .request(Operation::Restart {
            role: None,
            older_than: None,
            only_pending: false,
            timeout: None,
            schedule: None,
        })
        .decide();
    assert!(stop(&decision).is_some());
    assert!(decision.any(|action| matches!(action, Action::Answer { .. })));
}

#[test]
fn an_agent_that_is_to_stop_looks_at_its_lease_first() {
    let decision = leader(secs(1)).seen(|seen| seen.shutdown = true).decide();
    assert_eq!(
        stop(&decision).map(|(mode, _)| mode),
        Some(StopMode::Immediate)
    );
}

#[test]
fn a_primary_that_does_not_answer_is_one_all_the_same() {
    let decision = member("a").primary(1).mute().leader("a").lost().decide();
    assert!(stop(&decision).is_some(), "S7");
    let good = member("a").primary(1).mute().leader("a").decide();
    assert_eq!(stop(&good), None, "S6: and it is no reason to stop");
    assert_eq!(good.line(), "no action. I am (a), the leader with the lock");
}

#[test]
fn a_replica_with_a_lost_lease_goes_on() {
    let decision = member("a")
        .replica(1, END)
        .streams_from("b")
        .leader("b")
        .other("b", PgRole::Primary, 1)
        .lost()
        .decide();
    assert_eq!(decision.begins(), None);
}

#[test]
fn after_the_stop_it_starts_again_as_a_replica_also_without_the_store() {
    let mut world = member("a").primary(1).leader("a").lease(secs(0)).silent();
    world.turn();
    let mut world = world.stopped(ControlState::ShutDown, 1);
    let decision = world.turn();
    assert!(
        matches!(
            decision.begins(),
            Some(Work::Start {
                start_as: StartAs::Replica { .. },
                ..
            })
        ),
        "S25"
    );
}

#[test]
fn a_lease_that_ends_ends_a_switchover_too() {
    let mut world = member("a")
        .primary(1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
        .answered("b", |_| ())
        .order(Some("a"), Some("b"));
    world.turn();
    assert!(world.memory.switching.is_some());
    let mut world = world.silent().lease(secs(6));
    assert!(stop(&world.turn()).is_some());
    let mut world = world.stopped(ControlState::ShutDown, 1).lease(secs(0));
    assert!(matches!(
        world.turn().begins(),
        Some(Work::Start {
            start_as: StartAs::Replica { .. },
            ..
        })
    ));
}

#[test]
fn a_primary_that_a_new_agent_finds_keeps_its_key() {
    let decision = member("a")
        .primary(1)
        .leader("a")
        .view(|view| view.leader.as_mut().unwrap().on_my_lease = false)
        .seen(|seen| seen.lease = LeaseSeen::NONE)
        .decide();
    assert!(decision.does(&Action::AcquireLeader));
    assert_eq!(decision.begins(), None);
}

#[test]
fn another_leader_ends_a_primary_whatever_the_keeper_says() {
    let decision = member("a")
        .primary(1)
        .lease(secs(25))
        .leader("b")
        .other("b", PgRole::Primary, 2)
        .seen(|seen| seen.upstream = Some((upstream("b"), Err("refused".into()))))
        .decide();
    assert_eq!(
        decision.line(),
        "demoting self because I do not have the lock and I was a leader"
    );
    assert!(stop(&decision).is_some());
}
