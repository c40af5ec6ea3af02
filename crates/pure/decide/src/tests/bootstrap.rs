//! An empty data directory, and the making of a cluster.

use pgherd_domain::{
    Action, ControlState, Outcome, PgRole, PgState, Reason, StopMode, Work, WorkError,
};

use super::build::{REVISION, SYSTEM_ID, World, member, millis, name, secs, upstream, versioned};
use crate::memory::Bootstrap;

/// A store that holds nothing at all.
fn nothing(me: &str) -> World {
    member(me).view(|view| {
        view.initialize = None;
        view.config = None;
    })
}

#[test]
fn the_first_member_takes_the_right_to_bootstrap() {
    let decision = nothing("a").decide();
    assert_eq!(decision.effects(), [Action::TakeInitialize]);
    assert_eq!(decision.line(), "trying to bootstrap a new cluster");
}

#[test]
fn who_lost_the_right_to_bootstrap_waits() {
    let mut world = nothing("a").effect(Action::TakeInitialize, Outcome::Refused);
    world = world.view(|view| view.initialize = Some(versioned(String::new())));
    let decision = world.decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(decision.line(), "failed to acquire initialize lock");
    let says = decision.says();
    assert!(says.contains("waiting for leader to bootstrap"), "{says}");
}

#[test]
fn who_has_the_right_begins_and_says_so_in_its_state() {
    let decision = nothing("a")
        .view(|view| view.initialize = Some(versioned(String::new())))
        .effect(Action::TakeInitialize, Outcome::Done)
        .decide();
    assert_eq!(decision.begins(), Some(&Work::Bootstrap));
    assert_eq!(decision.state, PgState::InitializingCluster);
}

#[test]
fn a_member_without_bootstrap_section_or_with_nofailover_never_bootstraps() {
    let without = nothing("a")
        .spec(|spec| spec.may_bootstrap = false)
        .decide();
    let tagged = nothing("a").tags(r#"{"nofailover": true}"#).decide();
    for decision in [without, tagged] {
        assert_eq!(decision.effects(), []);
        assert_eq!(decision.line(), "waiting for leader to bootstrap");
    }
}

#[test]
fn nobody_bootstraps_beside_a_member_that_has_data() {
    let decision = nothing("a").other("b", PgRole::Replica, 1).decide();
    assert_eq!(decision.effects(), []);
}

#[test]
fn a_bootstrapped_server_gets_identity_configuration_and_key_in_this_order() {
    let config: serde_json::Value = serde_json::from_str(r#"{"ttl": 20}"#).unwrap();
    let decision = nothing("a")
        .primary(1)
        .view(|view| view.initialize = Some(versioned(String::new())))
        .spec(|spec| spec.dynamic_config = Some(config.clone()))
        .memory(|memory| memory.bootstrap = Bootstrap::Mine)
        .ended(Work::Bootstrap, Ok(()))
        .decide();
    assert_eq!(
        decision.effects(),
        [
            Action::WriteInitialize {
                system_id: SYSTEM_ID.into(),
                expected: Some(REVISION),
            },
            Action::RestoreConfig {
                config,
                expected: None,
            },
            Action::AcquireLeader,
        ]
    );
}

#[test]
fn the_bootstrap_is_over_when_the_key_is_mine() {
    let mut world = member("a")
        .primary(1)
        .leader("a")
        .memory(|memory| memory.bootstrap = Bootstrap::Created);
    let decision = world.turn();
    assert_eq!(decision.line(), "initialized a new cluster");
    assert_eq!(world.memory.bootstrap, Bootstrap::No);
    assert_eq!(
        world.turn().line(),
        "no action. I am (a), the leader with the lock"
    );
}

#[test]
fn a_bootstrap_that_somebody_else_has_overtaken_is_stopped_and_failed() {
    let mut world = member("a")
        .primary(1)
        .control(|control| control.system_id = "7111111111111111111".into())
        .memory(|memory| memory.bootstrap = Bootstrap::Created);
    let decision = world.turn();
    assert!(matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Immediate,
            ..
        })
    ));
    assert!(!decision.any(|action| matches!(action, Action::WriteInitialize { .. })));
    let mut world = world
        .stopped(ControlState::InProduction, 1)
        .control(|control| control.system_id = "7111111111111111111".into());
    world.turn();
    let end = world.turn();
    assert!(end.any(|action| matches!(action, Action::Exit { because: Some(_) })));
}

#[test]
fn a_failed_bootstrap_gives_the_right_back_and_ends_the_agent() {
    let mut world = nothing("a")
        .view(|view| view.initialize = Some(versioned(String::new())))
        .memory(|memory| memory.bootstrap = Bootstrap::Mine)
        .ended(
            Work::Bootstrap,
            Err(WorkError::Failed("no space left".into())),
        );
    let decision = world.turn();
    let expected = REVISION;
    assert!(decision.does(&Action::DeleteInitialize { expected }));
    assert!(decision.says().contains("bootstrap failed: no space left"));
    let mut world = world.view(|view| view.initialize = None);
    let end = world.turn();
    assert!(end.does(&Action::Exit {
        because: Some("Failed to bootstrap cluster".into())
    }));
}

#[test]
fn an_orphaned_right_to_bootstrap_is_taken_away_after_a_ttl_and_not_before() {
    let mut world = nothing("a").view(|view| view.initialize = Some(versioned(String::new())));
    let decision = world.turn();
    assert_eq!(decision.effects(), []);
    let mut world = world.later(secs(29));
    let decision = world.turn();
    assert_eq!(decision.effects(), []);
    assert_eq!(decision.wake_at, world.seen.now.plus(secs(1)));
    let decision = world.later(secs(1)).decide();
    let expected = REVISION;
    assert_eq!(decision.effects(), [Action::DeleteInitialize { expected }]);
}

#[test]
fn a_right_to_bootstrap_with_somebody_at_it_is_left_alone() {
    let world = nothing("a")
        .view(|view| view.initialize = Some(versioned(String::new())))
        .other_doc("b", |doc| doc.state = Some(PgState::InitializingCluster));
    let mut world = world;
    world.turn();
    assert_eq!(world.later(secs(300)).decide().effects(), []);
}

#[test]
fn an_empty_member_copies_the_leader() {
    let mut world = member("b").leader("a").other("a", PgRole::Primary, 1);
    let decision = world.turn();
    let source = upstream("a");
    assert_eq!(
        decision.begins(),
        Some(&Work::Clone {
            source,
            basebackup_only: false
        })
    );
    assert_eq!(decision.line(), "trying to bootstrap from leader 'a'");
    assert_eq!(decision.state, PgState::CreatingReplica);
    assert_eq!(decision.role, PgRole::Uninitialized);
}

#[test]
fn a_leader_that_is_not_primary_yet_is_not_copied() {
    let decision = member("b")
        .leader("a")
        .other("a", PgRole::Replica, 1)
        .decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(decision.line(), "waiting for leader to bootstrap");
}

#[test]
fn a_member_tagged_clonefrom_is_preferred_as_the_source() {
    let decision = member("b")
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .other_doc("c", |doc| {
            doc.tags.insert("clonefrom".into(), true.into());
        })
        .decide();
    let source = upstream("c");
    assert_eq!(
        decision.begins(),
        Some(&Work::Clone {
            source,
            basebackup_only: false
        })
    );
    assert_eq!(decision.line(), "trying to bootstrap from replica 'c'");
}

#[test]
fn the_next_copy_is_made_from_who_is_copied_least_and_the_leader_comes_first() {
    let source_of = |copying: &[&str]| {
        let mut world = member("b").leader("a").other("a", PgRole::Primary, 1);
        world = world.other_doc("c", |doc| {
            doc.replication_state = Some("streaming".into());
            doc.timeline = Some(pgherd_domain::TimelineId(1));
        });
        for (at, source) in copying.iter().enumerate() {
            world = world.other_doc(&format!("n{at}"), |doc| {
                doc.state = Some(PgState::CreatingReplica);
                doc.copies = Some((*source).into());
            });
        }
        match world.decide().begins() {
            Some(Work::Clone { source, .. }) => source.name.clone().unwrap().to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(source_of(&[]), "a");
    assert_eq!(source_of(&["a"]), "c", "the leader is being copied");
    assert_eq!(source_of(&["a", "c"]), "a");
}

#[test]
fn a_failed_copy_is_tried_again_after_a_pause() {
    let source = upstream("a");
    let failed = Err(WorkError::Failed("connection reset".into()));
    let mut world = member("b")
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .memory(|memory| memory.last_leader = Some(name("a")))
        .ended(
            Work::Clone {
                source,
                basebackup_only: false,
            },
            failed,
        );
    let decision = world.turn();
    assert_eq!(decision.begins(), None);
    assert_eq!(decision.wake_at, world.seen.now.plus(secs(1)));
    assert!(world.later(millis(1000)).decide().begins().is_some());
}

#[test]
fn an_empty_member_in_pause_is_left_alone() {
    let decision = member("b")
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .spec(|spec| spec.pause = true)
        .decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(decision.line(), "running with empty data directory");
}

#[test]
fn a_leader_whose_data_are_gone_stops_first_and_then_gives_the_key_up() {
    let mut world = member("a").primary(1).leader("a");
    world.seen.postgres.data = pgherd_domain::DataDirectory::Empty;
    let decision = world.turn();
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
    assert!(!decision.does(&Action::ReleaseLeader { optime: None }));
    let decision = member("a").leader("a").decide();
    assert!(decision.does(&Action::ReleaseLeader { optime: None }));
    assert_eq!(
        decision.because[0],
        Reason::Says("released leader key voluntarily as data dir empty and currently leader")
    );
}

#[test]
fn without_a_leader_a_method_that_needs_none_makes_a_replica() {
    let alone = || {
        member("b").view(|view| {
            view.initialize = Some(versioned(SYSTEM_ID.into()));
        })
    };
    let restores = |world: World| world.decide().begins() == Some(&Work::Restore);
    let able = || alone().spec(|spec| spec.restores_without_leader = true);
    assert!(restores(able()));
    assert!(!restores(alone()));
    assert!(!restores(able().view(|view| view.initialize = None)));
    assert!(!restores(able().leader("a").other("a", PgRole::Primary, 1)));
}
