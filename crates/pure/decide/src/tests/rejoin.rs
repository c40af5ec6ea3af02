//! Somebody else leads and PostgreSQL does not run: follow, else pg_rewind, else a new copy (contract §10).

use pgherd_domain::{
    Action, ControlState, Lsn, PgRole, PgState, StartAs, TimelineId, UpstreamSeen, Work, WorkError,
};

use super::build::{END, SYSTEM_ID, World, history, member, name, secs, upstream};
use crate::Decision;
use crate::memory::Divergence;

/// `a`, the old primary, which does not run; `b` leads on timeline 2.
fn returning(state: ControlState) -> World {
    member("a")
        .stopped(state, 1)
        .leader("b")
        .other("b", PgRole::Primary, 2)
        .memory(|memory| memory.last_leader = Some(name("b")))
}

fn follows(decision: &Decision, of: &str) -> bool {
    let upstream = Some(upstream(of));
    matches!(
        decision.begins(),
        Some(Work::Start { start_as: StartAs::Replica { upstream: to }, .. }) if *to == upstream
    )
}

fn rewinds(decision: &Decision) -> bool {
    let source = upstream("b");
    decision.begins() == Some(&Work::Rewind { source })
}

fn copies(decision: &Decision) -> bool {
    let source = upstream("b");
    decision.begins()
        == Some(&Work::Clone {
            source,
            basebackup_only: false,
        })
}

#[test]
fn the_leaders_history_is_asked_for_first() {
    let decision = returning(ControlState::ShutDown).decide();
    assert_eq!(decision.asks(), ["history of b (b:5432)"]);
    assert_eq!(decision.begins(), None);
}

#[test]
fn a_prefix_of_the_leaders_history_follows() {
    let decision = returning(ControlState::ShutDown)
        .told("b", 2, &[(1, END + 120)])
        .decide();
    assert!(follows(&decision, "b"), "{}", decision.says());
}

#[test]
fn a_diverged_primary_is_wound_back() {
    let decision = returning(ControlState::ShutDown)
        .told("b", 2, &[(1, END - 8)])
        .decide();
    assert!(rewinds(&decision), "{}", decision.says());
    assert!(decision.says().contains("rewind needed"));
}

#[test]
fn the_same_timeline_needs_no_question() {
    let decision = returning(ControlState::ShutDownInRecovery)
        .other("b", PgRole::Primary, 1)
        .decide();
    assert!(follows(&decision, "b"));
}

#[test]
fn a_crashed_primary_recovers_in_single_user_mode_first() {
    let mut world = returning(ControlState::InProduction);
    assert_eq!(world.turn().begins(), Some(&Work::CrashRecovery));
    let mut world = world
        .stopped(ControlState::ShutDown, 1)
        .ended(Work::CrashRecovery, Ok(()));
    assert_eq!(world.turn().asks(), ["history of b (b:5432)"]);
    assert!(rewinds(&world.told("b", 2, &[(1, END)]).decide()));
}

#[test]
fn a_crash_recovery_that_is_done_is_not_done_again() {
    let mut world = returning(ControlState::InProduction).ended(Work::CrashRecovery, Ok(()));
    assert_ne!(world.turn().begins(), Some(&Work::CrashRecovery));
}

#[test]
fn a_killed_replica_needs_no_crash_recovery() {
    let decision = returning(ControlState::InArchiveRecovery)
        .control(|control| control.min_recovery = (Lsn::new(END), TimelineId(1)))
        .told("b", 2, &[(1, END)])
        .decide();
    assert!(follows(&decision, "b"));
}

#[test]
fn a_crashed_primary_that_does_not_start_as_a_replica_is_recovered_and_wound_back() {
    let failed = |world: World| {
        world.memory(|memory| {
            memory.divergence = Divergence::Diverged {
                leader: Some(name("b")),
            };
            memory.backoff.failures = 1;
        })
    };
    let as_replica = |state| {
        let mut world = returning(state);
        world.seen.postgres.standby_signal = true;
        failed(world)
    };
    let mut world = as_replica(ControlState::InProduction);
    assert_eq!(world.clone().turn().begins(), Some(&Work::CrashRecovery));
    world.memory.copy_is_untried = true;
    assert!(follows(&world.decide(), "b"), "a copy never was a primary");
    // A replica that was killed is recovered by the work itself.
    let world = as_replica(ControlState::InArchiveRecovery);
    assert!(rewinds(&world.decide()));
}

#[test]
fn a_leader_that_has_not_checkpointed_is_waited_for() {
    let world = returning(ControlState::ShutDown).memory(|memory| {
        memory.divergence = Divergence::Diverged {
            leader: Some(name("b")),
        }
    });
    let waits = world
        .clone()
        .other_doc("b", |b| {
            b.role = Some(PgRole::Primary);
            b.checkpoint_pending = true;
        })
        .decide();
    assert_eq!(waits.begins(), None);
    assert!(
        waits
            .says()
            .contains("Waiting for checkpoint on b before rewind")
    );
    assert!(rewinds(&world.decide()));
}

#[test]
fn a_leader_still_in_recovery_is_no_judge() {
    let in_recovery = UpstreamSeen {
        in_recovery: true,
        system_id: SYSTEM_ID.into(),
        timeline: TimelineId(2),
        history: history(&[(1, END - 800)]),
        same_wal: None,
        oldest: None,
    };
    let decision = returning(ControlState::ShutDown)
        .other("b", PgRole::Replica, 1)
        .seen(|seen| seen.upstream = Some((upstream("b"), Ok(in_recovery))))
        .decide();
    assert_eq!(decision.begins(), None, "S26");
}

#[test]
fn a_server_of_another_cluster_is_no_judge() {
    let decision = returning(ControlState::ShutDown)
        .told("b", 2, &[(1, END - 800)])
        .seen(|seen| {
            if let Some((_, Ok(told))) = &mut seen.upstream {
                told.system_id = "7111111111111111111".into();
            }
        })
        .decide();
    assert_eq!(decision.begins(), None);
}

#[test]
fn a_mute_leader_does_not_keep_a_replica_down_but_a_primary() {
    let mute = |state| {
        returning(state).seen(|seen| seen.upstream = Some((upstream("b"), Err("refused".into()))))
    };
    assert!(follows(
        &mute(ControlState::ShutDownInRecovery).decide(),
        "b"
    ));
    assert_eq!(mute(ControlState::ShutDown).decide().begins(), None);
}

#[test]
fn what_pg_rewind_can_not_heal_is_copied_anew() {
    let source = upstream("b");
    let hopeless = Err(WorkError::Hopeless("could not find common ancestor".into()));
    let mut world = returning(ControlState::ShutDown)
        .memory(|memory| {
            memory.divergence = Divergence::Diverged {
                leader: Some(name("b")),
            }
        })
        .ended(Work::Rewind { source }, hopeless);
    world.turn();
    let decision = world.later(secs(1)).decide();
    assert!(copies(&decision), "{}", decision.says());
    assert_eq!(decision.state, PgState::CreatingReplica);
}

#[test]
fn pg_rewind_that_fails_thrice_gives_way_to_a_copy() {
    let source = upstream("b");
    let mut world = returning(ControlState::ShutDown).memory(|memory| {
        memory.divergence = Divergence::Diverged {
            leader: Some(name("b")),
        }
    });
    for _ in 0..3 {
        assert!(rewinds(&world.turn()));
        let failed = Err(WorkError::Failed("connection reset".into()));
        world = world.ended(
            Work::Rewind {
                source: source.clone(),
            },
            failed,
        );
        world.turn();
        world = world.later(secs(30));
    }
    assert!(copies(&world.decide()));
}

#[test]
fn without_leave_for_a_copy_an_operator_is_asked() {
    let decision = returning(ControlState::ShutDown)
        .memory(|memory| memory.divergence = Divergence::Hopeless)
        .spec(|spec| spec.reclone_when_rewind_fails = false)
        .decide();
    assert_eq!(decision.effects(), []);
    assert!(decision.says().contains("reinitialize this member"));
}

#[test]
fn without_pg_rewind_a_diverged_member_is_copied_anew() {
    type Change = fn(&mut World);
    let changes: [Change; 3] = [
        |world| world.spec.use_pg_rewind = false,
        |world| world.spec.reclone_when_diverged = true,
        |world| {
            let cannot = world.clone().control(|control| control.can_rewind = false);
            *world = cannot;
        },
    ];
    for change in changes {
        let mut world = returning(ControlState::ShutDown).memory(|memory| {
            memory.divergence = Divergence::Diverged {
                leader: Some(name("b")),
            }
        });
        change(&mut world);
        let decision = world.turn();
        assert_eq!(decision.line(), "reinitializing due to diverged timelines");
        assert!(copies(&world.turn()));
    }
}

#[test]
fn a_copy_waits_for_a_leader_that_is_primary() {
    let decision = returning(ControlState::ShutDown)
        .other("b", PgRole::Replica, 1)
        .memory(|memory| memory.divergence = Divergence::Hopeless)
        .decide();
    assert_eq!(decision.begins(), None);
}

#[test]
fn a_replica_that_can_not_be_started_is_copied_anew_but_not_again_and_again() {
    let start = || Work::Start {
        start_as: StartAs::Replica {
            upstream: Some(upstream("b")),
        },
        timeout: secs(300),
    };
    let failed = || Err(WorkError::Failed("invalid record".into()));
    let mut world = returning(ControlState::ShutDownInRecovery).memory(|memory| {
        memory.divergence = Divergence::None {
            leader: Some(name("b")),
        }
    });
    for _ in 0..3 {
        world = world.ended(start(), failed());
        world.turn();
        world = world.later(secs(30));
    }
    assert!(copies(&world.turn()));
    let source = upstream("b");
    let mut world = world.ended(
        Work::Clone {
            source,
            basebackup_only: false,
        },
        Ok(()),
    );
    for _ in 0..5 {
        assert!(follows(&world.turn(), "b"));
        world = world.ended(start(), failed());
        world.turn();
        world = world.later(secs(60));
    }
}

#[test]
fn a_new_leader_is_compared_anew() {
    let mut world =
        returning(ControlState::ShutDown).memory(|memory| memory.divergence = Divergence::Hopeless);
    world.turn();
    let decision = world.leader("c").other("c", PgRole::Primary, 3).decide();
    assert_eq!(decision.asks(), ["history of c (c:5432)"]);
}

#[test]
fn who_handed_the_key_over_follows_without_a_question() {
    let mut world = returning(ControlState::ShutDown).effect(
        Action::HandOver {
            to: name("b"),
            optime: None,
        },
        pgherd_domain::Outcome::Done,
    );
    assert!(follows(&world.turn(), "b"));
}

#[test]
fn an_archive_only_replica_starts_without_upstream() {
    let decision = returning(ControlState::ShutDownInRecovery)
        .other("b", PgRole::Primary, 1)
        .tags(r#"{"nostream": true}"#)
        .decide();
    assert!(matches!(
        decision.begins(),
        Some(Work::Start {
            start_as: StartAs::Replica { upstream: None },
            ..
        })
    ));
}

#[test]
fn a_member_that_is_wound_back_or_copied_shows_how_far_it_is_whence_and_why() {
    let shown = |work: Work| {
        let mut world = member("a")
            .stopped(ControlState::ShutDown, 1)
            .leader("b")
            .other("b", PgRole::Primary, 2)
            .memory(|memory| memory.rejoin_because = Some("an operator ordered it".into()))
            .works(work);
        if let Some((_, _, said)) = &mut world.seen.work.running {
            *said = Some("copying 4 of 9 MB".into());
        }
        let doc = world.decide().member;
        (doc.progress, doc.copies)
    };
    let source = upstream("b");
    let progress = Some("copying 4 of 9 MB, because an operator ordered it".to_owned());
    let rewind = Work::Rewind {
        source: source.clone(),
    };
    assert_eq!(shown(rewind), (progress.clone(), None));
    let copy = Work::Clone {
        source,
        basebackup_only: false,
    };
    assert_eq!(shown(copy), (progress, Some("b".to_owned())));
}

#[test]
fn why_a_member_has_to_be_wound_back_is_remembered() {
    let mut world = member("a")
        .stopped(ControlState::ShutDown, 1)
        .leader("b")
        .other("b", PgRole::Primary, 2)
        .told("b", 2, &[(1, 0x1000)]);
    world.turn();
    let why = world.memory.rejoin_because.clone().unwrap_or_default();
    assert!(why.contains("which the leader left earlier"), "{why}");
}
