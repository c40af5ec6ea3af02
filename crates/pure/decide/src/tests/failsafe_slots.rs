//! Slots while the DCS is away and a leader goes on by promises (contract §5.9, §7, §12).

use std::collections::BTreeMap;

use pgherd_domain::{Action, Adjustment, Lsn, PgRole, Promise, SlotName};

use super::build::{END, NOW, World, name, secs};
use super::logical_slots::{copy, replica_of_cdc};
use super::slots::{inactive, leader, replica, slot, slots};

/// The leader `a`; `c` streams from the replica `b`, so nobody uses the slot of `c` here. Nobody answers but the
/// members, which promised.
fn on_promises() -> World {
    let world = leader().other_doc("c", |c| {
        c.tags.insert("replicatefrom".into(), "b".into());
        c.xlog_location = Some(Lsn::new(END - 4096));
    });
    let world = slot(world, "c", inactive(END - 4096));
    let world = slot(world, "b", inactive(END - 4096)).spec(|spec| spec.failsafe_mode = true);
    world.silent().seen(|seen| {
        seen.failsafe.confirmed = true;
        seen.failsafe.accepted =
            [(name("b"), Lsn::new(END)), (name("c"), Lsn::new(END - 80))].into();
    })
}

/// The replica `b`, which promised `a` not to race and heard that the slot of `c` is `at`.
fn promised(world: World, slots: &[(&str, u64)]) -> World {
    let heard: BTreeMap<String, Lsn> = slots
        .iter()
        .map(|(slot, at)| ((*slot).to_owned(), Lsn::new(*at)))
        .collect();
    world.silent().seen(|seen| {
        seen.failsafe.promised = Some(Promise {
            to: name("a"),
            until: NOW.plus(secs(12)),
        });
        seen.failsafe.slots = heard;
    })
}

#[test]
fn a_leader_on_promises_moves_the_slot_of_a_cascading_member_to_what_that_one_answered() {
    let decision = on_promises().decide();
    assert_eq!(
        slots(&decision),
        [format!("advance c to {}", Lsn::new(END - 80))],
        "and leaves that of `b` alone, which streams from here"
    );
}

#[test]
fn without_the_promises_of_all_and_in_pause_nothing_moves() {
    let unconfirmed = on_promises().seen(|seen| seen.failsafe.confirmed = false);
    let paused = on_promises().spec(|spec| spec.pause = true);
    for world in [unconfirmed, paused] {
        assert_eq!(slots(&world.decide()), Vec::<String>::new());
    }
}

#[test]
fn nothing_is_made_or_dropped_while_nobody_knows_who_is_a_member() {
    let world = slot(on_promises(), "stranger", inactive(END - 4096));
    let without_c = world.live(|live| {
        live.slots.remove("c");
    });
    assert_eq!(slots(&without_c.decide()), Vec::<String>::new());
}

#[test]
fn a_leader_tells_with_its_plea_where_its_slots_are_now() {
    let told = on_promises().decide().slots;
    let at = |slot: &str| told.get(slot).copied();
    assert_eq!(at("c"), Some(Lsn::new(END - 4096)));
    assert_eq!(
        at("a"),
        Some(Lsn::new(END)),
        "its own, for who comes after it"
    );
    let off = on_promises().spec(|spec| spec.failsafe_mode = false);
    assert_eq!(off.decide().slots, BTreeMap::new());
}

#[test]
fn a_replica_that_promised_moves_its_slots_to_what_the_leader_says() {
    let world = slot(replica(), "c", inactive(END - 4096));
    let world = slot(world, "a", inactive(END));
    let decision = promised(world.clone(), &[("c", END - 80)]).decide();
    assert_eq!(
        slots(&decision),
        [format!("advance c to {}", Lsn::new(END - 80))]
    );
    let ended = promised(world, &[("c", END - 80)]).later(secs(12));
    assert_eq!(slots(&ended.decide()), Vec::<String>::new());
}

#[test]
fn what_the_leader_says_counts_too_where_the_dcs_answers_and_it_can_not_write_there() {
    let world = slot(replica(), "c", inactive(END - 4096));
    let mut world = promised(slot(world, "a", inactive(END)), &[("c", END - 80)]);
    world.seen.dcs = replica().view(|view| view.leader = None).seen.dcs;
    assert_eq!(
        slots(&world.decide()),
        [format!("advance c to {}", Lsn::new(END - 80))]
    );
}

#[test]
fn copies_of_logical_slots_move_on_and_none_is_made() {
    let told = [("cdc", END - 20)];
    let moved = promised(slot(replica_of_cdc(), "cdc", copy()), &told).decide();
    let keeps = Action::Adjust(Adjustment::KeepLogicalSlots {
        advance: [(
            SlotName::existing("cdc"),
            ("app".to_owned(), Lsn::new(END - 20)),
        )]
        .into(),
        compare: None,
    });
    assert!(moved.does(&keeps), "{:?}", moved.actions);
    let missing = promised(replica_of_cdc(), &told).decide();
    assert_eq!(missing.begins(), None);
}

#[test]
fn an_outage_is_no_absence() {
    let mut world = on_promises();
    for _ in 0..40 {
        world = world.later(secs(60)).lease(secs(25));
        world.turn();
    }
    let back = leader().other("c", PgRole::Replica, 1).seen.dcs;
    world.seen.dcs = back;
    let gone = world.view(|view| {
        view.members.remove(&name("c"));
    });
    assert_eq!(
        slots(&gone.decide()),
        Vec::<String>::new(),
        "its time begins now"
    );
}
