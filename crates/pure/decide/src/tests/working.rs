//! A long work goes on beside the loop (contract §5.10).

use pgherd_domain::{Action, ControlState, LeaseSeen, PgRole, PgState, StartAs, StopMode, Work};

use super::build::{END, NOW, PRIMARY, World, member, millis, secs, upstream};

fn start(start_as: StartAs) -> Work {
    Work::Start {
        start_as,
        timeout: secs(300),
    }
}

fn restart(start_as: StartAs) -> Work {
    Work::Restart {
        start_as,
        timeout: secs(300),
    }
}

/// `a`, which holds the key and restarts as a primary.
fn restarting() -> World {
    member("a").primary(1).leader("a").works(restart(PRIMARY))
}

#[test]
fn the_leader_says_that_it_keeps_the_key() {
    let decision = restarting().decide();
    assert_eq!(decision.begins(), None);
    assert!(!decision.does(&Action::CancelWork));
    assert_eq!(decision.line(), "updated leader lock during restart");
    assert_eq!(decision.state, PgState::Restarting);
    assert_eq!(decision.wake_at, NOW.plus(secs(1)), "progress is shown");
}

#[test]
fn a_replicas_work_is_in_progress() {
    let source = upstream("a");
    let decision = member("b")
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .works(Work::Clone {
            source,
            basebackup_only: false,
        })
        .decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(decision.line(), "creating replica in progress");
    assert_eq!(decision.state, PgState::CreatingReplica);
}

#[test]
fn who_is_busy_while_nobody_leads_takes_no_part_in_the_race() {
    let work = start(StartAs::Replica { upstream: None });
    let decision = member("b")
        .stopped(ControlState::ShutDownInRecovery, 1)
        .works(work)
        .decide();
    let said: Vec<String> = decision.because.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["starting in progress", "not healthy enough for leader race"]
    );
}

#[test]
fn a_work_that_makes_a_primary_ends_with_the_key_and_takes_the_server_with_it() {
    for work in [start(PRIMARY), restart(PRIMARY)] {
        let decision = member("a")
            .stopped(ControlState::InProduction, 1)
            .starting(secs(1))
            .leader("b")
            .other("b", PgRole::Primary, 2)
            .works(work)
            .decide();
        assert!(decision.line().starts_with("lost leader lock during"));
        let effects = decision.effects();
        assert_eq!(effects[0], Action::CancelWork);
        assert!(matches!(
            effects[1],
            Action::Begin(Work::Stop {
                mode: StopMode::Immediate,
                ..
            })
        ));
    }
}

#[test]
fn without_a_server_yet_it_is_only_called_off() {
    let decision = member("a")
        .stopped(ControlState::InProduction, 1)
        .leader("b")
        .other("b", PgRole::Primary, 2)
        .works(start(PRIMARY))
        .decide();
    assert_eq!(decision.effects(), [Action::CancelWork]);
}

#[test]
fn in_pause_a_restart_needs_no_key() {
    let decision = member("a")
        .primary(1)
        .spec(|spec| spec.pause = true)
        .works(restart(PRIMARY))
        .decide();
    assert_eq!(decision.effects(), []);
}

#[test]
fn a_replicas_start_needs_no_key() {
    let decision = member("b")
        .stopped(ControlState::ShutDownInRecovery, 1)
        .works(start(StartAs::Replica { upstream: None }))
        .decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(decision.line(), "starting in progress");
}

#[test]
fn a_copy_whose_source_has_left_is_called_off() {
    let source = upstream("c");
    let gone = member("b")
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .works(Work::Clone {
            source: source.clone(),
            basebackup_only: false,
        });
    assert_eq!(gone.clone().decide().effects(), [Action::CancelWork]);
    assert_eq!(
        gone.other("c", PgRole::Replica, 1).decide().effects(),
        [],
        "while it is there it goes on"
    );
    let leaderless = member("b").works(Work::Clone {
        source,
        basebackup_only: false,
    });
    assert_eq!(
        leaderless.decide().effects(),
        [],
        "and while nobody else could be copied"
    );
}

#[test]
fn a_checkpoint_holds_nobody_up() {
    let decision = member("a")
        .primary(2)
        .leader("a")
        .works(Work::Checkpoint)
        .decide();
    assert_eq!(
        decision.line(),
        "no action. I am (a), the leader with the lock"
    );
    assert_eq!(decision.begins(), None);
    assert_eq!(decision.state, PgState::Running);
}

#[test]
fn positions_are_not_shown_while_a_work_goes_on() {
    let replica = |work: Option<Work>| {
        let world = member("b")
            .replica(1, END)
            .leader("a")
            .other("a", PgRole::Primary, 1);
        match work {
            Some(work) => world.works(work),
            None => world,
        }
        .decide()
        .member
        .xlog_location
    };
    assert!(replica(None).is_some());
    assert_eq!(
        replica(Some(restart(StartAs::Replica { upstream: None }))),
        None
    );
}

#[test]
fn what_is_called_off_is_looked_at_again_at_once() {
    let promote = Work::promote(NOW.plus(secs(20)));
    let decision = member("a")
        .replica(1, END)
        .seen(|seen| seen.lease = LeaseSeen::NONE)
        .works(promote)
        .decide();
    assert_eq!(decision.wake_at, NOW.plus(millis(50)));
}
