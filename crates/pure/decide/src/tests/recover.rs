//! PostgreSQL does not run, or is still starting (contract §5.2, §5.11).

use pgherd_domain::{
    Action, ControlState, LeaseSeen, Outcome, PgRole, PgState, StartAs, StopMode, SyncMode, Work,
    WorkError,
};

use super::build::{END, PRIMARY, World, member, name, secs, upstream};
use crate::Decision;

fn starts_as(decision: &Decision) -> Option<&StartAs> {
    match decision.begins() {
        Some(Work::Start { start_as, .. }) => Some(start_as),
        _ => None,
    }
}

fn stops(decision: &Decision) -> bool {
    matches!(decision.begins(), Some(Work::Stop { .. }))
}

const NOBODY: StartAs = StartAs::Replica { upstream: None };

/// The leader `a`, crashed, with a running replica `b`.
fn crashed_leader() -> World {
    member("a")
        .primary(1)
        .stopped(ControlState::InProduction, 1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
        .memory(|memory| memory.last_leader = Some(name("a")))
}

fn failed_start(world: World) -> World {
    let start = Work::Start {
        start_as: PRIMARY,
        timeout: secs(300),
    };
    world.ended(start, Err(WorkError::Failed("port in use".into())))
}

#[test]
fn a_crashed_leader_is_restarted_in_place() {
    let decision = crashed_leader().decide();
    assert!(matches!(
        starts_as(&decision),
        Some(StartAs::Primary { .. })
    ));
    assert_eq!(decision.line(), "starting primary after failure");
    assert_eq!(decision.state, PgState::Crashed);
}

#[test]
fn a_cleanly_stopped_leader_is_started_too() {
    let decision = crashed_leader()
        .control(|control| control.state = ControlState::ShutDown)
        .decide();
    assert!(matches!(
        starts_as(&decision),
        Some(StartAs::Primary { .. })
    ));
}

#[test]
fn a_leader_that_was_a_replica_starts_as_one() {
    let decision = member("a")
        .stopped(ControlState::InArchiveRecovery, 1)
        .leader("a")
        .decide();
    assert_eq!(starts_as(&decision), Some(&NOBODY));
    assert_eq!(
        decision.line(),
        "starting as readonly because i had the session lock"
    );
}

#[test]
fn no_patience_hands_over_at_once_when_somebody_else_can() {
    let world = crashed_leader().spec(|spec| spec.primary_start_timeout = secs(0));
    let decision = world.clone().decide();
    assert_eq!(decision.effects(), [Action::ReleaseLeader { optime: None }]);
    assert_eq!(
        decision.line(),
        "stopped PostgreSQL to fail over after a crash"
    );
    let alone = world.view(|view| view.members.clear()).decide();
    assert!(matches!(starts_as(&alone), Some(StartAs::Primary { .. })));
}

#[test]
fn failed_starts_wait_longer_and_longer() {
    let mut world = failed_start(crashed_leader());
    let decision = world.turn();
    assert_eq!(starts_as(&decision), None);
    assert_eq!(decision.line(), "failed to start postgres");
    assert!(decision.says().contains("starting failed: port in use"));
    assert_eq!(decision.state, PgState::StartFailed);
    assert_eq!(decision.wake_at, world.seen.now.plus(secs(1)));
    let mut world = failed_start(world.later(secs(1)).lease(secs(25)));
    assert_eq!(world.turn().wake_at, world.seen.now.plus(secs(2)));
}

#[test]
fn three_failed_starts_give_the_key_up_when_somebody_else_can() {
    let mut world = crashed_leader();
    for _ in 0..2 {
        world = failed_start(world);
        assert!(!world.turn().does(&Action::ReleaseLeader { optime: None }));
    }
    let mut world = failed_start(world);
    let decision = world.turn();
    assert!(decision.does(&Action::ReleaseLeader { optime: None }));
    let alone = world
        .view(|view| view.members.clear())
        .later(secs(60))
        .lease(secs(25))
        .decide();
    assert!(matches!(starts_as(&alone), Some(StartAs::Primary { .. })));
}

#[test]
fn failed_checkpoints_are_no_failed_starts() {
    let mut world = member("a")
        .primary(2)
        .leader("a")
        .other("b", PgRole::Replica, 1);
    for _ in 0..3 {
        world = world.ended(
            Work::Checkpoint,
            Err(WorkError::Failed("no space left".into())),
        );
        world.turn();
    }
    let decision = world.stopped(ControlState::InProduction, 2).decide();
    assert!(matches!(
        starts_as(&decision),
        Some(StartAs::Primary { .. })
    ));
}

#[test]
fn a_key_with_my_name_is_claimed_before_anything_is_started() {
    let mut world = crashed_leader()
        .view(|view| view.leader.as_mut().unwrap().on_my_lease = false)
        .seen(|seen| seen.lease = LeaseSeen::NONE);
    let decision = world.turn();
    assert_eq!(decision.effects(), [Action::AcquireLeader]);
    let mut world = world
        .leader("a")
        .effect(Action::AcquireLeader, Outcome::Done);
    assert!(matches!(
        starts_as(&world.turn()),
        Some(StartAs::Primary { .. })
    ));
}

#[test]
fn with_nobody_leading_everybody_comes_up_as_a_replica() {
    let decision = member("a")
        .stopped(ControlState::InProduction, 1)
        .memory(|memory| memory.role = PgRole::Primary)
        .decide();
    assert_eq!(starts_as(&decision), Some(&NOBODY), "S4");
    assert_eq!(decision.line(), "starting as a secondary");
    let replica = member("b")
        .stopped(ControlState::ShutDownInRecovery, 1)
        .memory(|memory| memory.last_upstream = Some(upstream("a")))
        .decide();
    assert_eq!(
        starts_as(&replica),
        Some(&StartAs::Replica {
            upstream: Some(upstream("a"))
        })
    );
}

/// `a`, whose postmaster runs for so long and accepts no connections yet.
fn starting(for_: u64) -> World {
    crashed_leader().starting(secs(for_))
}

#[test]
fn a_leader_may_take_its_time_to_start() {
    let decision = starting(100).decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(
        decision.line(),
        "PostgreSQL is still starting up, 200 seconds until timeout"
    );
    assert_eq!(decision.state, PgState::Starting);
}

#[test]
fn a_leader_that_is_still_starting_steps_down_on_order() {
    let ordered = |leader: Option<&str>, member| {
        let world = starting(20).order(leader, member).optime(END);
        match leader {
            // A switchover, which must lose nothing.
            Some(_) => world
                .sync("a", &["b"])
                .spec(|spec| spec.synchronous_mode = SyncMode::On),
            None => world,
        }
    };
    let asking = ordered(None, Some("b")).decide();
    assert!(!stops(&asking), "the candidate is asked first");
    for (leader, member, line) in [
        (None, Some("b"), "manual failover: demoting myself"),
        (Some("a"), None, "switchover: demoting myself"),
    ] {
        let mut world = ordered(leader, member).answered("b", |_| ());
        let decision = world.turn();
        assert!(stops(&decision), "{}", decision.says());
        assert_eq!(decision.line(), line);
        let mut world = world.stopped(ControlState::InProduction, 1);
        assert!(world.turn().does(&Action::ReleaseLeader { optime: None }));
        let start = Work::Start {
            start_as: PRIMARY,
            timeout: secs(300),
        };
        let works = ordered(leader, member).answered("b", |_| ()).works(start);
        let decision = works.decide();
        assert!(stops(&decision) && decision.does(&Action::CancelWork));
    }
}

#[test]
fn an_asynchronous_switchover_waits_until_a_crashed_leader_has_come_up() {
    let ordered = starting(20).order(Some("a"), Some("b")).optime(END);
    let decision = ordered.answered("b", |_| ()).decide();
    assert!(!stops(&decision), "what only this server has would be lost");
    assert!(
        decision.line().contains("is still starting up"),
        "{}",
        decision.line()
    );
}

#[test]
fn a_server_that_a_switchover_is_stopping_is_not_taken_for_one_that_starts() {
    use crate::memory::{SwitchPhase, Switching};
    let world = starting(20)
        .order(Some("a"), Some("b"))
        .optime(END)
        .answered("b", |_| ());
    let since = world.seen.now;
    let world = world.memory(|memory| {
        memory.switching = Some(Switching {
            to: Some(name("b")),
            began: since,
            order: super::build::REVISION,
            phase: SwitchPhase::Stopping { since },
            race: false,
        });
    });
    assert!(!stops(&world.decide()));
}

#[test]
fn a_leader_that_is_still_starting_does_not_step_down_for_who_can_not_lead() {
    let far = starting(20).order(None, Some("b")).optime(END + (2 << 20));
    let decision = far.answered("b", |_| ()).decide();
    assert!(!stops(&decision));
    assert!(
        decision
            .says()
            .contains("no good candidates have been found")
    );
}

#[test]
fn a_start_that_times_out_is_stopped_and_then_the_key_goes() {
    let mut world = starting(300);
    let decision = world.turn();
    assert_eq!(
        decision.line(),
        "stopped PostgreSQL because of startup timeout"
    );
    assert!(matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Immediate,
            ..
        })
    ));
    assert!(!decision.does(&Action::ReleaseLeader { optime: None }));
    let mut world = world.stopped(ControlState::InCrashRecovery, 1);
    let decision = world.turn();
    assert_eq!(decision.effects(), [Action::ReleaseLeader { optime: None }]);
    let world = world
        .view(|view| view.leader = None)
        .effect(Action::ReleaseLeader { optime: None }, Outcome::Done);
    assert_eq!(starts_as(&world.decide()), Some(&NOBODY));
}

#[test]
fn a_start_that_times_out_goes_on_when_nobody_else_can() {
    let decision = starting(400)
        .other_doc("b", |b| {
            b.tags.insert("nofailover".into(), true.into());
        })
        .decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(
        decision.line(),
        "primary start has timed out, but continuing to wait because failover is not possible"
    );
}

#[test]
fn a_starting_primary_whose_key_is_gone_is_stopped() {
    let decision = starting(10)
        .leader("b")
        .seen(|seen| seen.lease = LeaseSeen::NONE)
        .decide();
    assert_eq!(
        decision.line(),
        "stopped PostgreSQL while starting up because leader key was lost"
    );
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
}

#[test]
fn a_starting_primary_with_my_name_in_the_key_claims_it() {
    let decision = starting(10)
        .view(|view| view.leader.as_mut().unwrap().on_my_lease = false)
        .seen(|seen| seen.lease = LeaseSeen::NONE)
        .decide();
    assert_eq!(decision.effects(), [Action::AcquireLeader]);
}

#[test]
fn a_starting_replica_is_waited_for() {
    let decision = member("b")
        .stopped(ControlState::InArchiveRecovery, 1)
        .starting(secs(900))
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(decision.line(), "PostgreSQL is still starting up");
}

#[test]
fn a_server_that_runs_again_forgets_its_failures() {
    let mut world = failed_start(crashed_leader());
    world.turn();
    let start = Work::Start {
        start_as: PRIMARY,
        timeout: secs(300),
    };
    let mut world = world.primary(1).ended(start, Ok(()));
    assert_eq!(
        world.turn().line(),
        "no action. I am (a), the leader with the lock"
    );
    assert_eq!(world.memory.backoff.failures, 0);
}

#[test]
fn a_former_primary_that_was_to_be_a_replica_starts_as_one() {
    let decision = crashed_leader()
        .seen(|seen| seen.postgres.standby_signal = true)
        .decide();
    assert_eq!(starts_as(&decision), Some(&NOBODY));
}

#[test]
fn a_primary_forgets_whom_it_once_followed() {
    let mut world = member("a")
        .primary(2)
        .leader("a")
        .memory(|memory| memory.last_upstream = Some(upstream("b")));
    world.turn();
    let world = world
        .view(|view| view.leader = None)
        .seen(|seen| seen.lease = LeaseSeen::NONE)
        .stopped(ControlState::InProduction, 2);
    assert_eq!(starts_as(&world.decide()), Some(&NOBODY));
}

#[test]
fn a_primary_is_started_for_no_longer_than_the_lease_lasts() {
    let decision = crashed_leader().decide();
    assert_eq!(starts_as(&decision), Some(&PRIMARY));
}
