//! The agent is to stop: PostgreSQL first, then the key, then the agent (contract §5.12).

use pgherd_domain::{
    Action, ControlState, LeaseSeen, Lsn, Outcome, PgRole, StartAs, StopMode, SyncMode, Work,
    WorkError,
};
use serde_json::Value;

use super::build::{END, World, member, secs, upstream};

fn leaving(world: World) -> World {
    world.seen(|seen| seen.shutdown = true)
}

const EXIT: Action = Action::Exit { because: None };

#[test]
fn a_primary_stops_fast_before_its_key_goes() {
    let decision = leaving(member("a").primary(1).leader("a")).decide();
    assert_eq!(
        decision.effects(),
        [Action::Begin(Work::Stop {
            mode: StopMode::Fast,
            escalate_at: None
        })]
    );
    assert_eq!(decision.line(), "shutting down");
}

#[test]
fn in_synchronous_mode_a_stop_is_escalated_after_primary_stop_timeout() {
    let stops = |world: World| match world.decide().begins() {
        Some(Work::Stop {
            mode: StopMode::Fast,
            escalate_at,
        }) => *escalate_at,
        other => panic!("{other:?}"),
    };
    let mode = |mode| {
        leaving(member("a").primary(1).leader("a").spec(|spec| {
            spec.primary_stop_timeout = Some(secs(7));
            spec.synchronous_mode = mode;
        }))
    };
    assert_eq!(stops(mode(SyncMode::Off)), None);
    for on in [SyncMode::On, SyncMode::Quorum] {
        let world = mode(on).sync("a", &["b"]);
        let deadline = world.seen.now.plus(secs(7));
        assert_eq!(stops(world), Some(deadline));
    }
    // A replica has nobody waiting for its place.
    let replica = leaving(member("b").replica(1, END).leader("a").spec(|spec| {
        spec.primary_stop_timeout = Some(secs(7));
        spec.synchronous_mode = SyncMode::On;
    }));
    assert_eq!(stops(replica), None);
}

#[test]
fn the_stop_is_waited_for() {
    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    let decision = leaving(member("a").primary(1).leader("a").works(stop)).decide();
    assert_eq!(decision.effects(), []);
}

#[test]
fn the_key_goes_early_when_somebody_has_the_last_record() {
    let waits = || {
        let stop = Work::Stop {
            mode: StopMode::Fast,
            escalate_at: None,
        };
        let world = leaving(member("a").primary(1).leader("a").works(stop).mute());
        world
            .other("b", PgRole::Replica, 1)
            .control(|control| control.state = ControlState::ShutDown)
            .seen(|seen| seen.postgres.accepting = false)
    };
    let release = Action::ReleaseLeader {
        optime: Some(Lsn::new(END)),
    };
    assert_eq!(waits().decide().asks(), ["b"]);
    let behind = waits().answered("b", |b| b.position = Lsn::new(END));
    assert_eq!(behind.decide().effects(), []);
    let has_it = || waits().answered("b", |b| b.position = Lsn::new(END + 120));
    assert_eq!(has_it().decide().effects(), [release]);
    let not_synchronous = has_it().sync("a", &["c"]);
    assert_eq!(not_synchronous.decide().effects(), []);
    let open = has_it().seen(|seen| seen.postgres.accepting = true);
    assert_eq!(open.decide().effects(), []);
}

#[test]
fn the_key_goes_with_the_position_of_the_shutdown_checkpoint_and_then_the_agent() {
    let stopped = || leaving(member("a").stopped(ControlState::ShutDown, 1).leader("a"));
    let release = Action::ReleaseLeader {
        optime: Some(Lsn::new(END)),
    };
    assert_eq!(stopped().decide().effects(), std::slice::from_ref(&release));
    let gone = leaving(member("a").stopped(ControlState::ShutDown, 1))
        .effect(release, Outcome::Done)
        .decide();
    assert_eq!(gone.effects(), [EXIT]);
}

#[test]
fn the_position_of_a_crash_is_not_told() {
    let decision = leaving(
        member("a")
            .stopped(ControlState::InProduction, 1)
            .leader("a"),
    )
    .decide();
    assert_eq!(decision.effects(), [Action::ReleaseLeader { optime: None }]);
}

#[test]
fn a_silent_store_does_not_keep_the_agent() {
    let decision = leaving(
        member("a")
            .stopped(ControlState::ShutDown, 1)
            .leader("a")
            .silent(),
    )
    .decide();
    assert_eq!(decision.effects(), [EXIT]);
}

#[test]
fn a_release_that_does_not_come_through_is_tried_as_long_as_the_lease_is_long() {
    let release = Action::ReleaseLeader {
        optime: Some(Lsn::new(END)),
    };
    let tried = |left| {
        leaving(member("a").stopped(ControlState::ShutDown, 1).leader("a"))
            .lease(secs(left))
            .effect(release.clone(), Outcome::Unknown("timed out".into()))
            .decide()
            .effects()
    };
    assert_eq!(tried(20), std::slice::from_ref(&release));
    assert_eq!(tried(7), [EXIT]);
}

#[test]
fn any_other_work_is_called_off_and_what_it_has_begun_is_looked_at_before_the_end() {
    let source = upstream("a");
    let calling_off = leaving(
        member("b")
            .leader("a")
            .other("a", PgRole::Primary, 1)
            .works(Work::Clone {
                source,
                basebackup_only: false,
            }),
    )
    .decide();
    assert_eq!(calling_off.effects(), [Action::CancelWork]);
    let then = leaving(member("b").leader("a").other("a", PgRole::Primary, 1)).decide();
    assert_eq!(then.effects(), [EXIT]);
}

#[test]
fn a_start_that_has_just_ended_is_looked_at_again_before_the_end() {
    let after = |work: Work, result| {
        let down = member("b").leader("a").other("a", PgRole::Primary, 1);
        leaving(down.ended(work, result)).decide()
    };
    let start = || Work::Start {
        start_as: StartAs::Replica { upstream: None },
        timeout: secs(60),
    };
    assert!(after(start(), Ok(())).effects().is_empty());
    let called_off = after(start(), Err(WorkError::Cancelled));
    assert_eq!(called_off.effects(), [EXIT]);
    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    assert_eq!(after(stop, Ok(())).effects(), [EXIT]);
}

#[test]
fn in_pause_everything_stays() {
    let decision = leaving(member("a").primary(1).leader("a"))
        .spec(|spec| spec.pause = true)
        .decide();
    assert_eq!(decision.effects(), [EXIT]);
    assert_eq!(
        decision.line(),
        "Leader key is not deleted and Postgresql is not stopped due paused state"
    );
}

/// A synchronous standby of `a` that is to stop.
fn standby() -> World {
    leaving(member("b").replica(1, END))
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .sync("a", &["b"])
}

#[test]
fn a_synchronous_standby_leaves_sync_first() {
    let mut world = standby();
    let decision = world.turn();
    assert_eq!(decision.effects(), []);
    assert!(
        decision
            .says()
            .contains("Waiting for primary to release us from synchronous standby")
    );
    assert_eq!(decision.member.tags["nosync"], Value::Bool(true));
    assert_eq!(decision.member.tags["sync_priority"], Value::from(0));
    let released = world.sync("a", &["c"]).decide();
    assert!(matches!(released.begins(), Some(Work::Stop { .. })));
}

#[test]
fn a_standby_that_is_not_released_stops_after_two_loops() {
    let mut world = standby();
    world.turn();
    let mut world = world.later(secs(19));
    assert_eq!(world.turn().begins(), None);
    let decision = world.later(secs(1)).decide();
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
}

#[test]
fn without_a_leader_nobody_could_release_it() {
    let decision = standby().view(|view| view.leader = None).decide();
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
}

#[test]
fn a_standby_that_holds_the_key_does_not_wait() {
    let decision = leaving(member("b").replica(1, END))
        .leader("b")
        .seen(|seen| seen.lease = LeaseSeen::NONE)
        .sync("a", &["b"])
        .decide();
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
}
