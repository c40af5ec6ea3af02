//! Failsafe mode: who may lead while a leader may live on promises, and what the leader keeps in `/failsafe`.

use pgherd_domain::{Action, Lsn, PgRole, Promise, Reason, Veto};

use super::build::{END, NOW, World, api_url, member, name, secs};
use crate::unreachable::CONFIRMED;

/// Failsafe mode is on, and these are listed.
fn with_list(world: World, names: &[&str]) -> World {
    let list = names
        .iter()
        .map(|name| ((*name).to_owned(), api_url(name)))
        .collect();
    let mut world = world.view(|view| view.failsafe = list);
    world.spec.failsafe_mode = true;
    world
}

fn promised(world: World, to: &str, seconds: u64) -> World {
    let promise = Promise {
        to: name(to),
        until: NOW.plus(secs(seconds)),
    };
    world.seen(|seen| seen.failsafe.promised = Some(promise))
}

/// `b` without a leader, with everybody's answer: it would take the key.
fn bereaved() -> World {
    let world = member("b").replica(1, END).other("c", PgRole::Replica, 1);
    with_list(world.optime(END), &["a", "b", "c"]).answered("c", |_| ())
}

#[test]
fn whoever_promised_does_not_race_before_the_end_of_the_promise() {
    assert!(
        with_a_asked(bereaved())
            .decide()
            .does(&Action::AcquireLeader)
    );
    let bound = promised(with_a_asked(bereaved()), "a", 12).decide();
    assert_eq!(bound.effects(), []);
    let veto = Veto::Promised { to: name("a") };
    assert!(
        bound.because.contains(&Reason::NotRacing(veto)),
        "{}",
        bound.says()
    );
    assert_eq!(bound.wake_at.min(NOW.plus(secs(12))), bound.wake_at);
    assert!(
        promised(with_a_asked(bereaved()), "a", 0)
            .decide()
            .does(&Action::AcquireLeader)
    );
}

/// The former leader, which is listed, was asked as well.
fn with_a_asked(world: World) -> World {
    world.answered("a", |a| a.position = Lsn::new(END))
}

#[test]
fn a_key_that_comes_to_somebody_bound_is_not_used() {
    let world = with_list(member("b").replica(1, END).leader("b"), &["a", "b"]);
    assert_ne!(world.clone().decide().effects(), []);
    assert_eq!(promised(world, "a", 12).decide().effects(), []);
}

#[test]
fn whoever_is_not_listed_does_not_race() {
    let world = with_list(with_a_asked(bereaved()), &["a", "c"]);
    let decision = world.clone().decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(decision.verdict, [Veto::NotInFailsafe]);
    let mut off = world;
    off.spec.failsafe_mode = false;
    assert!(off.decide().does(&Action::AcquireLeader), "the mode is off");
    let empty = with_list(with_a_asked(bereaved()), &[]);
    assert!(
        empty.decide().does(&Action::AcquireLeader),
        "there is no list"
    );
}

#[test]
fn nobody_waits_for_a_member_that_is_not_listed() {
    let ahead = with_a_asked(bereaved()).answered("c", |c| c.position = Lsn::new(END + 4096));
    assert!(!ahead.clone().decide().does(&Action::AcquireLeader));
    let unlisted = with_list(ahead, &["a", "b"]);
    assert!(unlisted.decide().does(&Action::AcquireLeader));
}

#[test]
fn the_leader_keeps_the_list_while_it_leads() {
    let leads = member("a")
        .primary(1)
        .other("b", PgRole::Replica, 1)
        .leader("a");
    let both = [
        ("a".to_owned(), api_url("a")),
        ("b".to_owned(), api_url("b")),
    ]
    .into();
    let write = Action::WriteFailsafe(both);
    assert!(with_list(leads.clone(), &[]).decide().does(&write));
    assert!(with_list(leads.clone(), &["a"]).decide().does(&write));
    assert!(!with_list(leads.clone(), &["a", "b"]).decide().does(&write));
    let mut off = with_list(leads, &["a", "b"]);
    off.spec.failsafe_mode = false;
    assert!(off.decide().does(&Action::DeleteFailsafe));
    let replica = member("b").replica(1, END).leader("a");
    assert!(
        !with_list(replica, &[])
            .decide()
            .any(|action| matches!(action, Action::WriteFailsafe(_)))
    );
}

#[test]
fn a_leader_on_promises_goes_on_and_says_so() {
    let mut world = with_list(member("a").primary(1).leader("a"), &["a", "b"]).silent();
    world.seen.failsafe.confirmed = true;
    let decision = world.decide();
    assert_eq!(decision.line(), CONFIRMED);
    assert_eq!(decision.effects(), []);
}

#[test]
fn only_a_listed_member_becomes_a_synchronous_standby() {
    use pgherd_domain::SyncMode;
    let mut world = member("a")
        .primary(1)
        .other("b", PgRole::Replica, 1)
        .leader("a");
    world.spec.synchronous_mode = SyncMode::On;
    let world = world.sender("b", "async", END).sync("a", &[]);
    let picks = |world: World| {
        world
            .decide()
            .any(|action| matches!(action, Action::Adjust(_)))
    };
    assert!(picks(with_list(world.clone(), &["a", "b"])));
    assert!(
        !picks(with_list(world, &["a"])),
        "whoever has every commit must be able to lead"
    );
}

#[test]
fn a_holder_of_the_key_that_is_no_primary_yet_takes_nobody_off_the_list() {
    let writes = |world: World| {
        let decision = world.decide();
        decision.any(|action| matches!(action, Action::WriteFailsafe(_)))
    };
    let three = ["a", "b", "c"];
    let hung = with_list(member("b").replica(1, END).mute().leader("b"), &three);
    assert!(!writes(hung), "a and c could not lead after it");
    let primary = with_list(member("b").primary(1).leader("b"), &three);
    assert!(writes(primary), "it could not live on promises");
}
