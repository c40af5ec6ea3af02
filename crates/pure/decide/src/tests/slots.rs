//! Slots of members on every node (contract §7).

use pgherd_domain::{
    Action, Adjustment, IgnoredSlots, LogicalSlot, Lsn, PgRole, SlotName, SlotSeen, Work,
};

use super::build::{END, World, member, secs};
use crate::Decision;

/// A physical slot that nobody uses now.
pub(super) fn inactive(restart: u64) -> SlotSeen {
    SlotSeen {
        restart: Some(Lsn::new(restart)),
        ..SlotSeen::default()
    }
}

pub(super) fn with_slots(world: World) -> World {
    world.spec(|spec| spec.use_slots = true)
}

pub(super) fn slot(world: World, name: &str, seen: SlotSeen) -> World {
    world.live(|live| {
        live.slots.insert(name.into(), seen);
    })
}

/// The primary `a` with a replica `b`.
pub(super) fn leader() -> World {
    with_slots(member("a").primary(1))
        .leader("a")
        .other("b", PgRole::Replica, 1)
}

/// The replica `b` with a primary `a` and a replica `c`.
pub(super) fn replica() -> World {
    with_slots(member("b").replica(1, END).streams_from("a"))
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .other("c", PgRole::Replica, 1)
}

/// What is done to slots, in order.
pub(super) fn slots(decision: &Decision) -> Vec<String> {
    decision
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Adjust(Adjustment::CreateSlot(slot)) => Some(format!("create {slot}")),
            Action::Adjust(Adjustment::CreateLogicalSlot {
                slot,
                database,
                plugin,
                failover,
            }) => {
                let native = if *failover { " natively" } else { "" };
                Some(format!("create {slot} of {database} for {plugin}{native}"))
            }
            Action::Adjust(Adjustment::DropSlot(slot)) => Some(format!("drop {slot}")),
            Action::Adjust(Adjustment::AdvanceSlot { slot, to }) => {
                Some(format!("advance {slot} to {to}"))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn the_leader_makes_a_slot_for_every_other_member() {
    let decision = leader().other("Node-c", PgRole::Replica, 1).decide();
    assert_eq!(slots(&decision), ["create b", "create node_c"]);
}

#[test]
fn a_replica_makes_them_too_so_that_wal_is_there_after_a_failover() {
    assert_eq!(slots(&replica().decide()), ["create a", "create c"]);
}

#[test]
fn without_slots_or_without_configuration_nothing_is_made() {
    let off = leader().spec(|spec| spec.use_slots = false);
    let lost = leader().view(|view| view.config = None);
    for world in [off, lost] {
        assert_eq!(slots(&world.decide()), Vec::<String>::new());
    }
}

#[test]
fn a_member_tagged_nostream_has_no_slot() {
    let decision = leader()
        .other_doc("b", |b| {
            b.tags.insert("nostream".into(), true.into());
        })
        .decide();
    assert_eq!(slots(&decision), Vec::<String>::new());
}

#[test]
fn a_slot_on_a_replica_follows_what_the_leader_tells_and_never_beyond_replay() {
    let told = |at: u64| {
        let world = slot(replica(), "c", inactive(END - 800));
        let world = slot(world, "a", inactive(END));
        world.view(|view| {
            view.status.slots.insert("c".into(), Lsn::new(at));
        })
    };
    assert_eq!(
        slots(&told(END - 80).decide()),
        [format!("advance c to {}", Lsn::new(END - 80))]
    );
    assert_eq!(
        slots(&told(END + 80).decide()),
        [format!("advance c to {}", Lsn::new(END))]
    );
    assert_eq!(slots(&told(END - 800).decide()), Vec::<String>::new());
}

#[test]
fn an_active_slot_is_not_moved() {
    let world = slot(
        replica(),
        "c",
        SlotSeen {
            active: true,
            ..inactive(END - 800)
        },
    );
    let world = slot(world, "a", inactive(END)).view(|view| {
        view.status.slots.insert("c".into(), Lsn::new(END));
    });
    assert_eq!(slots(&world.decide()), Vec::<String>::new());
}

#[test]
fn the_leader_moves_the_slot_of_a_cascading_member_by_its_own_word() {
    let cascades = |world: World| {
        world.other_doc("c", |c| {
            c.tags.insert("replicatefrom".into(), "b".into());
            c.xlog_location = Some(Lsn::new(END - 80));
        })
    };
    let world = slot(cascades(leader()), "c", inactive(END - 800));
    let world = slot(world, "b", inactive(END));
    assert_eq!(
        slots(&world.decide()),
        [format!("advance c to {}", Lsn::new(END - 80))]
    );
}

#[test]
fn the_slot_of_a_member_that_streams_from_me_is_not_moved() {
    let world = slot(leader(), "b", inactive(END - 800)).view(|view| {
        view.status.slots.insert("b".into(), Lsn::new(END - 80));
    });
    assert_eq!(slots(&world.decide()), Vec::<String>::new());
}

#[test]
fn the_slot_of_an_absent_member_is_kept_for_its_time_and_told_in_status() {
    let mut world = slot(leader(), "b", inactive(END));
    world.turn();
    let mut world = world
        .view(|view| view.members.clear())
        .later(secs(1799))
        .lease(secs(25));
    let decision = world.turn();
    assert_eq!(slots(&decision), Vec::<String>::new());
    assert!(decision.any(
        |action| matches!(action, Action::WriteStatus(status) if status.retain_slots == ["b"])
    ));
    let decision = world.later(secs(1)).lease(secs(25)).decide();
    assert_eq!(slots(&decision), ["drop b"]);
}

#[test]
fn a_new_leader_keeps_what_the_old_one_retained() {
    let world = slot(leader(), "gone", inactive(END)).view(|view| {
        view.status.retain_slots = vec!["gone".into()];
    });
    let mut world = slot(world, "b", inactive(END));
    let decision = world.turn();
    assert_eq!(slots(&decision), Vec::<String>::new());
    assert!(decision.any(
        |action| matches!(action, Action::WriteStatus(status) if status.retain_slots == ["gone"])
    ));
    let world = world.view(|view| view.status.retain_slots.clear());
    assert_eq!(
        slots(&world.later(secs(1800)).lease(secs(25)).decide()),
        ["drop gone"]
    );
}

#[test]
fn a_slot_that_nobody_names_is_dropped_unless_it_is_used_ignored_or_the_cluster_is_paused() {
    let stranger = |seen: SlotSeen| slot(slot(leader(), "b", inactive(END)), "stranger", seen);
    let decision = stranger(inactive(END)).decide();
    assert_eq!(slots(&decision), ["drop stranger"]);
    assert!(told(
        &decision,
        "Dropped unknown replication slot 'stranger'"
    ));

    let mut used = inactive(END);
    used.active = true;
    let decision = stranger(used).decide();
    assert_eq!(slots(&decision), Vec::<String>::new());
    assert!(told(
        &decision,
        "Unable to drop replication slot 'stranger', slot is active"
    ));

    let paused = stranger(inactive(END)).spec(|spec| spec.pause = true);
    let wanted =
        stranger(inactive(END)).spec(|spec| spec.permanent_slots = vec!["stranger".into()]);
    let mut passing = inactive(END);
    passing.temporary = true;
    for world in [paused, wanted, stranger(passing)] {
        assert_eq!(slots(&world.decide()), Vec::<String>::new());
    }
}

#[test]
fn ignored_slots_are_left_alone_when_every_given_property_matches() {
    let cdc = SlotSeen {
        logical: true,
        database: Some("app".into()),
        plugin: Some("wal2json".into()),
        ..inactive(END)
    };
    let ignoring = |pattern: IgnoredSlots| {
        slot(slot(leader(), "b", inactive(END)), "cdc", cdc.clone())
            .spec(|spec| spec.ignore_slots = vec![pattern])
    };
    let named = |name: &str| IgnoredSlots {
        name: Some(name.into()),
        ..IgnoredSlots::default()
    };
    let by_plugin = IgnoredSlots {
        logical: Some(true),
        plugin: Some("wal2json".into()),
        ..IgnoredSlots::default()
    };
    let by_prefix = |prefix: &str| IgnoredSlots {
        prefix: Some(prefix.into()),
        logical: Some(true),
        database: Some("app".into()),
        ..IgnoredSlots::default()
    };
    for pattern in [named("cdc"), by_plugin.clone(), by_prefix("cd")] {
        assert_eq!(slots(&ignoring(pattern).decide()), Vec::<String>::new());
    }
    let elsewhere = IgnoredSlots {
        database: Some("other".into()),
        ..by_plugin
    };
    for pattern in [named("cd"), elsewhere, by_prefix("dc")] {
        assert_eq!(slots(&ignoring(pattern).decide()), ["drop cdc"]);
    }
}

#[test]
fn a_slot_of_another_kind_under_a_wanted_name_makes_room() {
    let logical = SlotSeen {
        logical: true,
        ..inactive(END)
    };
    let decision = slot(leader(), "b", logical).decide();
    assert_eq!(slots(&decision), ["drop b"]);
    assert!(told(&decision, "because value is changing from logical"));
}

#[test]
fn slots_that_postgresql_keeps_in_step_itself_are_not_touched_but_left_overs_are() {
    let native = |synced: bool| SlotSeen {
        logical: true,
        failover: true,
        synced,
        ..inactive(END)
    };
    let on = |world: World, seen: SlotSeen| slots(&slot(world, "native", seen).decide());
    assert!(!on(leader(), native(false)).contains(&"drop native".to_owned()));
    assert!(!on(replica(), native(true)).contains(&"drop native".to_owned()));
    assert!(on(replica(), native(false)).contains(&"drop native".to_owned()));
}

#[test]
fn two_members_whose_names_give_one_slot_are_told_and_the_second_streams_without_one() {
    let decision = leader().other("B", PgRole::Replica, 1).decide();
    assert_eq!(slots(&decision), ["create b"]);
    assert!(told(
        &decision,
        "Following cluster members share a replication slot name: B, b"
    ));
    // `b` comes after `B`.
    let second = with_slots(member("b").replica(1, END).streams_from("a"))
        .leader("a")
        .other("a", PgRole::Primary, 1)
        .other("B", PgRole::Replica, 1)
        .live(|live| live.receiver.as_mut().unwrap().slot = Some("b".into()))
        .decide();
    assert!(second.any(|action| matches!(
        action,
        Action::Adjust(Adjustment::Follow { upstream: Some(upstream) }) if upstream.slot.is_none()
    )));
}

#[test]
fn a_promotion_starts_the_clock_of_absent_members_anew() {
    let world = slot(leader(), "gone", inactive(END)).view(|view| {
        view.status.retain_slots = vec!["gone".into()];
    });
    let mut world = slot(world, "b", inactive(END));
    world.turn();
    let valid_until = world.seen.now.plus(secs(20));
    let mut world = world
        .later(secs(1700))
        .lease(secs(25))
        .ended(Work::promote(valid_until), Ok(()));
    world.turn();
    let mut world = world.later(secs(1700)).lease(secs(25));
    assert_eq!(slots(&world.turn()), Vec::<String>::new());
    let decision = world.later(secs(101)).lease(secs(25)).decide();
    assert_eq!(slots(&decision), ["drop gone"]);
    assert!(told(
        &decision,
        "Replication slot 'gone' for absent cluster member is expired after 1800 sec."
    ));
}

/// Whether an operator is told something that holds `text`.
pub(super) fn told(decision: &Decision, text: &str) -> bool {
    let mut notices = decision.notices.iter();
    notices.any(|notice| notice.text.contains(text))
}

#[test]
fn a_slot_that_has_lost_its_wal_is_made_anew() {
    let lost = SlotSeen {
        lost: true,
        ..inactive(END)
    };
    let mut world = slot(leader(), "b", lost);
    assert_eq!(slots(&world.turn()), ["drop b"]);
    let mut world = world.live(|live| live.slots.clear());
    assert_eq!(slots(&world.turn()), ["create b"]);
}

#[test]
fn an_unused_slot_that_holds_an_xmin_is_made_anew() {
    let stale = SlotSeen {
        has_xmin: true,
        ..inactive(END)
    };
    let world = slot(replica(), "a", stale.clone());
    let world = slot(world, "c", inactive(END));
    assert_eq!(slots(&world.decide()), ["drop a"], "S16");
    let used = slot(leader(), "b", stale);
    assert_eq!(slots(&used.decide()), Vec::<String>::new());
}

#[test]
fn a_nofailover_replica_has_slots_for_those_only_that_stream_from_it() {
    let tagged = || replica().tags(r#"{"nofailover": true}"#);
    assert_eq!(slots(&tagged().decide()), Vec::<String>::new());
    let cascading = tagged().other_doc("c", |c| {
        c.tags.insert("replicatefrom".into(), "b".into());
    });
    assert_eq!(slots(&cascading.decide()), ["create c"]);
}

#[test]
fn a_nofailover_primary_has_slots_like_any_other() {
    let decision = leader().tags(r#"{"nofailover": true}"#).decide();
    assert_eq!(slots(&decision), ["create b"]);
}

#[test]
fn without_member_slots_ttl_slots_are_where_they_are_used() {
    let short = |world: World| world.spec(|spec| spec.member_slots_ttl = secs(0));
    assert_eq!(slots(&short(leader()).decide()), ["create b"]);
    assert_eq!(slots(&short(replica()).decide()), Vec::<String>::new());
    let world = slot(short(leader()), "b", inactive(END));
    assert!(world.decide().any(|action| matches!(
        action,
        Action::WriteStatus(status) if status.slots.keys().eq(["a"])
    )));
}

#[test]
fn status_tells_each_slot_and_mine() {
    let world = slot(leader(), "b", inactive(END - 80));
    assert!(world.decide().any(|action| matches!(
        action,
        Action::WriteStatus(status)
            if status.optime == Some(Lsn::new(END))
                && status.slots["a"] == Lsn::new(END)
                && status.slots["b"] == Lsn::new(END - 80)
    )));
}

#[test]
fn a_slot_bears_the_name_of_its_member_in_the_form_of_the_contract() {
    let name = pgherd_domain::MemberName::new("Node-c").unwrap();
    assert_eq!(SlotName::of_member(&name).as_str(), "node_c");
}

#[test]
fn who_is_about_to_be_primary_drops_no_slot_for_its_xmin() {
    let stale = SlotSeen {
        has_xmin: true,
        ..inactive(END)
    };
    let world = slot(replica(), "c", stale).leader("b");
    let world = slot(world, "a", inactive(END));
    assert_eq!(slots(&world.decide()), Vec::<String>::new());
}

/// With the permanent slots `keep` and, logical, `cdc`.
pub(super) fn permanent(world: World) -> World {
    world.spec(|spec| {
        spec.permanent_slots = vec!["cdc".into(), "keep".into()];
        let logical = LogicalSlot {
            database: "app".into(),
            plugin: "pgoutput".into(),
            failover: None,
        };
        spec.logical_slots.insert("cdc".into(), logical);
    })
}

#[test]
fn permanent_slots_are_made_on_the_leader_and_physical_ones_everywhere() {
    assert_eq!(
        slots(&permanent(leader()).decide()),
        ["create b", "create keep", "create cdc of app for pgoutput"]
    );
    assert_eq!(
        slots(&permanent(replica()).decide()),
        ["create a", "create c", "create keep"]
    );
    let barred = permanent(replica()).tags(r#"{"nofailover": true}"#);
    assert_eq!(slots(&barred.decide()), Vec::<String>::new());
}

#[test]
fn a_permanent_slot_keeps_up_on_a_replica_and_is_left_alone_on_the_leader() {
    let here = |world: World| slot(world, "keep", inactive(100));
    let told = here(permanent(replica())).view(|view| {
        view.status.slots.insert("keep".into(), Lsn::new(200));
    });
    assert!(slots(&told.decide()).contains(&"advance keep to 0/C8".to_owned()));
    let mut held = inactive(100);
    held.has_xmin = true;
    let leaders = slot(permanent(leader()), "keep", held);
    assert!(
        !slots(&leaders.decide())
            .iter()
            .any(|it| it.contains("keep"))
    );
}

#[test]
fn a_permanent_slot_that_is_taken_out_of_the_settings_is_dropped() {
    let mut world = slot(permanent(leader()), "keep", inactive(100));
    world.turn();
    let mut world = world.spec(|spec| spec.permanent_slots.clear());
    assert!(slots(&world.turn()).contains(&"drop keep".to_owned()));
    let mut in_use = inactive(100);
    in_use.active = true;
    let mut world = slot(world, "keep", in_use);
    assert!(!slots(&world.turn()).contains(&"drop keep".to_owned()));
}
