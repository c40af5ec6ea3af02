//! Delayed standbys (contract §15): never a candidate; stopped before a time on request.

use pgherd_domain::{Action, Adjustment, Answer, Operation, PgRole, Refusal, Veto, WallTime, Work};

use super::build::{END, World, member, secs, upstream};
use crate::Decision;

const HOUR: u64 = 3600;

/// The replica `b`, one hour behind the leader `a`; the wall clock says 14:20.
fn delayed() -> World {
    member("b")
        .replica(1, END)
        .streams_from("a")
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .live(|live| {
            live.apply_delay = secs(HOUR);
            live.replayed_at = Some("2026-11-26 13:20:00.000000+00:00".into());
        })
        .seen(|seen| seen.wall = at("14:20:00"))
}

fn at(time: &str) -> WallTime {
    WallTime::parse(&format!("2026-11-26T{time}+00:00")).unwrap()
}

fn ask(world: World, time: Option<&str>) -> Decision {
    let time = time.map(at);
    world.request(Operation::StopBefore { time }).decide()
}

fn refusal(decision: &Decision) -> Option<(Refusal, &str)> {
    decision.actions.iter().find_map(|action| match action {
        Action::Answer {
            answer: Answer::Refused(refusal, text),
            ..
        } => Some((*refusal, text.as_str())),
        _ => None,
    })
}

#[test]
fn a_delayed_standby_is_no_candidate_and_says_so_to_everybody() {
    let decision = delayed().decide();
    assert!(matches!(decision.verdict[..], [Veto::HeldBack { .. }]));
    assert_eq!(
        decision.verdict[0].to_string(),
        "its replay is delayed by 3600 s (recovery_min_apply_delay)"
    );
    assert_eq!(decision.member.tags["nofailover"], true);
    assert_eq!(decision.member.tags["nosync"], true);
    let alone = delayed().view(|view| view.leader = None).decide();
    assert!(!alone.any(|action| matches!(action, Action::AcquireLeader)));
}

#[test]
fn replay_is_stopped_before_a_time_that_it_has_not_reached() {
    let decision = ask(delayed(), Some("14:03:00"));
    assert_eq!(
        decision.begins(),
        Some(&Work::StopBefore {
            time: Some("2026-11-26T14:03:00.000000+00:00".into()),
            upstream: Some(upstream("a")),
            timeout: secs(60),
        })
    );
}

#[test]
fn a_time_that_was_replayed_already_is_refused_because_the_server_would_not_start() {
    let decision = ask(delayed(), Some("13:10:00"));
    let (kind, text) = refusal(&decision).unwrap();
    assert_eq!(kind, Refusal::Conflict);
    assert!(text.contains("it can not go back"), "{text}");
    assert_eq!(decision.begins(), None);
}

#[test]
fn without_a_replayed_commit_only_what_the_delay_holds_back_for_certain_is_accepted() {
    let unknown = || delayed().live(|live| live.replayed_at = None);
    assert!(ask(unknown(), Some("13:30:00")).begins().is_some());
    assert!(refusal(&ask(unknown(), Some("13:10:00"))).is_some());
}

#[test]
fn a_primary_and_a_replica_without_delay_are_refused() {
    let primary = member("a").primary(1).leader("a");
    let prompt = delayed().live(|live| live.apply_delay = secs(0));
    for world in [primary, prompt] {
        assert!(refusal(&ask(world, Some("14:03:00"))).is_some());
    }
}

#[test]
fn replay_that_stands_goes_on_by_a_restart_and_never_by_resuming_which_would_promote() {
    let standing = || {
        delayed().live(|live| {
            live.apply_delay = secs(0);
            live.stop_before = Some("2026-11-26 14:03:00+00".into());
            live.replay_paused = true;
            live.outgrown = true;
        })
    };
    let decision = standing().decide();
    assert!(!decision.does(&Action::Adjust(Adjustment::ResumeReplay)));
    assert!(matches!(decision.verdict[..], [Veto::HeldBack { .. }]));
    // A server that stands asks for no WAL: its upstream is not to blame, and nothing is healed.
    let mut silent = standing().live(|live| live.receiver = None);
    silent.turn();
    let decision = silent.later(secs(30)).decide();
    assert_eq!(decision.effects(), []);
    assert!(decision.notices.is_empty());
    let decision = ask(standing(), None);
    assert!(matches!(
        decision.begins(),
        Some(Work::StopBefore { time: None, .. })
    ));
}

#[test]
fn who_asked_is_answered_when_the_work_has_ended() {
    let mut world = delayed().request(Operation::StopBefore {
        time: Some(at("14:03:00")),
    });
    let work = world.turn().begins().cloned().unwrap();
    let decision = world.ended(work, Ok(())).decide();
    assert!(decision.any(|action| matches!(
        action,
        Action::Answer {
            answer: Answer::Done(_),
            ..
        }
    )));
}
