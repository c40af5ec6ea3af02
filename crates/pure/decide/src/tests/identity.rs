//! The identity of the data beside the cluster's (contract §1.5, §5.1 step 10, §8.4).

use pgherd_domain::{Action, ControlState, PgRole, StopMode, Work};

use super::build::{END, NOW, REVISION, SYSTEM_ID, World, member, secs, versioned};
use crate::Decision;

fn fresh_agent(world: World) -> World {
    world.memory(|memory| memory.unidentified_since = Some(NOW))
}

fn wiped(world: World) -> World {
    world.view(|view| {
        view.initialize = None;
        view.leader = None;
    })
}

fn writes_identity(decision: &Decision) -> bool {
    decision.any(|action| matches!(action, Action::WriteInitialize { .. }))
}

#[test]
fn a_running_primary_gives_the_cluster_its_identity() {
    let mut world = fresh_agent(wiped(member("a").primary(1)));
    let decision = world.turn();
    assert!(decision.does(&Action::WriteInitialize {
        system_id: SYSTEM_ID.into(),
        expected: None,
    }));
    let world = world.view(|view| view.initialize = Some(versioned(SYSTEM_ID.into())));
    assert!(world.decide().does(&Action::AcquireLeader));
}

#[test]
fn an_invalid_identity_is_replaced_under_its_revision() {
    let decision = wiped(member("a").primary(1))
        .view(|view| view.initialize = Some(versioned("garbage".into())))
        .decide();
    assert!(decision.does(&Action::WriteInitialize {
        system_id: SYSTEM_ID.into(),
        expected: Some(REVISION),
    }));
}

#[test]
fn a_running_replica_never_writes_the_identity() {
    // Its control file was read before it was started as a replica: it says "was a primary".
    for state in [ControlState::InArchiveRecovery, ControlState::ShutDown] {
        let mut world = wiped(member("b").replica(1, END)).control(|control| control.state = state);
        for _ in 0..3 {
            assert!(!writes_identity(&world.turn()), "S18: {state:?}");
        }
        assert!(!writes_identity(&world.mute().decide()));
    }
}

#[test]
fn a_new_agent_beside_a_running_replica_without_identity_ends() {
    let decision = fresh_agent(wiped(member("b").replica(1, END))).decide();
    assert!(decision.any(|action| matches!(
        action,
        Action::Exit { because: Some(text) }
            if text.starts_with("No initialize key in DCS and PostgreSQL is running as replica, aborting start")
    )));
}

#[test]
fn an_agent_that_knew_the_identity_stays_when_the_store_is_wiped() {
    let mut world =
        fresh_agent(member("b").replica(1, END))
            .leader("a")
            .other("a", PgRole::Primary, 1);
    world.turn();
    let decision = wiped(world).decide();
    assert!(!decision.any(|action| matches!(action, Action::Exit { .. })));
    assert_eq!(decision.line(), "waiting for leader to bootstrap");
}

#[test]
fn a_stopped_primary_gives_its_identity_when_nobody_else_runs_as_one() {
    let world = || wiped(member("a").stopped(ControlState::ShutDown, 1));
    assert!(writes_identity(&world().decide()));
    assert!(!writes_identity(
        &world().other("b", PgRole::Primary, 2).decide()
    ));
    let replica = wiped(member("a").stopped(ControlState::ShutDownInRecovery, 1));
    assert!(!writes_identity(&replica.decide()));
}

#[test]
fn data_of_another_cluster_end_the_agent() {
    let decision = member("b")
        .stopped(ControlState::ShutDown, 1)
        .control(|control| control.system_id = "7111111111111111111".into())
        .decide();
    let text = "system ID mismatch, node b belongs to a different cluster: \
                7000000000000000000 != 7111111111111111111";
    let [Action::Exit { because: Some(why) }] = &decision.effects()[..] else {
        panic!("{}", decision.says());
    };
    assert!(
        why.starts_with(text) && why.contains("move its data directory away"),
        "{why}"
    );
}

#[test]
fn a_leader_with_data_of_another_cluster_stops_then_releases_then_ends() {
    let other = "7111111111111111111";
    let mut world = member("a")
        .primary(1)
        .control(|control| control.system_id = other.into())
        .leader("a");
    assert!(matches!(
        world.turn().begins(),
        Some(Work::Stop {
            mode: StopMode::Immediate,
            ..
        })
    ));
    let mut world = world
        .stopped(ControlState::InProduction, 1)
        .control(|control| control.system_id = other.into());
    let decision = world.turn();
    assert_eq!(decision.effects(), [Action::ReleaseLeader { optime: None }]);
    let decision = world.view(|view| view.leader = None).decide();
    assert!(decision.any(|action| matches!(action, Action::Exit { .. })));
}

#[test]
fn a_primary_of_another_cluster_is_stopped_before_its_agent_ends_but_not_by_a_new_agent() {
    let foreign = || {
        member("b")
            .primary(1)
            .control(|control| control.system_id = "7111111111111111111".into())
            .leader("a")
            .other("a", PgRole::Primary, 1)
    };
    let exits = |decision: &Decision| decision.any(|action| matches!(action, Action::Exit { .. }));
    // It was put there in pause, which has ended.
    let decision = foreign().decide();
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
    assert!(!exits(&decision));
    let decision = fresh_agent(foreign()).decide();
    assert_eq!(decision.begins(), None);
    assert!(exits(&decision));
}

#[test]
fn an_unreadable_directory_is_left_alone() {
    let why = || "Permission denied".to_owned();
    let mut world = member("b").leader("a").other("a", PgRole::Primary, 1);
    world.seen.postgres.data = pgherd_domain::DataDirectory::Inaccessible { why: why() };
    let decision = world.turn();
    assert_eq!(decision.effects(), []);
    assert_eq!(
        decision.line(),
        "data directory is not accessible: Permission denied"
    );
    world.seen.postgres.data = pgherd_domain::DataDirectory::Invalid { why: why() };
    let decision = world.turn();
    assert_eq!(decision.effects(), []);
    assert!(decision.line().ends_with("consider doing reinitialize"));
}

#[test]
fn a_primary_whose_directory_became_unreadable_stops_before_its_key_goes() {
    let why = || "Input/output error".to_owned();
    for data in [
        pgherd_domain::DataDirectory::Inaccessible { why: why() },
        pgherd_domain::DataDirectory::Invalid { why: why() },
    ] {
        let mut world = member("a").primary(1).leader("a");
        world.seen.postgres.data = data;
        let decision = world.turn();
        assert!(matches!(decision.begins(), Some(Work::Stop { .. })), "S43");
        assert!(!decision.does(&Action::ReleaseLeader { optime: None }));
        world.seen.postgres.postmaster = None;
        let decision = world.turn();
        assert!(decision.does(&Action::ReleaseLeader { optime: None }));
    }
}

#[test]
fn the_leader_puts_lost_keys_back() {
    let config: serde_json::Value = serde_json::from_str(r#"{"ttl": 20}"#).unwrap();
    let decision = member("a")
        .primary(1)
        .leader("a")
        .view(|view| {
            view.initialize = None;
            view.config = None;
        })
        .spec(|spec| spec.dynamic_config = Some(config.clone()))
        .decide();
    assert!(writes_identity(&decision));
    let restores = Action::RestoreConfig {
        config,
        expected: None,
    };
    assert!(decision.does(&restores));
    assert_eq!(decision.wake_at, NOW.plus(secs(10)));
}

#[test]
fn a_configuration_that_is_of_no_use_is_replaced_by_the_last_good_one() {
    let config: serde_json::Value = serde_json::from_str(r#"{"ttl": 20}"#).unwrap();
    let decided = |found: Option<serde_json::Value>, kept: &serde_json::Value| {
        member("a")
            .primary(1)
            .leader("a")
            .view(|view| {
                view.config = found.map(versioned);
                view.config_revision = Some(REVISION);
            })
            .spec(|spec| spec.dynamic_config = Some(kept.clone()))
            .decide()
    };
    let empty = serde_json::Value::Object(serde_json::Map::new());
    for found in [None, Some(empty.clone())] {
        let restores = Action::RestoreConfig {
            config: config.clone(),
            expected: Some(REVISION),
        };
        assert!(decided(found, &config).does(&restores));
    }
    let decision = decided(Some(empty.clone()), &empty);
    let restores = |action: &Action| matches!(action, Action::RestoreConfig { .. });
    assert!(!decision.actions.iter().any(restores));
    let decision = decided(Some(config.clone()), &config);
    assert!(!decision.actions.iter().any(restores));
}

#[test]
fn a_server_that_does_not_answer_gives_no_identity() {
    let mute = wiped(member("a").primary(1)).seen(|seen| {
        seen.postgres.live = super::build::unknown();
    });
    assert!(!writes_identity(&mute.decide()));
}
