//! What operators ask of this member, and what they are told (contract §5.13, §16.7).

use std::collections::BTreeMap;

use pgherd_domain::{
    Action, Answer, ControlState, Operation, PgRole, Refusal, RequestId, StartAs, Work, WorkError,
};
use serde_json::Value;

use super::build::{END, PRIMARY, World, member, secs, upstream};
use crate::Decision;

pub(super) fn leader() -> World {
    member("a")
        .primary(1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
}

pub(super) fn replica() -> World {
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

pub(super) const fn reinitialize(force: bool) -> Operation {
    Operation::Reinitialize {
        force,
        from_leader: false,
    }
}

pub(super) fn answers(decision: &Decision) -> Vec<Answer> {
    decision
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Answer { answer, .. } => Some(answer.clone()),
            _ => None,
        })
        .collect()
}

pub(super) fn refused(refusal: Refusal, text: &str) -> [Answer; 1] {
    [Answer::Refused(refusal, text.into())]
}

pub(super) fn restarts(decision: &Decision) -> Option<&StartAs> {
    match decision.begins() {
        Some(Work::Restart { start_as, .. }) => Some(start_as),
        _ => None,
    }
}

#[test]
fn a_restart_begins_at_once_and_is_answered_when_it_is_done() {
    let mut world = leader().request(restart());
    let decision = world.turn();
    assert!(matches!(restarts(&decision), Some(StartAs::Primary { .. })));
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
            start_as: PRIMARY,
            timeout: secs(7)
        })
    );
}

#[test]
fn a_primary_start_timeout_of_0_is_no_time_out_of_restarts_and_replicas() {
    let at_once = |world: World| {
        let decision = world
            .spec(|spec| spec.primary_start_timeout = secs(0))
            .decide();
        match decision.begins() {
            Some(Work::Restart { timeout, .. } | Work::Start { timeout, .. }) => *timeout,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(at_once(leader().request(restart())), secs(60));
    assert_eq!(at_once(replica().request(restart())), secs(60));
    let stopped = member("a")
        .stopped(ControlState::ShutDownInRecovery, 1)
        .leader("a");
    assert_eq!(at_once(stopped), secs(60));
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
        refused(Refusal::Unavailable, "restart already in progress")
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
fn in_pause_a_second_primary_is_not_restarted_and_the_answer_says_why() {
    let decision = member("a")
        .primary(2)
        .leader("b")
        .other("b", PgRole::Primary, 1)
        .spec(|spec| spec.pause = true)
        .request(restart())
        .decide();
    assert_eq!(decision.begins(), None);
    let [Answer::Refused(Refusal::Unavailable, why)] = &answers(&decision)[..] else {
        panic!("{}", decision.says());
    };
    assert!(
        why.starts_with("restart failed: PostgreSQL runs as a primary, and b leads"),
        "{why}"
    );
}

#[test]
fn a_stopped_primary_is_restarted_by_an_order_for_primaries() {
    let stopped = |role| {
        member("a")
            .stopped(ControlState::ShutDown, 1)
            .spec(|spec| spec.pause = true)
            .memory(|memory| memory.role = role)
            .request(Operation::Restart {
                role: Some(PgRole::Primary),
                older_than: None,
                only_pending: false,
                timeout: None,
                schedule: None,
            })
            .decide()
    };
    assert!(restarts(&stopped(PgRole::Primary)).is_some());
    assert!(restarts(&stopped(PgRole::Replica)).is_none());
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
    assert!(matches!(
        restarts(&stopped(ControlState::ShutDown)),
        Some(StartAs::Primary { .. })
    ));
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
fn a_restart_whose_lease_ended_on_its_way_is_answered_when_the_server_is_up_again() {
    let mut world = leader().request(restart());
    let work = world.turn().begins().unwrap().clone();
    let mut world = world
        .stopped(ControlState::ShutDown, 1)
        .ended(work, Err(WorkError::LeaseEnded));
    let decision = world.turn();
    assert_eq!(answers(&decision), []);
    let work = decision.begins().unwrap().clone();
    assert!(matches!(work, Work::Start { .. }));
    let decision = world.primary(1).ended(work, Ok(())).decide();
    assert_eq!(
        answers(&decision),
        [Answer::Done("restarted successfully".into())]
    );
}
