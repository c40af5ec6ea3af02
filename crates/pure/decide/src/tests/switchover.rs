//! A leader steps down on order (contract §5.8): step by step, and back from every step.

use pgherd_domain::documents::{FailoverDoc, Schedule};
use pgherd_domain::{
    Action, ControlState, Lsn, Outcome, PgRole, PgState, StartAs, StopMode, WallTime, Work,
    WorkError,
};

use super::build::{END, NOW, REVISION, World, member, millis, name, secs, versioned};
use crate::Decision;
use crate::memory::SwitchPhase;

/// The leader `a`, ordered to hand over to `b`, who answers; `c` is there too.
fn ordered() -> World {
    member("a")
        .primary(1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
        .other("c", PgRole::Replica, 1)
        .order(Some("a"), Some("b"))
        .answered("b", |_| ())
}

fn clears(decision: &Decision) -> bool {
    decision.does(&Action::WriteFailover {
        doc: FailoverDoc::default(),
        expected: REVISION,
    })
}

fn stops(decision: &Decision) -> bool {
    matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Fast,
            ..
        })
    )
}

fn starts_primary(decision: &Decision) -> bool {
    matches!(
        decision.begins(),
        Some(Work::Start {
            start_as: StartAs::Primary,
            ..
        })
    )
}

fn hands_over_to(decision: &Decision, of: &str) -> bool {
    decision.any(|action| matches!(action, Action::HandOver { to, .. } if *to == name(of)))
}

/// The order was taken up and the checkpoint is written.
fn checkpointed() -> World {
    let mut world = ordered();
    world.turn();
    world.ended(Work::Checkpoint, Ok(()))
}

/// PostgreSQL has stopped in good order.
fn stopped() -> World {
    let mut world = checkpointed();
    world.turn();
    world.stopped(ControlState::ShutDown, 1).later(millis(300))
}

// --- taking the order up

#[test]
fn candidates_are_asked_before_anything_is_done() {
    let mut world = ordered();
    world.seen.peers.clear();
    let decision = world.turn();
    assert_eq!(decision.asks(), ["b"]);
    assert_eq!(decision.begins(), None);
    assert_eq!(decision.line(), "switchover to b: asking the candidates");
}

#[test]
fn a_checkpoint_comes_first_while_clients_go_on() {
    let decision = ordered().decide();
    assert_eq!(decision.begins(), Some(&Work::Checkpoint));
    let goes_on = ordered().works(Work::Checkpoint);
    let mut world = goes_on;
    world.turn();
    assert_eq!(world.turn().begins(), None);
}

#[test]
fn an_order_for_another_leader_or_for_me_is_not_mine() {
    for (leader, member) in [(Some("b"), Some("c")), (None, Some("a"))] {
        let mut world = ordered().order(leader, member);
        let decision = world.turn();
        assert_eq!(decision.begins(), None);
        assert!(clears(&decision), "it brought me here: it is done");
    }
}

#[test]
fn an_order_without_a_good_candidate_is_cleared() {
    type Change = fn(&mut pgherd_domain::PeerStatus);
    let faults: [Change; 3] = [
        |b| b.nofailover = true,
        |b| b.watchdog_failed = true,
        |b| b.position = Lsn::new(END - (1 << 20) - 1),
    ];
    for fault in faults {
        let decision = ordered().answered("b", fault).decide();
        assert!(clears(&decision));
        assert_eq!(decision.begins(), None);
        assert_eq!(
            decision.line(),
            "Cleaning up failover key: no good candidates have been found"
        );
    }
    assert!(clears(&ordered().unreachable("b").decide()));
}

#[test]
fn a_silent_candidate_does_not_keep_the_order_open_for_ever() {
    let mut world = ordered().unreachable("b").later(secs(2));
    assert!(clears(&world.turn()), "asked two seconds ago, in vain");
}

#[test]
fn with_check_timeline_a_candidate_on_an_older_timeline_is_none() {
    let world = |check| {
        ordered()
            .primary(2)
            .answered("b", |b| b.timeline = Some(pgherd_domain::TimelineId(1)))
            .spec(|spec| spec.check_timeline = check)
    };
    assert!(clears(&world(true).decide()));
    assert!(!clears(&world(false).decide()));
}

#[test]
fn in_synchronous_mode_a_switchover_goes_to_a_synchronous_standby_only() {
    let world = |leader| {
        ordered()
            .sync("a", &["c"])
            .live(|live| live.synchronous_standby_names = "c".into())
            .sender("c", "sync", END)
            .order(leader, Some("b"))
            .decide()
    };
    assert!(clears(&world(Some("a"))), "S24");
    assert!(!clears(&world(None)), "a manual failover names anybody");
}

#[test]
fn in_pause_a_candidate_must_be_named() {
    let paused = |member| {
        ordered()
            .spec(|spec| spec.pause = true)
            .order(Some("a"), member)
            .answered("c", |_| ())
            .decide()
    };
    let unnamed = paused(None);
    assert!(clears(&unnamed));
    assert!(
        unnamed
            .line()
            .ends_with("Switchover is possible only to a specific candidate in a paused state")
    );
    assert_eq!(paused(Some("b")).begins(), Some(&Work::Checkpoint));
}

// --- planned

fn planned(seconds: i64) -> World {
    let at = WallTime::from_micros(1_790_000_000_000_000 + seconds * 1_000_000);
    ordered().view(|view| {
        view.failover = Some(versioned(FailoverDoc {
            leader: Some(name("a")),
            member: Some(name("b")),
            scheduled_at: Some(Schedule { text: at.iso(), at }),
        }));
    })
}

#[test]
fn a_planned_switchover_waits_for_its_moment() {
    let decision = planned(4).decide();
    assert_eq!(decision.begins(), None);
    assert_eq!(decision.wake_at, NOW.plus(secs(4)));
    assert!(decision.says().contains("Awaiting switchover at 2026-"));
    assert!(decision.says().contains("(in 4 seconds)"));
    assert_eq!(planned(0).decide().begins(), Some(&Work::Checkpoint));
    assert_eq!(planned(-15).decide().begins(), Some(&Work::Checkpoint));
}

#[test]
fn a_planned_switchover_whose_moment_has_passed_is_cleared() {
    let decision = planned(-16).decide();
    assert!(clears(&decision));
    assert_eq!(decision.begins(), None);
}

#[test]
fn a_planned_switchover_rests_in_pause() {
    let decision = planned(0).spec(|spec| spec.pause = true).decide();
    assert_eq!(decision.begins(), None);
    assert!(!clears(&decision));
}

// --- up to the stop

#[test]
fn after_the_checkpoint_candidates_are_asked_once_more_and_then_it_stops() {
    let mut world = checkpointed().later(millis(40));
    let decision = world.turn();
    assert_eq!(decision.asks(), ["b"]);
    assert_eq!(decision.begins(), None);
    let decision = world.answered("b", |_| ()).decide();
    assert!(stops(&decision));
    assert_eq!(decision.line(), "switchover to b: stopping PostgreSQL");
}

#[test]
fn a_candidate_that_died_during_the_checkpoint_costs_no_outage() {
    let mut world = checkpointed().later(millis(40)).unreachable("b");
    let decision = world.turn();
    assert_eq!(decision.begins(), None);
    assert!(clears(&decision));
    assert_eq!(world.memory.switching, None);
}

#[test]
fn an_order_that_is_withdrawn_in_time_ends_the_switchover() {
    let mut world = checkpointed().view(|view| view.failover = None);
    let decision = world.turn();
    assert_eq!(decision.begins(), None);
    assert_eq!(
        decision.line(),
        "Cleaning up failover key: the order was withdrawn"
    );
    assert_eq!(world.memory.switching, None);
}

#[test]
fn a_failed_checkpoint_does_not_stop_the_switchover() {
    let mut world = ordered();
    world.turn();
    let failed = Err(WorkError::Failed("no space left".into()));
    assert!(stops(&world.ended(Work::Checkpoint, failed).decide()));
}

#[test]
fn a_checkpoint_that_takes_longer_than_a_minute_is_not_waited_for() {
    let mut world = ordered();
    world.turn();
    let mut world = world
        .later(secs(60))
        .lease(secs(25))
        .works(Work::Checkpoint)
        .answered("b", |_| ());
    assert!(stops(&world.turn()));
}

#[test]
fn a_server_that_does_not_stop_goes_on() {
    let mut world = checkpointed();
    assert!(stops(&world.turn()));
    let decision = world.later(millis(5_001)).decide();
    assert!(clears(&decision));
    assert_eq!(decision.begins(), None);
}

// --- after the stop

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

#[test]
fn while_it_stops_and_hands_over_the_state_says_so() {
    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    let mut world = checkpointed();
    world.turn();
    assert!(matches!(
        world
            .memory
            .switching
            .as_ref()
            .map(|switching| switching.phase),
        Some(SwitchPhase::Stopping { .. })
    ));
    let decision = world.works(stop).decide();
    assert_eq!(decision.state, PgState::Stopping);
    assert_eq!(decision.line(), "switchover to b: stopping PostgreSQL");
}
