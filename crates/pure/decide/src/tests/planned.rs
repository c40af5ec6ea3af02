//! Restarts planned for later (contract §5.13).

use pgherd_domain::{Answer, Operation, Refusal, WallTime};

use super::build::secs;
use super::requests::{answers, leader, refused, replica, restarts};

/// A restart planned for so many seconds from the first moment of the test.
fn planned(seconds: i64) -> Operation {
    let at = WallTime::from_micros(1_790_000_000_000_000 + seconds * 1_000_000);
    Operation::Restart {
        role: None,
        older_than: None,
        only_pending: false,
        timeout: None,
        schedule: Some((at.iso(), at)),
    }
}

#[test]
fn a_planned_restart_is_shown_and_begins_at_its_moment() {
    let mut world = leader().request(planned(60));
    let decision = world.turn();
    assert_eq!(
        answers(&decision),
        [Answer::Accepted("Restart scheduled".into())]
    );
    assert_eq!(decision.begins(), None);
    let shown = decision.member.scheduled_restart.unwrap();
    assert_eq!(shown["postmaster_start_time"], "2026-11-24 03:00:00+00");
    let mut world = world.later(secs(55)).lease(secs(25));
    assert_eq!(world.turn().wake_at, world.seen.now.plus(secs(5)));
    let decision = world.later(secs(5)).lease(secs(25)).decide();
    assert!(restarts(&decision).is_some());
}

#[test]
fn a_replica_restarts_as_planned_too() {
    let mut world = replica().request(planned(1));
    world.turn();
    assert!(restarts(&world.later(secs(1)).decide()).is_some());
}

#[test]
fn a_planned_restart_whose_moment_was_missed_is_dropped() {
    let mut world = leader().request(planned(60));
    world.turn();
    let decision = world.later(secs(76)).lease(secs(25)).decide();
    assert_eq!(restarts(&decision), None);
    assert_eq!(decision.member.scheduled_restart, None);
}

#[test]
fn a_restart_in_between_cancels_the_planned_one() {
    let mut world = leader().request(planned(60));
    world.turn();
    let mut world = world
        .later(secs(60))
        .lease(secs(25))
        .live(|live| live.started_at = "2026-11-24 03:01:00+00".into());
    assert_eq!(restarts(&world.turn()), None);
    assert_eq!(world.memory.scheduled_restart, None);
}

#[test]
fn only_one_restart_is_planned_and_none_in_pause() {
    let decision = leader().request(planned(60)).request(planned(90)).decide();
    assert_eq!(
        answers(&decision)[1..],
        refused(Refusal::Conflict, "Another restart is already scheduled")
    );
    let paused = leader()
        .spec(|spec| spec.pause = true)
        .request(planned(60))
        .decide();
    assert_eq!(
        answers(&paused),
        refused(
            Refusal::Impossible,
            "Can't schedule restart in the paused state"
        )
    );
}

#[test]
fn a_planned_restart_can_be_taken_back() {
    let mut world = leader().request(planned(60));
    world.turn();
    let mut world = world.request(Operation::CancelRestart);
    assert_eq!(
        answers(&world.turn()),
        [Answer::Done("scheduled restart deleted".into())]
    );
    let mut world = world.request(Operation::CancelRestart);
    assert_eq!(
        answers(&world.turn()),
        refused(Refusal::NotFound, "no restarts are scheduled")
    );
}
