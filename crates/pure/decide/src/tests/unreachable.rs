//! The store does not answer: what is known goes on, and nothing new begins (contract §5.9).

use pgherd_domain::{
    Action, ControlState, LeaseSeen, Outcome, PgRole, StartAs, StopMode, Work, WorkError,
};

use super::build::{END, World, member, millis, name, secs, upstream};

/// The replica `b` of `a`, with a silent store.
fn replica() -> World {
    member("b")
        .replica(1, END)
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .streams_from("a")
        .silent()
}

#[test]
fn a_replica_keeps_its_upstream() {
    let decision = replica().decide();
    assert_eq!(decision.effects(), [], "S36");
    assert_eq!(decision.line(), "DCS is not accessible");
    assert!(!decision.any(|action| matches!(action, Action::PublishMember(_))));
}

#[test]
fn a_crashed_replica_comes_back_with_the_upstream_it_had() {
    let decision = replica()
        .stopped(ControlState::InArchiveRecovery, 1)
        .decide();
    assert_eq!(
        decision.begins(),
        Some(&Work::Start {
            start_as: StartAs::Replica {
                upstream: Some(upstream("a"))
            },
            timeout: secs(60),
        })
    );
}

#[test]
fn a_start_that_fails_is_tried_again_after_a_pause() {
    let start = Work::Start {
        start_as: StartAs::Replica { upstream: None },
        timeout: secs(300),
    };
    let mut world = replica()
        .stopped(ControlState::InArchiveRecovery, 1)
        .ended(start, Err(WorkError::Failed("port in use".into())));
    let decision = world.turn();
    assert_eq!(decision.begins(), None);
    assert!(world.later(secs(1)).decide().begins().is_some());
}

/// The leader `a` has crashed under a silent store.
fn crashed(left: std::time::Duration) -> World {
    member("a")
        .primary(1)
        .leader("a")
        .lease(left)
        .silent()
        .stopped(ControlState::InProduction, 1)
}

#[test]
fn a_crashed_primary_is_started_again_while_its_lease_is_good_for_a_while() {
    assert!(matches!(
        crashed(secs(20)).decide().begins(),
        Some(Work::Start {
            start_as: StartAs::Primary { .. },
            ..
        })
    ));
    assert_eq!(crashed(secs(7)).decide().begins(), None, "it ends too soon");
    assert!(matches!(
        crashed(secs(0)).decide().begins(),
        Some(Work::Start {
            start_as: StartAs::Replica { .. },
            ..
        })
    ));
}

#[test]
fn a_key_that_was_perhaps_given_away_starts_no_primary() {
    let world = crashed(secs(20)).effect(
        Action::ReleaseLeader { optime: None },
        Outcome::Unknown("timed out".into()),
    );
    assert!(matches!(
        world.decide().begins(),
        Some(Work::Start {
            start_as: StartAs::Replica { .. },
            ..
        })
    ));
}

#[test]
fn a_key_that_was_perhaps_handed_over_starts_no_primary() {
    let mut world = member("a")
        .primary(1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
        .order(Some("a"), Some("b"))
        .answered("b", |_| ());
    world.turn();
    let to = name("b");
    let mut world = world
        .stopped(ControlState::ShutDown, 1)
        .silent()
        .lease(secs(20))
        .effect(
            Action::HandOver { to, optime: None },
            Outcome::Unknown("timed out".into()),
        );
    assert!(!matches!(
        world.turn().begins(),
        Some(Work::Start {
            start_as: StartAs::Primary { .. },
            ..
        })
    ));
}

#[test]
fn a_primary_without_lease_may_not_go_on_for_longer_than_a_lease_would_let_it() {
    let mut world = member("a")
        .primary(1)
        .silent()
        .seen(|seen| seen.lease = LeaseSeen::NONE);
    let decision = world.turn();
    assert_eq!(decision.begins(), None);
    let mut world = world.later(millis(7_500));
    let decision = world.turn();
    assert!(matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Fast,
            ..
        })
    ));
    assert_eq!(
        decision.line(),
        "demoted self because DCS is not accessible and I was a leader"
    );
}

#[test]
fn a_checkpoint_does_not_keep_it_alive() {
    let mut world = member("a").primary(1).silent().works(Work::Checkpoint);
    world.turn();
    let decision = world.later(secs(8)).decide();
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
}

#[test]
fn an_empty_member_waits_for_the_store() {
    assert_eq!(member("b").silent().decide().effects(), []);
}

#[test]
fn a_copy_that_goes_on_goes_on() {
    let source = upstream("a");
    let decision = member("b")
        .silent()
        .works(Work::Clone {
            source,
            basebackup_only: false,
        })
        .decide();
    assert_eq!(decision.effects(), []);
}

#[test]
fn once_the_store_says_that_the_key_is_mine_there_is_no_doubt() {
    let mut world = member("a").primary(1).leader("a").effect(
        Action::ReleaseLeader { optime: None },
        Outcome::Unknown("timed out".into()),
    );
    world.turn();
    let world = world
        .silent()
        .stopped(ControlState::InProduction, 1)
        .lease(secs(20));
    assert!(matches!(
        world.decide().begins(),
        Some(Work::Start {
            start_as: StartAs::Primary { .. },
            ..
        })
    ));
}
