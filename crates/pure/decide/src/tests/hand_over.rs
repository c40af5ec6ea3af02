//! PostgreSQL has stopped for a switchover: the key goes to who has the last record, or the old primary
//! resumes (contract §5.8).

use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{
    Action, Adjustment, ControlState, Lsn, Outcome, PgRole, StartAs, StopMode, SyncMode, Work,
};

use super::build::{END, World, millis, name, secs, versioned};
use super::switchover::{checkpointed, clears, ordered, stops};
use crate::Decision;

fn starts_primary(decision: &Decision) -> bool {
    matches!(
        decision.begins(),
        Some(Work::Start {
            start_as: StartAs::Primary { .. },
            ..
        })
    )
}

fn hands_over_to(decision: &Decision, of: &str) -> bool {
    decision.any(|action| matches!(action, Action::HandOver { to, .. } if *to == name(of)))
}

/// PostgreSQL has stopped in good order.
fn stopped() -> World {
    let mut world = checkpointed();
    world.turn();
    world.stopped(ControlState::ShutDown, 1).later(millis(300))
}

#[test]
fn the_key_goes_to_the_candidate_that_has_the_last_record() {
    let mut world = stopped();
    let first = world.turn();
    assert_eq!(
        first.asks(),
        ["b"],
        "only answers from after the stop count"
    );
    let mut behind = world.clone().answered("b", |b| b.position = Lsn::new(END));
    assert!(!hands_over_to(&behind.turn(), "b"), "S20");
    let decision = world
        .answered("b", |b| b.position = Lsn::new(END + 120))
        .decide();
    assert!(decision.does(&Action::HandOver {
        to: name("b"),
        optime: Some(Lsn::new(END)),
    }));
}

/// The shutdown checkpoint is written, and the postmaster waits for a standby that is cut off.
fn waiting() -> World {
    let mut world = checkpointed();
    world.turn();
    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    world
        .works(stop)
        .mute()
        .control(|control| control.state = ControlState::ShutDown)
        .seen(|seen| seen.postgres.accepting = false)
        .later(millis(300))
}

#[test]
fn the_key_does_not_wait_for_a_standby_that_is_cut_off() {
    let mut world = waiting();
    assert_eq!(world.turn().asks(), ["b"]);
    let mut world = world.answered("b", |b| b.position = Lsn::new(END + 120));
    let decision = world.turn();
    assert!(hands_over_to(&decision, "b"));
    assert_eq!(decision.begins(), None, "the stop goes on");
    // While it is only on its way there, nothing is given away.
    for (state, accepting) in [
        (ControlState::ShuttingDown, false),
        (ControlState::InProduction, false),
        (ControlState::ShutDown, true),
    ] {
        let mut world = waiting()
            .control(|control| control.state = state)
            .seen(|seen| seen.postgres.accepting = accepting);
        world.turn();
        let mut world = world.answered("b", |b| b.position = Lsn::new(END + 120));
        assert!(!hands_over_to(&world.turn(), "b"), "{state:?} {accepting}");
    }
}

#[test]
fn when_nobody_can_take_over_the_wait_is_cut_short_and_the_old_primary_resumes() {
    let mut world = waiting();
    world.turn();
    let mut world = world.later(millis(5_100)).unreachable("b");
    let effects = world.turn().effects();
    assert_eq!(effects[0], Action::CancelWork);
    assert!(matches!(
        effects[1],
        Action::Begin(Work::Stop {
            mode: StopMode::Immediate,
            ..
        })
    ));
    let mut world = world.stopped(ControlState::ShutDown, 1).unreachable("b");
    world.seen.work.running = None;
    assert!(starts_primary(&world.turn()));
}

#[test]
fn where_the_record_ends_is_what_counts_when_it_is_known() {
    let world = |at: u64| {
        let mut world = stopped().control(|control| {
            control.checkpoint_end = Some(Lsn::new(END + 120));
        });
        world.turn();
        world.answered("b", |b| b.position = Lsn::new(at)).decide()
    };
    assert!(!hands_over_to(&world(END + 64), "b"));
    assert!(hands_over_to(&world(END + 120), "b"));
}

#[test]
fn who_is_on_a_later_timeline_does_not_have_it() {
    let mut world = stopped();
    world.turn();
    let decision = world
        .answered("b", |b| {
            b.position = Lsn::new(END + 800);
            b.timeline = Some(pgherd_domain::TimelineId(2));
        })
        .decide();
    assert!(!hands_over_to(&decision, "b"));
}

#[test]
fn without_a_name_the_most_advanced_and_preferred_gets_it() {
    let mut world = ordered().order(Some("a"), None).answered("c", |_| ());
    world.turn();
    let mut world = world.ended(Work::Checkpoint, Ok(()));
    assert!(stops(&world.turn()));
    let mut world = world.stopped(ControlState::ShutDown, 1).later(millis(300));
    world.turn();
    let has_all = |peer: &mut pgherd_domain::PeerStatus| peer.position = Lsn::new(END + 120);
    let preferred = world.clone().answered("b", has_all).answered("c", |c| {
        has_all(c);
        c.failover_priority = 2;
    });
    assert!(hands_over_to(&preferred.decide(), "c"));
    let equal = world.answered("b", has_all).answered("c", has_all);
    assert!(hands_over_to(&equal.decide(), "b"));
}

#[test]
fn while_the_candidate_catches_up_it_is_asked_again_but_one_question_at_a_time() {
    let mut world = stopped();
    world.turn();
    let mut asking = world.clone();
    asking.seen.peers.insert(
        name("b"),
        pgherd_domain::PeerSeen::Asking {
            since: asking.seen.now,
        },
    );
    let mut asking = asking.later(millis(500));
    assert_eq!(asking.turn().asks(), Vec::<String>::new());
    let mut behind = world
        .answered("b", |b| b.position = Lsn::new(END))
        .later(millis(60));
    assert_eq!(behind.turn().asks(), ["b"]);
}

#[test]
fn after_five_seconds_without_a_candidate_the_old_primary_resumes() {
    let mut world = stopped();
    world.turn();
    let mut world = world.later(millis(4_900)).unreachable("b");
    assert_eq!(world.turn().begins(), None);
    let mut world = world.later(millis(200)).lease(secs(20)).unreachable("b");
    let decision = world.turn();
    assert!(clears(&decision));
    assert!(starts_primary(&decision));
    assert_eq!(world.memory.switching, None);
}

#[test]
fn a_server_that_died_while_stopping_resumes() {
    let mut world = checkpointed();
    world.turn();
    let decision = world.stopped(ControlState::InProduction, 1).decide();
    assert!(starts_primary(&decision));
    assert!(clears(&decision));
}

#[test]
fn a_refused_hand_over_releases_the_key_for_a_race() {
    let mut world = stopped();
    world.turn();
    let mut world = world.answered("b", |b| b.position = Lsn::new(END + 120));
    let hand_over = world.turn().effects().remove(0);
    let mut world = world.effect(hand_over, Outcome::Refused);
    let decision = world.turn();
    assert!(decision.does(&Action::ReleaseLeader {
        optime: Some(Lsn::new(END))
    }));
    assert!(!hands_over_to(&decision, "b"));
}

#[test]
fn an_unanswered_hand_over_is_repeated_as_long_as_the_key_is_mine() {
    let mut world = stopped();
    world.turn();
    let mut world = world.answered("b", |b| b.position = Lsn::new(END + 120));
    let hand_over = world.turn().effects().remove(0);
    let unknown = Outcome::Unknown("timed out".into());
    let mut mine = world.clone().effect(hand_over.clone(), unknown.clone());
    assert!(hands_over_to(&mine.turn(), "b"));
    let mut theirs = world.leader("b").lost().effect(hand_over, unknown);
    let decision = theirs.turn();
    assert_eq!(
        decision.line(),
        "switchover to b: the key has been taken over"
    );
    assert_eq!(theirs.memory.switching, None);
}

#[test]
fn after_the_hand_over_the_old_primary_follows() {
    let mut world = stopped();
    world.turn();
    let mut world = world.answered("b", |b| b.position = Lsn::new(END + 120));
    let hand_over = world.turn().effects().remove(0);
    let mut world = world
        .leader("b")
        .other("b", PgRole::Replica, 1)
        .seen(|seen| seen.lease = pgherd_domain::LeaseSeen::NONE)
        .effect(hand_over, Outcome::Done);
    let decision = world.turn();
    assert!(matches!(
        decision.begins(),
        Some(Work::Start {
            start_as: StartAs::Replica { upstream: Some(_) },
            ..
        })
    ));
    assert_eq!(decision.role, PgRole::Demoted);
}

/// The stop of a switchover was cut short: the control file says that the server still writes.
fn cut_short(synchronous: bool) -> World {
    let mut world = checkpointed();
    if synchronous {
        world = world
            .spec(|spec| spec.synchronous_mode = SyncMode::On)
            .view(|view| {
                view.sync = Some(versioned(SyncDoc {
                    leader: Some(name("a")),
                    quorum: 0,
                    standbys: [name("b")].into(),
                }));
            });
    }
    world.turn();
    world
        .stopped(ControlState::InProduction, 1)
        .later(millis(300))
}

#[test]
fn after_a_stop_that_was_cut_short_a_synchronous_standby_takes_over() {
    let mut world = cut_short(true);
    let first = world.turn();
    assert_eq!(first.asks(), ["b"]);
    assert_eq!(first.begins(), None);
    let decision = world.clone().answered("b", |_| {}).decide();
    assert!(decision.does(&Action::ReleaseLeader { optime: None }));
    let mut silent = world.later(secs(6));
    let resumes = silent.turn();
    assert!(starts_primary(&resumes), "nobody can take over");
    let close = Action::Adjust(Adjustment::CloseEntry);
    assert!(resumes.does(&close));
}

#[test]
fn after_a_stop_that_was_cut_short_an_asynchronous_primary_resumes() {
    let decision = cut_short(false).turn();
    assert!(starts_primary(&decision));
    assert!(clears(&decision));
}
