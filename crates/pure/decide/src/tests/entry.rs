//! Clients stay out of a server that may show them what can vanish.

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{
    Action, Adjustment, ControlState, Entry, LiveSeen, Lsn, PgRole, StartAs, SyncMode, Work,
};

use super::build::{END, World, member, name, secs, unknown};
use crate::Decision;

const CLOSE: Action = Action::Adjust(Adjustment::CloseEntry);
const OPEN: Action = Action::Adjust(Adjustment::OpenEntry);

/// The leader `a`, whose server has crashed, with `b` in `/sync`.
fn crashed() -> World {
    member("a")
        .stopped(ControlState::InProduction, 1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
        .sync("a", &["b"])
}

/// The same server started again, closed to clients.
fn closed() -> World {
    member("a")
        .primary(1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
        .other("c", PgRole::Replica, 1)
        .sync("a", &["b"])
        .live(|live| live.synchronous_standby_names = "b".into())
        .seen(|seen| seen.postgres.entry = Entry::Closed)
}

fn starts_primary(decision: &Decision) -> bool {
    matches!(
        decision.begins(),
        Some(Work::Start {
            start_as: StartAs::Primary { .. },
            ..
        })
    )
}

fn writes_sync(decision: &Decision) -> bool {
    let writes = |action: &Action| matches!(action, Action::WriteSync { .. });
    decision.actions.iter().any(writes)
}

#[test]
fn a_primary_is_started_again_closed_while_sync_names_somebody() {
    let decision = crashed().decide();
    assert!(starts_primary(&decision));
    let place = |wanted: &Action| decision.actions.iter().position(|it| it == wanted);
    let begin = |it: &Action| matches!(it, Action::Begin(_));
    assert!(place(&CLOSE) < decision.actions.iter().position(begin));
    for open in [
        crashed().sync("a", &[]),
        crashed().spec(|spec| spec.synchronous_mode = SyncMode::Off),
        crashed().seen(|seen| seen.postgres.entry = Entry::Closed),
        crashed().seen(|seen| seen.postgres.entry = Entry::Unclosable { why: "x".into() }),
    ] {
        let decision = open.decide();
        assert!(starts_primary(&decision) && !decision.does(&CLOSE));
    }
    let strict = crashed()
        .sync("a", &[])
        .spec(|spec| spec.synchronous_mode_strict = true);
    assert!(strict.decide().does(&CLOSE));
}

#[test]
fn it_opens_when_all_of_sync_have_what_it_held_at_its_start() {
    let mut world = closed();
    let first = world.turn();
    assert!(!first.does(&OPEN) && first.says().contains("closed to clients until b has"));
    assert!(first.member.closed.is_some(), "told in the member key");
    assert!(!writes_sync(&first), "b is about to come back");
    assert!(
        !world
            .clone()
            .sender("b", "sync", END - 1)
            .decide()
            .does(&OPEN)
    );
    assert!(!world.clone().sender("c", "async", END).decide().does(&OPEN));
    // What is written after the start is not waited for.
    let later = |live: &mut LiveSeen| live.flushed = Lsn::new(END + 500);
    let back = world.live(later).sender("b", "sync", END).decide();
    assert!(back.does(&OPEN) && back.member.closed.is_none());
}

#[test]
fn another_server_than_the_one_that_was_seen_closed_is_measured_anew() {
    let mut world = closed();
    world.turn();
    let again = |live: &mut LiveSeen| {
        live.started_at = "2026-11-24 03:00:09+00".into();
        live.flushed = Lsn::new(END + 500);
    };
    let world = world.live(again).sender("b", "sync", END);
    assert!(!world.decide().does(&OPEN));
}

#[test]
fn nobody_comes_back_so_sync_lets_go_and_it_opens() {
    let mut world = closed();
    world.turn();
    let mut late = world.clone().later(secs(7));
    let lets_go = late.turn();
    assert!(writes_sync(&lets_go) && !lets_go.does(&OPEN));
    assert!(late.sync("a", &[]).decide().does(&OPEN));
    let gone = world.view(|view| {
        view.members.remove(&name("b"));
    });
    assert!(writes_sync(&gone.decide()), "it is not waited for");
}

#[test]
fn in_strict_mode_it_stays_closed_until_somebody_has_everything() {
    let strict = closed()
        .sync("a", &[])
        .spec(|spec| spec.synchronous_mode_strict = true);
    assert!(!strict.clone().decide().does(&OPEN));
    assert!(
        !strict
            .clone()
            .sender("stranger", "async", END)
            .decide()
            .does(&OPEN)
    );
    assert!(strict.sender("c", "async", END).decide().does(&OPEN));
}

#[test]
fn in_quorum_mode_as_many_are_waited_for_as_no_election_can_do_without() {
    let votes = |quorum| {
        let world = closed().sync("a", &["b", "c"]);
        let world = world.view(|view| view.sync.as_mut().unwrap().value.quorum = quorum);
        world.spec(|spec| spec.synchronous_mode = SyncMode::Quorum)
    };
    assert!(!votes(1).decide().does(&OPEN));
    assert!(votes(1).sender("c", "quorum", END).decide().does(&OPEN));
    assert!(!votes(0).sender("c", "quorum", END).decide().does(&OPEN));
}

#[test]
fn without_a_reason_it_opens_at_once() {
    let off = closed().spec(|spec| spec.synchronous_mode = SyncMode::Off);
    assert!(off.decide().does(&OPEN));
    let mut unread = closed();
    unread.turn();
    let unread = unread.silent();
    assert!(!unread.clone().decide().does(&OPEN));
    let confirmed = unread.sender("b", "sync", END);
    assert!(confirmed.decide().does(&OPEN), "by what /sync last was");
}

#[test]
fn a_former_primary_that_nobody_leads_comes_back_closed_until_it_streams() {
    let stopped = member("a")
        .stopped(ControlState::InProduction, 1)
        .sync("a", &["b"]);
    assert!(stopped.decide().does(&CLOSE));
    let copy = member("a")
        .stopped(ControlState::InArchiveRecovery, 1)
        .sync("b", &["a"]);
    assert!(!copy.decide().does(&CLOSE), "it was none");
    let blind = member("a")
        .stopped(ControlState::InProduction, 1)
        .spec(|spec| {
            // What `bootstrap.dcs` says is no mode of this cluster.
            spec.dynamic_config = Some(serde_json::json!({"ttl": 30}));
            spec.knows_config = false;
        })
        .seen(|seen| seen.dcs = unknown());
    assert!(blind.clone().decide().does(&CLOSE), "nobody knows the mode");
    let kept = blind.spec(|spec| spec.knows_config = true);
    assert!(!kept.decide().does(&CLOSE));
    let replica = member("a")
        .replica(1, END)
        .sync("b", &["c"])
        .seen(|seen| seen.postgres.entry = Entry::Closed);
    let led = replica.clone().other("b", PgRole::Primary, 1).leader("b");
    assert!(!replica.decide().does(&OPEN));
    assert!(!led.clone().decide().does(&OPEN));
    let streams = led.streams_from("b");
    let promoted = |doc: &mut MemberDoc| doc.role = Some(PgRole::Replica);
    let candidate = streams.clone().other_doc("b", promoted);
    assert!(!candidate.decide().does(&OPEN), "it may lack what I have");
    let newer = streams.clone().other("b", PgRole::Primary, 2);
    assert!(!newer.decide().does(&OPEN), "not compared yet");
    let ahead = streams
        .clone()
        .live(|live| live.replayed = Lsn::new(END + 8));
    assert!(!ahead.decide().does(&OPEN));
    assert!(streams.decide().does(&OPEN));
}

#[test]
fn whoever_comes_after_the_agent_finds_it_open() {
    let stopped = crashed().seen(|seen| {
        seen.postgres.entry = Entry::Closed;
        seen.shutdown = true;
        seen.lease = pgherd_domain::LeaseSeen::NONE;
    });
    let exit = Action::Exit { because: None };
    let decision = stopped.view(|view| view.leader = None).decide();
    let place = |wanted: &Action| decision.actions.iter().position(|it| it == wanted);
    assert!(place(&OPEN).is_some() && place(&OPEN) < place(&exit));
}

#[test]
fn a_standby_looks_for_a_leader_that_is_back_once_a_second() {
    let seek = Action::Adjust(Adjustment::SeekUpstream);
    let mut world = member("b")
        .replica(1, END)
        .other("a", PgRole::Primary, 1)
        .leader("a")
        .sync("a", &["b"]);
    world.turn();
    let mut world = world.live(|live| live.configured_upstream = Some(("a".into(), 5432)));
    world.memory.sought = None;
    assert!(world.turn().does(&seek));
    assert!(!world.turn().does(&seek));
    let mut world = world.later(secs(1));
    assert!(world.turn().does(&seek));
    assert!(!world.clone().later(secs(31)).decide().does(&seek));
    let asynchronous = world.spec(|spec| spec.synchronous_mode = SyncMode::Off);
    assert!(!asynchronous.later(secs(2)).decide().does(&seek));
}

#[test]
fn a_crashed_primary_that_failed_to_start_as_a_replica_is_still_one() {
    let signalled = |state| {
        let world = member("a").stopped(state, 1).sync("b", &["c"]);
        let world = world.other("b", PgRole::Primary, 1).leader("b");
        world.seen(|seen| seen.postgres.standby_signal = true)
    };
    let crashed = signalled(ControlState::InProduction);
    assert!(crashed.clone().decide().does(&CLOSE));
    let copied = crashed.memory(|memory| memory.is_theirs = true);
    let copied = copied.decide();
    assert!(copied.begins().is_some() && !copied.does(&CLOSE));
    // A pg_rewind that comes too early finds nothing to do, and leaves it as it was.
    let stopped = signalled(ControlState::ShutDown).decide();
    assert!(stopped.begins().is_some() && stopped.does(&CLOSE));
}
