//! The watchdog counts before there is a primary, and a lease is not used beyond its reset (contract §5.6, §11).

use std::time::Duration;

use pgherd_domain::{
    Action, ControlState, Moment, Reason, StopMode, Veto, WatchdogMode, WatchdogSeen, Work,
};

use super::build::{END, NOW, World, member, millis, secs};

fn with(world: World, mode: WatchdogMode, watchdog: &WatchdogSeen) -> World {
    let world = world.seen(|seen| seen.watchdog = watchdog.clone());
    world.spec(|spec| spec.watchdog = mode)
}

fn required(world: World, watchdog: &WatchdogSeen) -> World {
    with(world, WatchdogMode::Required, watchdog)
}

fn counting(resets_in: Duration) -> WatchdogSeen {
    WatchdogSeen::Counting {
        resets_at: NOW.plus(resets_in),
        timeout: secs(25),
    }
}

fn broken() -> WatchdogSeen {
    WatchdogSeen::Unusable { why: "gone".into() }
}

fn release() -> Action {
    Action::ReleaseLeader { optime: None }
}

/// The replica `b`, to which the key has just come.
fn elected() -> World {
    member("b").replica(1, END).leader("b")
}

/// The primary `a`, which crashed under its key.
fn crashed() -> World {
    let world = member("a").primary(1).leader("a");
    world.stopped(ControlState::InProduction, 1)
}

#[test]
fn it_counts_before_a_promotion_and_before_a_start_as_a_primary() {
    for world in [elected, crashed] {
        for mode in [WatchdogMode::Automatic, WatchdogMode::Required] {
            let decision = with(world(), mode, &WatchdogSeen::Ready).decide();
            assert!(decision.does(&Action::ArmWatchdog), "{decision:?}");
            assert_eq!(decision.begins(), None, "{mode:?}");
            let decision = with(world(), mode, &counting(secs(25))).decide();
            assert!(decision.begins().is_some(), "{mode:?}");
            assert!(decision.does(&Action::ArmWatchdog), "it goes on counting");
        }
        let resumed = required(world(), &WatchdogSeen::Off).decide();
        assert_eq!(resumed.begins(), None, "a pause ended a moment ago");
    }
}

#[test]
fn one_that_is_not_required_and_does_not_work_holds_nobody_up() {
    for seen in [broken(), WatchdogSeen::Off] {
        let decision = with(elected(), WatchdogMode::Automatic, &seen).decide();
        assert!(matches!(decision.begins(), Some(Work::Promote { .. })));
        assert!(!decision.does(&Action::ArmWatchdog));
    }
    let off = with(elected(), WatchdogMode::Off, &WatchdogSeen::Ready).decide();
    assert!(matches!(off.begins(), Some(Work::Promote { .. })));
}

#[test]
fn without_the_one_that_it_needs_a_member_does_not_lead() {
    let veto = Veto::NoWatchdog { why: "gone".into() };
    let decision = required(elected(), &broken()).decide();
    assert_eq!(decision.effects(), [release()]);
    assert_eq!(
        decision.line(),
        "Not promoting self because watchdog could not be activated"
    );
    assert!(decision.because.contains(&Reason::NotRacing(veto.clone())));
    assert_eq!(
        required(crashed(), &broken()).decide().effects(),
        [release()]
    );
    let bereaved = required(member("b").replica(1, END), &broken()).decide();
    assert!(bereaved.because.contains(&Reason::NotRacing(veto)));
    assert!(!bereaved.does(&Action::AcquireLeader));
    let nothing = member("a").view(|view| view.initialize = None);
    let decision = required(nothing, &broken()).decide();
    assert!(!decision.does(&Action::TakeInitialize));
}

#[test]
fn a_primary_without_the_one_that_it_needs_stops() {
    let decision = required(member("a").primary(1).leader("a"), &broken()).decide();
    assert_eq!(
        decision.line(),
        "Demoting self because watchdog could not be activated"
    );
    assert!(matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Immediate,
            ..
        })
    ));
    let paused = member("a").primary(1).leader("a");
    let paused = paused.spec(|spec| spec.pause = true);
    let decision = required(paused, &broken()).decide();
    assert_eq!(decision.begins(), None, "in pause nothing is asked of it");
}

#[test]
fn a_stop_comes_before_the_reset_also_when_the_lease_is_good_for_longer() {
    let stop = |resets_in: Duration| -> Option<(StopMode, Option<Moment>)> {
        let leader = member("a").primary(1).leader("a").lease(secs(20)).silent();
        let world = with(leader, WatchdogMode::Automatic, &counting(resets_in));
        match world.decide().begins() {
            Some(Work::Stop { mode, escalate_at }) => Some((*mode, *escalate_at)),
            _ => None,
        }
    };
    assert_eq!(stop(millis(6_300)), None);
    // The ladder of 25 s: a quarter before the reset, and a tenth.
    let escalate_at = NOW.plus(millis(6_200) - millis(2_500));
    assert_eq!(
        stop(millis(6_200)),
        Some((StopMode::Fast, Some(escalate_at)))
    );
    let at_once = stop(millis(2_500)).map(|(mode, _)| mode);
    assert_eq!(at_once, Some(StopMode::Immediate));
    assert_eq!(stop(secs(60)), None, "the lease ends first");
}

#[test]
fn what_a_watchdog_made_stop_is_not_started_again_under_the_same_lease() {
    let starts = |left: u64, watchdog: &WatchdogSeen| {
        let world = crashed().lease(secs(left)).silent();
        let world = world.memory(|memory| memory.role = pgherd_domain::PgRole::Primary);
        let decision = with(world, WatchdogMode::Automatic, watchdog).decide();
        decision.begins().is_some() || decision.does(&Action::ArmWatchdog)
    };
    assert!(starts(25, &counting(secs(20))), "it crashed early");
    assert!(!starts(11, &counting(secs(6))));
    assert!(starts(25, &WatchdogSeen::Ready) && !starts(22, &WatchdogSeen::Ready));
    assert!(starts(22, &broken()), "nothing resets this host");
}
