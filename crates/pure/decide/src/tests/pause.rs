//! Paused: nothing is started, stopped, promoted or demoted by itself (contract §13).

use pgherd_domain::{Action, ControlState, PgRole, PgState, Veto, Work};

use super::build::{END, World, member, name, secs, upstream};
use super::requests::reinitialize;

fn paused(world: World) -> World {
    world.spec(|spec| spec.pause = true)
}

#[test]
fn the_leader_goes_on_renewing() {
    let decision = paused(member("a").primary(1).leader("a")).decide();
    assert_eq!(
        decision.line(),
        "no action. I am (a), the leader with the lock"
    );
    assert!(decision.member.pause);
}

#[test]
fn a_primary_goes_on_without_key_lease_or_store() {
    let primary = || paused(member("a").primary(1));
    let other = primary()
        .leader("b")
        .other("b", PgRole::Primary, 1)
        .lost()
        .decide();
    assert_eq!(other.begins(), None);
    assert_eq!(other.line(), "continue to run as primary without lock");
    let mut silent = primary().lease(secs(1)).silent().later(secs(60));
    let decision = silent.turn();
    assert_eq!(decision.begins(), None);
    assert_eq!(decision.line(), "DCS is not accessible");
}

#[test]
fn a_running_primary_takes_the_free_key_and_a_replica_does_not() {
    let primary = paused(member("a").primary(1)).decide();
    assert!(primary.does(&Action::AcquireLeader));
    let replica = paused(member("a").replica(1, END)).decide();
    assert!(!replica.does(&Action::AcquireLeader));
    assert_eq!(replica.verdict, [Veto::Paused]);
    assert_eq!(replica.line(), "no action. I am (a)");
}

#[test]
fn a_primary_takes_the_free_key_also_when_the_store_has_lost_the_identity() {
    let decision = paused(member("a").primary(1))
        .view(|view| view.initialize = None)
        .decide();
    assert!(decision.does(&Action::AcquireLeader));
}

#[test]
fn a_primary_of_another_cluster_takes_no_key_and_gives_up_the_one_it_has() {
    let other = || {
        paused(member("a").primary(1))
            .control(|control| control.system_id = "7111111111111111111".into())
    };
    let decision = other().decide();
    assert!(!decision.does(&Action::AcquireLeader));
    assert_eq!(decision.verdict, [Veto::OtherCluster]);
    assert_eq!(decision.line(), "continue to run as primary without lock");
    assert!(super::slots::told(
        &decision,
        "this agent ends when the cluster is resumed"
    ));
    let leader = other().leader("a").decide();
    assert!(leader.does(&Action::ReleaseLeader { optime: None }));
    assert_eq!(
        leader.line(),
        "released leader key voluntarily due to the system ID mismatch"
    );
}

#[test]
fn a_named_candidate_takes_the_free_key_and_is_promoted() {
    let world = || paused(member("b").replica(1, END)).order(None, Some("b"));
    assert!(world().decide().does(&Action::AcquireLeader));
    let leads = world().leader("b").decide();
    assert!(matches!(leads.begins(), Some(Work::Promote { .. })));
}

#[test]
fn a_switchover_in_pause_goes_to_a_synchronous_standby_only() {
    let decision = paused(member("b").replica(1, END))
        .sync("a", &["c"])
        .order(Some("a"), Some("b"))
        .decide();
    assert_eq!(decision.verdict, [Veto::Paused]);
}

#[test]
fn a_leader_that_is_no_primary_gives_the_key_up() {
    let replica = paused(member("a").replica(1, END).leader("a")).decide();
    assert!(replica.does(&Action::ReleaseLeader { optime: None }));
    assert_eq!(
        replica.line(),
        "removed leader lock because postgres is not running as primary"
    );
    let stopped = paused(
        member("a")
            .stopped(ControlState::InProduction, 1)
            .leader("a"),
    )
    .decide();
    assert!(stopped.does(&Action::ReleaseLeader { optime: None }));
    assert_eq!(stopped.begins(), None);
    assert_eq!(
        stopped.line(),
        "removed leader lock because postgres is not running"
    );
}

#[test]
fn a_server_that_was_killed_shows_as_stopped() {
    let decision = paused(member("b").stopped(ControlState::InArchiveRecovery, 1))
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .decide();
    assert_eq!(decision.begins(), None);
    assert_eq!(decision.member.state, Some(PgState::Stopped));
}

/// What was copied on order, beside a leader or without one.
fn copied() -> World {
    let source = upstream("a");
    let mut world = paused(member("b").stopped(ControlState::InArchiveRecovery, 1))
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .ended(
            Work::Clone {
                source,
                basebackup_only: false,
            },
            Ok(()),
        );
    assert!(matches!(world.turn().begins(), Some(Work::Start { .. })));
    world
}

#[test]
fn a_copy_made_on_order_is_started() {
    copied();
    let orphan = copied().view(|view| view.leader = None).decide();
    assert!(matches!(orphan.begins(), Some(Work::Start { .. })));
}

#[test]
fn a_copy_that_was_up_and_is_stopped_by_hand_stays_stopped() {
    let mut world = copied().replica(1, END);
    world.turn();
    let mut world = world.stopped(ControlState::ShutDownInRecovery, 1);
    assert_eq!(world.turn().begins(), None);
}

#[test]
fn an_empty_directory_is_left_alone_until_a_copy_is_ordered() {
    let empty = || {
        paused(member("b"))
            .leader("a")
            .other("a", PgRole::Primary, 1)
    };
    let decision = empty().decide();
    assert_eq!(decision.begins(), None);
    assert_eq!(decision.line(), "running with empty data directory");
    let ordered = empty().request(reinitialize(false)).decide();
    assert!(matches!(ordered.begins(), Some(Work::Clone { .. })));
}

#[test]
fn a_stopped_server_stays_stopped() {
    let decision = paused(member("b").stopped(ControlState::ShutDownInRecovery, 1))
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(decision.line(), "postgres is not running");
}

#[test]
fn after_a_switchover_in_pause_the_old_primary_comes_back_as_a_replica() {
    let mut world = paused(member("a").stopped(ControlState::ShutDown, 1))
        .leader("b")
        .other("b", PgRole::Primary, 2)
        .effect(
            Action::HandOver {
                to: name("b"),
                optime: None,
            },
            pgherd_domain::Outcome::Done,
        );
    assert!(matches!(world.turn().begins(), Some(Work::Start { .. })));
}

#[test]
fn a_replica_that_does_not_stream_is_left_alone() {
    let mut world = paused(member("b").replica(1, END))
        .leader("a")
        .other("a", PgRole::Primary, 2);
    world.turn();
    let decision = world.later(secs(60)).told("a", 2, &[(1, END - 8)]).decide();
    assert_eq!(decision.begins(), None);
}

#[test]
fn slots_are_made_and_not_dropped() {
    let mut world = paused(member("a").primary(1).leader("a"))
        .other("b", PgRole::Replica, 1)
        .spec(|spec| {
            spec.use_slots = true;
            spec.member_slots_ttl = secs(0);
        });
    let made = world.turn();
    assert!(made.any(|action| matches!(
        action,
        Action::Adjust(pgherd_domain::Adjustment::CreateSlot(_))
    )));
    let world = world
        .view(|view| view.members.clear())
        .live(|live| {
            live.slots.insert("b".into(), super::slots::inactive(END));
        })
        .later(secs(10));
    assert!(!world.decide().any(|action| matches!(
        action,
        Action::Adjust(pgherd_domain::Adjustment::DropSlot(_))
    )));
}

#[test]
fn so_it_does_when_the_key_was_released_for_a_race() {
    let mut world = paused(member("a").primary(1).leader("a"))
        .other("b", PgRole::Replica, 1)
        .order(Some("a"), Some("b"))
        .answered("b", |_| ());
    world.turn();
    let mut world = world
        .stopped(ControlState::ShutDown, 1)
        .leader("b")
        .other("b", PgRole::Primary, 2)
        .seen(|seen| seen.lease = pgherd_domain::LeaseSeen::NONE)
        .effect(
            Action::ReleaseLeader { optime: None },
            pgherd_domain::Outcome::Done,
        )
        .told("b", 2, &[(1, END + 120)]);
    assert!(matches!(world.turn().begins(), Some(Work::Start { .. })));
}

#[test]
fn after_a_pause_nobody_is_promoted_beside_a_primary_whose_agent_is_gone() {
    let resumed = |pause| {
        let mut world = paused(member("b").replica(1, END).streams_from("a"))
            .leader("a")
            .other_doc("a", |doc| {
                doc.role = Some(PgRole::Primary);
                doc.pause = pause;
            });
        world.turn();
        let world = world.spec(|spec| spec.pause = false).unreachable("a");
        world.view(|view| {
            view.leader = None;
            view.members.remove(&name("a"));
        })
    };
    let decision = resumed(true).decide();
    assert_eq!(decision.verdict, [Veto::PrimaryAlive { peer: name("a") }]);
    assert_eq!(decision.notices.len(), 1);
    let takes = |world: World| world.decide().does(&Action::AcquireLeader);
    assert!(!takes(resumed(true).order(Some("a"), Some("b"))));
    assert!(takes(resumed(true).order(None, Some("b"))), "ordered to");
    let silent = resumed(true).live(|live| live.receiver = None);
    assert!(takes(silent), "it is gone");
    let cascading = resumed(true).streams_from("c");
    assert!(takes(cascading), "who knows");
    assert!(takes(resumed(false)), "its fence has stopped it");
    let back = |role| resumed(true).other("a", role, 1).answered("a", |_| ());
    assert!(!takes(back(PgRole::Primary)), "the key is that one's");
    assert!(takes(back(PgRole::Replica)), "and now it is nobody's");
}
