//! A standby that needs WAL which the leader has no more is copied anew; nobody else is.

use pgherd_domain::{ControlState, Lsn, PgRole, StopMode, Upstream, Work};

use super::build::{END, World, member, secs, upstream};
use crate::Decision;

/// Beyond what the replica has: the leader's oldest WAL begins here.
const OLDEST: u64 = END + (64 << 20);

/// The replica `a` of `b` has everything up to `END` and has not streamed for eleven seconds.
fn standing() -> World {
    let mut world = member("a")
        .replica(1, END)
        .leader("b")
        .other("b", PgRole::Primary, 1)
        .live(|live| live.configured_upstream = Some(("b".into(), 5432)));
    world.turn();
    let mut world = world.later(secs(2));
    world.turn();
    world.later(secs(11))
}

impl World {
    /// `b` was asked, and its oldest WAL begins at `oldest`.
    fn begins_at(self, oldest: Option<u64>) -> Self {
        self.told("b", 1, &[]).seen(|seen| {
            if let Some((_, Ok(told))) = &mut seen.upstream {
                told.oldest = oldest.map(Lsn::new);
            }
        })
    }
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

#[test]
fn the_leader_is_asked_when_a_replica_has_stood_for_a_while() {
    let mut early = member("a")
        .replica(1, END)
        .leader("b")
        .other("b", PgRole::Primary, 1);
    early.turn();
    let mut early = early.later(secs(5));
    assert_eq!(early.turn().asks(), [""; 0]);
    assert_eq!(standing().decide().asks(), ["history of b (b:5432)"]);
}

#[test]
fn it_stops_and_is_copied_when_the_leaders_wal_begins_after_it() {
    let mut world = standing().begins_at(Some(OLDEST));
    let decision = world.turn();
    assert!(stops(&decision), "{}", decision.says());
    let needs = format!("it needs WAL from {} on", Lsn::new(END));
    assert!(decision.says().contains(&needs), "{}", decision.says());
    let mut world = world.stopped(ControlState::ShutDownInRecovery, 1);
    let decision = world.turn();
    let copy = Work::Clone {
        source: upstream("b"),
        basebackup_only: false,
    };
    assert_eq!(decision.begins(), Some(&copy), "{}", decision.says());
    let because = world.memory.rejoin_because.clone().unwrap_or_default();
    assert!(because.starts_with(&needs), "{because}");
}

#[test]
fn it_goes_on_when_the_leader_still_has_it_or_can_not_tell() {
    for oldest in [Some(END), Some(END - 1), None] {
        let decision = standing().begins_at(oldest).decide();
        assert_eq!(decision.begins(), None, "{oldest:?}");
    }
}

#[test]
fn no_answer_of_a_server_in_recovery_or_of_another_cluster_proves_anything() {
    let answers = |change: fn(&mut pgherd_domain::UpstreamSeen)| {
        let world = standing().begins_at(Some(OLDEST)).seen(|seen| {
            if let Some((_, Ok(told))) = &mut seen.upstream {
                change(told);
            }
        });
        world.decide().begins().cloned()
    };
    assert_eq!(answers(|told| told.in_recovery = true), None);
    assert_eq!(answers(|told| told.system_id = "7".into()), None);
}

#[test]
fn it_is_not_copied_while_it_may_have_more_to_replay() {
    let not_asked_yet = |world: World| world.live(|live| live.received = Lsn::default());
    let held = |world: World| world.live(|live| live.apply_delay = secs(3600));
    let paused = |world: World| world.live(|live| live.replay_paused = true);
    for change in [not_asked_yet, held, paused] {
        let decision = change(standing()).begins_at(Some(OLDEST)).decide();
        assert_eq!(decision.begins(), None, "{}", decision.says());
    }
    let mut moving = standing().live(|live| live.received = Lsn::new(END + 8));
    assert_eq!(moving.turn().begins(), None);
}

#[test]
fn an_archive_has_ten_minutes_to_bring_it() {
    let archive = |world: World| world.live(|live| live.restores_from_archive = true);
    let decision = archive(standing()).begins_at(Some(OLDEST)).decide();
    assert_eq!(decision.begins(), None);
    let later = archive(standing()).later(secs(600)).begins_at(Some(OLDEST));
    let decision = later.decide();
    assert!(stops(&decision));
    assert!(decision.says().contains("the archive has not brought it"));
}

#[test]
fn nobody_is_copied_in_pause_without_a_leader_or_against_the_setting() {
    let paused = standing().spec(|spec| spec.pause = true);
    assert_eq!(paused.begins_at(Some(OLDEST)).decide().begins(), None);
    let leaderless = standing().view(|view| view.leader = None);
    assert_eq!(leaderless.begins_at(Some(OLDEST)).decide().begins(), None);
    let not_up = standing().other("b", PgRole::Replica, 1);
    assert_eq!(not_up.begins_at(Some(OLDEST)).decide().begins(), None);
    let off = standing().spec(|spec| spec.copies_when_wal_is_gone = false);
    let decision = off.begins_at(Some(OLDEST)).decide();
    assert_eq!(decision.begins(), None);
    assert!(decision.says().contains("reinitialize this member"));
}

#[test]
fn another_leader_is_asked_anew() {
    let mut world = standing().begins_at(Some(OLDEST));
    world.turn();
    let mut world = world
        .leader("c")
        .other("c", PgRole::Primary, 1)
        .stopped(ControlState::ShutDownInRecovery, 1);
    let decision = world.turn();
    let to_c = |upstream: &Option<Upstream>| upstream.as_ref().is_some_and(|it| it.host == "c");
    assert!(
        matches!(
            decision.begins(),
            Some(Work::Start { start_as: pgherd_domain::StartAs::Replica { upstream }, .. })
                if to_c(upstream)
        ),
        "{}",
        decision.says()
    );
}
