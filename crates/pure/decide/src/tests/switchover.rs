//! A leader steps down on order (contract §5.8): step by step, and back from every step.

use pgherd_domain::documents::{FailoverDoc, Schedule};
use pgherd_domain::{Action, Lsn, PgRole, PgState, StopMode, WallTime, Work, WorkError};

use super::build::{END, NOW, REVISION, World, member, millis, name, secs, versioned};
use crate::Decision;
use crate::memory::SwitchPhase;

/// The leader `a`, ordered to hand over to `b`, who answers; `c` is there too.
pub(super) fn ordered() -> World {
    member("a")
        .primary(1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
        .other("c", PgRole::Replica, 1)
        .order(Some("a"), Some("b"))
        .answered("b", |_| ())
}

pub(super) fn clears(decision: &Decision) -> bool {
    decision.does(&Action::WriteFailover {
        doc: FailoverDoc::default(),
        expected: REVISION,
    })
}

pub(super) fn stops(decision: &Decision) -> bool {
    matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Fast,
            ..
        })
    )
}

/// The order was taken up and the checkpoint is written.
pub(super) fn checkpointed() -> World {
    let mut world = ordered();
    world.turn();
    world.ended(Work::Checkpoint, Ok(()))
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
    let faults: [Change; 5] = [
        |b| b.nofailover = true,
        |b| b.is_primary = true,
        |b| b.timeline = Some(pgherd_domain::TimelineId(2)),
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
    let mut world = ordered().unreachable("b").later(millis(10));
    let first = world.turn();
    assert_eq!(first.asks(), ["b"], "it may be back since it was asked");
    assert!(!clears(&first));
    let mut world = world.unreachable("b").later(millis(2_010));
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
fn in_quorum_mode_a_successor_needs_voters_that_answer() {
    let world = || {
        let world = ordered().sync("a", &["b", "c"]);
        let world = world.spec(|spec| spec.synchronous_mode = pgherd_domain::SyncMode::Quorum);
        world.view(|view| view.sync.as_mut().unwrap().value.quorum = 1)
    };
    assert_eq!(world().decide().asks(), ["c"], "it votes");
    let voted = world().answered("c", |_| ()).decide();
    assert_eq!(voted.begins(), Some(&Work::Checkpoint));
    assert!(clears(&world().unreachable("c").decide()));
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
    let said: Vec<String> = decision.because.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "switchover: demoting myself",
            "switchover to b: stopping PostgreSQL"
        ]
    );
}

#[test]
fn clients_go_on_until_a_candidate_has_what_they_wrote_but_not_for_ever() {
    let mut world = checkpointed().later(millis(40));
    world.turn();
    let mut world = world.answered("b", |peer| peer.position = Lsn::new(END - 1));
    let decision = world.turn();
    assert_eq!(decision.begins(), None, "it would stop in vain");
    assert_eq!(
        decision.line(),
        "switchover to b: waiting for a candidate to catch up"
    );
    let mut asks = world.clone().later(millis(100));
    assert_eq!(asks.turn().asks(), ["b"], "and is asked again");
    assert!(stops(&asks.answered("b", |_| ()).decide()));

    let mut late = world.later(secs(6));
    late.turn();
    let late = late.answered("b", |peer| peer.position = Lsn::new(END - 1));
    assert!(stops(&late.decide()), "the archive may bring it the rest");
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
