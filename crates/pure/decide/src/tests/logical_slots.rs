//! Permanent logical slots (contract §7): copied and moved up to PostgreSQL 16, PostgreSQL's own from 17 on.

use pgherd_domain::{
    Action, Adjustment, Horizons, LogicalSlot, Lsn, PgRole, ServerVersion, SlotName, SlotSeen, Work,
};

use super::build::{END, World, secs};
use super::slots::{inactive, leader, permanent, replica, slot, slots, told};
use crate::Decision;
use crate::logical_slots::{CopyState, Way};

const OLD: ServerVersion = ServerVersion(150_008);
const NEW: ServerVersion = ServerVersion(170_006);

/// The copy of `cdc` as it is right after it was made: it needs the catalogue from 700 on.
pub(super) fn copy() -> SlotSeen {
    SlotSeen {
        logical: true,
        database: Some("app".into()),
        plugin: Some("pgoutput".into()),
        confirmed_flush: Some(Lsn::new(END - 80)),
        catalog_xmin: Some(700),
        ..inactive(END - 160)
    }
}

/// A replica whose leader tells how far `cdc` is, with everything else in order.
pub(super) fn replica_of_cdc() -> World {
    let world = slot(permanent(replica()), "a", inactive(END));
    let world = slot(world, "c", inactive(END));
    slot(world, "keep", inactive(END))
        .live(|live| live.slot_parameters.feedback = true)
        .view(|view| {
            view.status.slots.insert("cdc".into(), Lsn::new(END - 40));
        })
}

/// Which copies are moved to where, and which are asked for.
type Kept = (Vec<(SlotName, Lsn)>, Vec<SlotName>);

fn kept(decision: &Decision) -> Option<Kept> {
    decision.actions.iter().find_map(|action| match action {
        Action::Adjust(Adjustment::KeepLogicalSlots { advance, compare }) => Some((
            advance
                .iter()
                .map(|(slot, (_, to))| (slot.clone(), *to))
                .collect(),
            compare
                .as_ref()
                .map(|(_, _, slots)| slots.clone())
                .unwrap_or_default(),
        )),
        _ => None,
    })
}

fn cdc() -> SlotName {
    SlotName::existing("cdc")
}

#[test]
fn the_version_and_the_setting_say_how_a_slot_comes_to_the_replicas() {
    let slot = |failover| LogicalSlot {
        database: "app".into(),
        plugin: "pgoutput".into(),
        failover,
    };
    for (version, failover, way) in [
        (100_000, None, Way::None),
        (110_000, None, Way::Copied),
        (160_000, Some(true), Way::Copied),
        (170_000, None, Way::Native),
        (180_000, Some(true), Way::Native),
        (170_000, Some(false), Way::Copied),
    ] {
        let found = Way::of(ServerVersion(version), &slot(failover));
        assert_eq!(found, way, "{version} {failover:?}");
    }
}

#[test]
fn a_missing_copy_is_made_once_the_primary_says_how_far_it_is() {
    let decision = replica_of_cdc().decide();
    assert_eq!(
        decision.line(),
        "Copying logical slots ['cdc'] from the primary"
    );
    assert!(matches!(
        decision.begins(),
        Some(Work::CopySlots { source, slots, .. })
            if source.host == "a" && slots.keys().eq([&cdc()])
    ));
    let silent = replica_of_cdc().view(|view| view.status.slots.clear());
    let paused = replica_of_cdc().spec(|spec| spec.pause = true);
    let alone = replica_of_cdc().view(|view| view.leader = None);
    let archive = replica_of_cdc().tags(r#"{"nostream": true}"#);
    let barred = replica_of_cdc().tags(r#"{"nofailover": true}"#);
    let deaf = replica_of_cdc().live(|live| live.receiver = None);
    for world in [silent, paused, alone, archive, barred, deaf] {
        assert!(!matches!(
            world.decide().begins(),
            Some(Work::CopySlots { .. })
        ));
    }
}

#[test]
fn a_failed_copy_is_tried_again_later_and_hinders_nothing_else() {
    let mut world = replica_of_cdc();
    let work = world.turn().begins().cloned().unwrap();
    let failed = pgherd_domain::WorkError::Failed("the primary refused".into());
    let mut world = world.ended(work, Err(failed));
    assert_eq!(world.turn().begins(), None);
    assert!(world.later(secs(2)).decide().begins().is_some());
}

#[test]
fn a_copy_follows_what_the_leader_tells_and_never_beyond_replay() {
    let world = || slot(replica_of_cdc(), "cdc", copy());
    let (advance, _) = kept(&world().decide()).unwrap();
    assert_eq!(advance, [(cdc(), Lsn::new(END - 40))]);
    let ahead = world().view(|view| {
        view.status.slots.insert("cdc".into(), Lsn::new(END + 40));
    });
    assert_eq!(kept(&ahead.decide()).unwrap().0, [(cdc(), Lsn::new(END))]);
    let level = world().view(|view| {
        view.status.slots.insert("cdc".into(), Lsn::new(END - 80));
    });
    assert_eq!(kept(&level.decide()).unwrap().0, []);
}

#[test]
fn a_copy_is_safe_once_it_is_past_what_the_primary_needed_when_feedback_first_stood() {
    let horizons = |slot, standby| Some(Horizons { slot, standby });
    let with = |world: &World, seen: SlotSeen| slot(world.clone(), "cdc", seen);
    let mut world = with(&replica_of_cdc(), copy());
    assert_eq!(kept(&world.turn()).unwrap().1, [cdc()], "it is asked for");
    // No feedback yet: what the primary needs says nothing.
    let mut unheld = copy();
    unheld.horizons = horizons(690, None);
    let mut world = with(&world, unheld);
    assert!(!told(&world.turn(), "safe"));
    // It stands now, but the primary may have removed what only transactions up to 710 saw.
    let mut held = copy();
    held.horizons = horizons(710, Some(700));
    let mut world = with(&world, held.clone());
    assert!(!told(&world.turn(), "safe"));
    // The primary goes on; what counts is where it was.
    held.horizons = horizons(720, Some(700));
    held.catalog_xmin = Some(710);
    let mut world = with(&world, held);
    assert!(told(
        &world.turn(),
        "Logical slot cdc is safe to be used after a failover"
    ));
    assert_eq!(kept(&world.turn()).unwrap().1, [], "nothing more to ask");
}

#[test]
fn a_promotion_with_a_copy_that_is_not_safe_is_told() {
    let promoted = |state| {
        slot(permanent(leader()), "cdc", copy())
            .memory(|memory| {
                memory.copies.insert("cdc".into(), state);
            })
            .decide()
    };
    assert!(told(
        &promoted(CopyState::Unproven),
        "might be unsafe to use after promote: {'cdc'}"
    ));
    assert!(!told(&promoted(CopyState::Safe), "unsafe"));
}

#[test]
fn a_copy_that_can_not_be_moved_any_more_or_was_invalidated_is_made_again() {
    let broken = SlotSeen {
        broken: Some("requested WAL segment has already been removed".into()),
        ..copy()
    };
    let lost = SlotSeen {
        lost: true,
        ..copy()
    };
    for seen in [broken, lost] {
        let decision = slot(replica_of_cdc(), "cdc", seen).decide();
        assert!(matches!(decision.begins(), Some(Work::CopySlots { .. })));
        assert!(told(&decision, "it is copied from the primary again"));
    }
}

#[test]
fn a_slot_of_the_primary_whose_wal_is_gone_stays_so_that_its_consumer_notices() {
    let lost = SlotSeen {
        lost: true,
        ..copy()
    };
    let world = slot(
        slot(permanent(leader()), "b", inactive(END)),
        "keep",
        inactive(END),
    );
    let decision = slot(world, "cdc", lost).decide();
    assert_eq!(slots(&decision), Vec::<String>::new());
    assert!(told(&decision, "has to copy its data anew"));
}

#[test]
fn a_logical_slot_under_the_name_of_a_members_slot_is_told_and_not_made() {
    let decision = permanent(leader())
        .other("cdc", PgRole::Replica, 1)
        .decide();
    assert!(told(
        &decision,
        "Permanent logical replication slot 'cdc' is conflicting"
    ));
    assert!(slots(&decision).contains(&"create cdc".to_owned()));
}

/// What logical slots are said to need, when that is said.
fn parameters(decision: &Decision) -> Option<(bool, bool, Option<&str>)> {
    decision.actions.iter().find_map(|action| match action {
        Action::Adjust(Adjustment::SetSlotParameters(set)) => {
            Some((set.feedback, set.synchronize, set.awaited.as_deref()))
        }
        _ => None,
    })
}

fn on(world: World, version: ServerVersion) -> World {
    world.live(|live| live.version = version)
}

#[test]
fn feedback_is_forced_on_replicas_that_may_lead_and_on_those_that_pass_it_on() {
    let may_lead = on(permanent(replica()), OLD).decide();
    assert_eq!(parameters(&may_lead), Some((true, false, None)));
    let barred = || on(permanent(replica()), OLD).tags(r#"{"nofailover": true}"#);
    assert_eq!(parameters(&barred().decide()), None);
    let passes_on = barred().other_doc("c", |c| {
        c.tags.insert("replicatefrom".into(), "b".into());
    });
    assert_eq!(parameters(&passes_on.decide()), Some((true, false, None)));
    assert_eq!(parameters(&on(replica(), OLD).decide()), None);
}

#[test]
fn feedback_is_given_back_when_the_last_logical_slot_is_taken_out() {
    let mut world = permanent(replica()).live(|live| live.slot_parameters.feedback = true);
    world.turn();
    let mut world = world.spec(|spec| spec.logical_slots.clear());
    assert_eq!(parameters(&world.turn()), Some((false, false, None)));
    assert_eq!(parameters(&world.turn()), None, "once");
}

#[test]
fn from_17_on_postgresql_keeps_slots_in_step_and_nothing_is_copied() {
    let decision = on(replica_of_cdc(), NEW).decide();
    assert_eq!(decision.begins(), None);
    assert_eq!(parameters(&decision), Some((true, true, None)));
    let decision = on(permanent(leader()), NEW).decide();
    assert!(slots(&decision).contains(&"create cdc of app for pgoutput natively".to_owned()));
}

#[test]
fn from_17_on_subscribers_wait_for_the_candidates_that_stream() {
    let streaming = SlotSeen {
        active: true,
        ..inactive(END)
    };
    let world = on(permanent(leader()), NEW)
        .other("c", PgRole::Replica, 1)
        .other_doc("d", |d| {
            d.tags.insert("nofailover".into(), true.into());
        });
    let world = slot(slot(world, "b", streaming.clone()), "d", streaming);
    let decision = slot(world, "c", inactive(END)).decide();
    assert_eq!(parameters(&decision), Some((false, false, Some("b"))));
}

#[test]
fn a_slot_that_keeps_three_quarters_of_its_budget_is_told() {
    let keeps = |kept: u64| {
        slot(leader(), "b", inactive(END - kept))
            .spec(|spec| spec.slot_budget = Some(1000))
            .decide()
    };
    assert!(told(&keeps(800), "keeps more than 80% of the WAL"));
    assert!(!told(&keeps(700), "keeps more"));
}
