//! What operators ask of this member, and what they are told (contract §5.13, §16.7).

use std::collections::BTreeMap;

use pgherd_domain::{
    Action, Answer, ControlState, Operation, PgRole, PgState, Refusal, RequestId, StartAs,
    StopMode, WallTime, Work, WorkError,
};
use serde_json::Value;

use super::build::{END, World, member, name, secs, upstream};
use crate::Decision;
use crate::memory::Divergence;

fn leader() -> World {
    member("a")
        .primary(1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
}

fn replica() -> World {
    member("b")
        .replica(1, END)
        .streams_from("a")
        .leader("a")
        .other("a", PgRole::Primary, 1)
}

const fn restart() -> Operation {
    Operation::Restart {
        role: None,
        older_than: None,
        only_pending: false,
        timeout: None,
        schedule: None,
    }
}

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

const fn reinitialize(force: bool) -> Operation {
    Operation::Reinitialize {
        force,
        from_leader: false,
    }
}

fn answers(decision: &Decision) -> Vec<Answer> {
    decision
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Answer { answer, .. } => Some(answer.clone()),
            _ => None,
        })
        .collect()
}

fn refused(refusal: Refusal, text: &str) -> [Answer; 1] {
    [Answer::Refused(refusal, text.into())]
}

fn restarts(decision: &Decision) -> Option<&StartAs> {
    match decision.begins() {
        Some(Work::Restart { start_as, .. }) => Some(start_as),
        _ => None,
    }
}

#[test]
fn a_restart_begins_at_once_and_is_answered_when_it_is_done() {
    let mut world = leader().request(restart());
    let decision = world.turn();
    assert_eq!(restarts(&decision), Some(&StartAs::Primary));
    assert_eq!(answers(&decision), []);
    let work = decision.begins().unwrap().clone();
    let decision = world.ended(work, Ok(())).decide();
    assert_eq!(
        answers(&decision),
        [Answer::Done("restarted successfully".into())]
    );
}

#[test]
fn a_restart_takes_the_time_out_it_was_given() {
    let decision = leader()
        .request(Operation::Restart {
            role: None,
            older_than: None,
            only_pending: false,
            timeout: Some(secs(7)),
            schedule: None,
        })
        .decide();
    assert_eq!(
        decision.begins(),
        Some(&Work::Restart {
            start_as: StartAs::Primary,
            timeout: secs(7)
        })
    );
}

#[test]
fn a_replica_is_restarted_with_its_upstream() {
    let decision = replica().request(restart()).decide();
    assert_eq!(
        restarts(&decision),
        Some(&StartAs::Replica {
            upstream: Some(upstream("a"))
        })
    );
}

#[test]
fn a_failed_restart_says_why() {
    let mut world = leader().request(restart());
    let work = world.turn().begins().unwrap().clone();
    let failed = Err(WorkError::Failed("port in use".into()));
    let decision = world.ended(work, failed).decide();
    assert_eq!(
        answers(&decision),
        refused(Refusal::Unavailable, "restart failed: port in use")
    );
}

#[test]
fn a_restart_beside_another_work_is_refused() {
    let source = upstream("a");
    let decision = replica()
        .works(Work::Rewind { source })
        .request(restart())
        .decide();
    assert_eq!(
        answers(&decision),
        refused(
            Refusal::Unavailable,
            "running pg_rewind already in progress"
        )
    );
}

#[test]
fn a_checkpoint_gives_way_to_a_restart() {
    let decision = leader().works(Work::Checkpoint).request(restart()).decide();
    assert!(restarts(&decision).is_some());
    assert!(decision.does(&Action::CancelWork));
}

#[test]
fn two_restarts_at_once_are_one() {
    let decision = leader().request(restart()).request(restart()).decide();
    assert!(restarts(&decision).is_some());
    assert_eq!(
        answers(&decision),
        refused(Refusal::Unavailable, "restarting already in progress")
    );
}

#[test]
fn a_starting_server_is_not_restarted() {
    let decision = leader().starting(secs(1)).request(restart()).decide();
    assert_eq!(
        answers(&decision),
        refused(Refusal::Unavailable, "postgres is still starting")
    );
}

#[test]
fn conditions_must_hold() {
    let conditional = |role, older_than, only_pending| Operation::Restart {
        role,
        older_than,
        only_pending,
        timeout: None,
        schedule: None,
    };
    for (operation, holds) in [
        (conditional(Some(PgRole::Primary), None, false), true),
        (conditional(Some(PgRole::Replica), None, false), false),
        (conditional(None, Some(150_009), false), true),
        (conditional(None, Some(150_008), false), false),
        (conditional(None, None, true), false),
    ] {
        let decision = leader().request(operation.clone()).decide();
        assert_eq!(restarts(&decision).is_some(), holds, "{operation:?}");
        if !holds {
            let text = "restart conditions are not satisfied";
            assert_eq!(answers(&decision), refused(Refusal::Unavailable, text));
        }
    }
    let pending = leader()
        .live(|live| {
            let change = ("100".to_owned(), "200".to_owned());
            live.pending_restart = BTreeMap::from([("max_connections".into(), change)]);
        })
        .request(conditional(None, None, true));
    assert!(restarts(&pending.decide()).is_some());
}

#[test]
fn a_primary_that_must_not_be_one_is_not_restarted_as_one() {
    let decision = member("a")
        .primary(1)
        .leader("b")
        .other("b", PgRole::Primary, 2)
        .request(restart())
        .decide();
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
    assert_eq!(
        answers(&decision),
        refused(Refusal::Unavailable, "restart failed")
    );
}

#[test]
fn in_pause_a_stopped_primary_is_started_as_what_it_was() {
    let stopped = |state| {
        member("a")
            .stopped(state, 1)
            .spec(|spec| spec.pause = true)
            .request(restart())
            .decide()
    };
    assert_eq!(
        restarts(&stopped(ControlState::ShutDown)),
        Some(&StartAs::Primary)
    );
    assert!(matches!(
        restarts(&stopped(ControlState::ShutDownInRecovery)),
        Some(&StartAs::Replica { .. })
    ));
}

#[test]
fn a_synchronous_standby_leaves_sync_before_it_restarts() {
    let mut world = replica().sync("a", &["b"]).request(restart());
    let decision = world.turn();
    assert_eq!(decision.begins(), None);
    assert_eq!(decision.member.tags["nosync"], Value::Bool(true));
    let mut world = world.sync("a", &["c"]);
    let decision = world.turn();
    let work = decision.begins().unwrap().clone();
    let decision = world.ended(work, Ok(())).decide();
    assert_eq!(
        answers(&decision),
        [Answer::Done("restarted successfully".into())]
    );
    assert!(!decision.member.tags.contains_key("nosync"));
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

#[test]
fn a_replica_is_made_anew_from_the_leader() {
    let mut world = replica().request(reinitialize(false));
    let decision = world.turn();
    assert_eq!(
        answers(&decision),
        [Answer::Done("reinitialize started".into())]
    );
    assert!(matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Immediate,
            ..
        })
    ));
    let mut world = world.stopped(ControlState::InArchiveRecovery, 1);
    let decision = world.turn();
    let source = upstream("a");
    assert_eq!(decision.begins(), Some(&Work::Clone { source }));
    assert_eq!(decision.state, PgState::CreatingReplica);
    let source = upstream("a");
    let mut world = world.ended(Work::Clone { source }, Ok(()));
    assert!(matches!(world.turn().begins(), Some(Work::Start { .. })));
}

#[test]
fn a_directory_that_is_no_cluster_is_made_anew_when_it_is_asked_for() {
    let mut world = member("b").leader("a").other("a", PgRole::Primary, 1);
    world.seen.postgres.data = pgherd_domain::DataDirectory::Invalid {
        why: "no pg_control".into(),
    };
    let mut world = world.request(reinitialize(false));
    assert!(matches!(world.turn().begins(), Some(Work::Clone { .. })));
}

#[test]
fn a_leader_is_not_made_anew() {
    let decision = leader().request(reinitialize(true)).decide();
    assert_eq!(
        answers(&decision),
        refused(
            Refusal::Unavailable,
            "I am the leader, can not reinitialize"
        )
    );
}

#[test]
fn without_a_leader_nothing_is_made_anew() {
    let text = "Cluster has no leader, can not reinitialize";
    for world in [
        replica().view(|view| view.leader = None),
        replica().silent(),
    ] {
        let decision = world.request(reinitialize(true)).decide();
        assert_eq!(answers(&decision), refused(Refusal::Unavailable, text));
    }
}

#[test]
fn a_busy_replica_is_made_anew_with_force_only() {
    let source = upstream("a");
    let busy = || {
        replica()
            .stopped(ControlState::InArchiveRecovery, 1)
            .works(Work::Rewind {
                source: source.clone(),
            })
    };
    let refusal = busy().request(reinitialize(false)).decide();
    assert_eq!(
        answers(&refusal),
        refused(
            Refusal::Unavailable,
            "running pg_rewind already in progress"
        )
    );
    let forced = busy().request(reinitialize(true)).decide();
    assert!(forced.does(&Action::CancelWork));
    assert_eq!(
        answers(&forced),
        [Answer::Done("reinitialize started".into())]
    );
}

#[test]
fn an_answer_goes_to_whoever_asked() {
    let decision = leader()
        .request(Operation::CancelRestart)
        .request(reinitialize(false))
        .decide();
    let to: Vec<RequestId> = decision
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Answer { to, .. } => Some(*to),
            _ => None,
        })
        .collect();
    assert_eq!(to, [RequestId(1), RequestId(2)]);
}

#[test]
fn a_copy_on_request_forgets_what_was_held_against_the_old_data() {
    let mut world = replica()
        .stopped(ControlState::InArchiveRecovery, 1)
        .memory(|memory| {
            memory.last_leader = Some(name("a"));
            memory.divergence = Divergence::Hopeless;
            memory.backoff.failed(super::build::NOW);
        })
        .request(reinitialize(false));
    assert!(matches!(world.turn().begins(), Some(Work::Clone { .. })));
}
