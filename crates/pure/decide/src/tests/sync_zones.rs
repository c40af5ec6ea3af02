//! Zones: whom commits wait for, and what becomes of them when a zone is lost.

use std::time::Duration;

use pgherd_domain::{Action, Adjustment, Lsn, PgRole, SyncMode, ZonePolicy, ZoneShortage};

use super::build::{END, World, member, name, secs};
use crate::Decision;

const NOBODY: &str = "__patroni_strict_sync_replica_placeholder__";

/// The leader `a` in zone x, with `b` in x, `c` in y and `d` in z; all stream everything. Commits have waited by
/// `setting` for long.
fn leader(mode: SyncMode, setting: &str, standbys: &[&str]) -> World {
    let state = if mode == SyncMode::Quorum {
        "quorum"
    } else {
        "sync"
    };
    let mut world = member("a")
        .primary(1)
        .leader("a")
        .tags(r#"{"zone": "x"}"#)
        .sync("a", standbys)
        .spec(|spec| {
            spec.synchronous_mode = mode;
            spec.zones = Some(ZonePolicy {
                label: "zone".into(),
                at_least: 2,
                degrade_after: Some(secs(30)),
            });
        })
        .live(|live| live.synchronous_standby_names = setting.into())
        .memory(|memory| memory.sync_in_doubt = false);
    for (of, zone) in [("b", "x"), ("c", "y"), ("d", "z")] {
        let state = if setting.contains(of) { state } else { "async" };
        world = world
            .other(of, PgRole::Replica, 1)
            .sender(of, state, END)
            .view(|view| {
                let tags = &mut view.members.get_mut(&name(of)).unwrap().tags;
                tags.insert("zone".into(), zone.into());
            });
    }
    world.turn();
    world.memory.ordered_names = None;
    world.later(secs(3)).lease(secs(25))
}

impl World {
    fn votes(self, quorum: u64) -> Self {
        self.view(move |view| view.sync.as_mut().unwrap().value.quorum = quorum)
    }

    fn lose(self, who: &[&str]) -> Self {
        self.live(|live| {
            let gone = |name: &str| who.contains(&name);
            live.replication.retain(|it| !gone(&it.application_name));
        })
    }

    fn after(self, span: Duration) -> Self {
        self.later(span).lease(secs(25))
    }

    fn setting(self, names: &str) -> Self {
        self.live(|live| live.synchronous_standby_names = names.into())
    }

    fn policy(self, change: impl FnOnce(&mut ZonePolicy)) -> Self {
        self.spec(|spec| change(spec.zones.as_mut().unwrap()))
    }
}

fn steps(decision: &Decision) -> Vec<String> {
    let step = |action: &Action| match action {
        Action::WriteSync { doc, .. } => {
            let names: Vec<&str> = doc.standbys.iter().map(|name| name.as_str()).collect();
            Some(format!("/sync {} of {}", doc.quorum, names.join(",")))
        }
        Action::Adjust(Adjustment::SetSynchronousStandbyNames(Some(names))) => {
            Some(format!("set {names}"))
        }
        _ => None,
    };
    decision.actions.iter().filter_map(step).collect()
}

fn shortage(world: &World) -> Option<ZoneShortage> {
    world.memory.shortage.map(|shortage| shortage.told)
}

#[test]
fn a_standby_of_another_zone_is_chosen_before_a_better_one_of_mine() {
    let ahead = |of: &'static str| {
        leader(SyncMode::On, "", &[]).live(|live| {
            for sender in &mut live.replication {
                let behind = if sender.application_name == of { 0 } else { 8 };
                sender.flush = Some(Lsn::new(END - behind));
            }
        })
    };
    assert_eq!(steps(&ahead("b").decide()), ["set c"]);
    assert_eq!(steps(&ahead("d").decide()), ["set d"]);
    let three = ahead("b").policy(|zones| zones.at_least = 3);
    assert_eq!(steps(&three.decide()), ["set 2 (c,d)"]);
    let stays = leader(SyncMode::On, "d", &["d"]);
    assert_eq!(steps(&stays.decide()), [""; 0]);
}

#[test]
fn the_zone_of_a_lost_standby_is_made_good_by_another_at_once() {
    let mut world = leader(SyncMode::On, "c", &["c"]).lose(&["c"]);
    assert_eq!(steps(&world.turn()), ["/sync 0 of "]);
    assert_eq!(steps(&world.sync("a", &[]).decide()), ["set d"]);
}

#[test]
fn commits_wait_for_the_last_other_zone_and_then_go_on_without_it_and_back_at_once() {
    let mut world = leader(SyncMode::On, "c", &["c"]).lose(&["c", "d"]);
    let first = world.turn();
    assert_eq!(steps(&first), [""; 0], "c stays named");
    assert!(first.says().contains("commits wait"), "{}", first.says());
    assert!(shortage(&world).unwrap().waits);
    let mut world = world.after(secs(29));
    let second = world.turn();
    assert_eq!(steps(&second), [""; 0]);
    assert!(!second.says().contains("commits wait"), "told once");
    let mut world = world.after(secs(1));
    let degraded = world.turn();
    assert_eq!(steps(&degraded), ["/sync 0 of "]);
    assert!(degraded.says().contains("commits go on without"));
    let mut world = world.sync("a", &[]);
    assert_eq!(steps(&world.turn()), ["set b"]);
    let told = ZoneShortage {
        covered: 1,
        wanted: 2,
        waits: false,
    };
    assert_eq!(shortage(&world), Some(told));
    let mut world = world.setting("b").sender("d", "async", END);
    let back = world.turn();
    assert_eq!(steps(&back), ["set d"]);
    assert!(back.says().contains("commits wait for 2 zones again"));
    assert_eq!(shortage(&world), None);
}

#[test]
fn never_means_never() {
    let never = |world: World| world.policy(|zones| zones.degrade_after = None);
    let mut world = never(leader(SyncMode::On, "c", &["c"])).lose(&["c", "d"]);
    assert_eq!(steps(&world.turn()), [""; 0]);
    let mut world = world.after(secs(9_999));
    assert_eq!(steps(&world.turn()), [""; 0]);
    // Where nobody of another zone is named, nobody's name holds the commits.
    let fresh = never(leader(SyncMode::On, "", &[])).lose(&["c", "d"]);
    assert_eq!(steps(&fresh.decide()), [format!("set 2 (b,{NOBODY})")]);
}

#[test]
fn a_name_whose_member_key_is_gone_goes_on_holding_commits() {
    let mut world = leader(SyncMode::On, "c", &["c"]).lose(&["c", "d"]);
    world.turn();
    let gone = world.view(|view| drop(view.members.remove(&name("c"))));
    let held = format!("set 2 (c,{NOBODY})");
    assert_eq!(steps(&gone.decide()), [held]);
}

#[test]
fn what_goes_on_with_fewer_zones_is_not_stopped_by_a_new_policy_or_agent() {
    let mut world = leader(SyncMode::On, "b", &["b"]).lose(&["c", "d"]);
    // The turn of an agent that has just come.
    world.memory.shortage = None;
    assert_eq!(steps(&world.turn()), [""; 0]);
    assert!(!shortage(&world).unwrap().waits);
    let held = format!("2 (b,{NOBODY})");
    let mut world = world.setting(&held);
    world.memory.shortage = None;
    assert_eq!(steps(&world.turn()), [""; 0], "what is held stays held");
    assert!(shortage(&world).unwrap().waits);
}

#[test]
fn a_member_or_a_leader_without_a_zone_counts_in_none() {
    let bare = |of: &'static str| {
        move |world: World| {
            world.view(|view| {
                let member = view.members.get_mut(&name(of)).unwrap();
                member.tags.clear();
            })
        }
    };
    let world = bare("c")(bare("d")(leader(SyncMode::On, "", &[])));
    let decision = world.policy(|zones| zones.degrade_after = None).decide();
    assert_eq!(steps(&decision).len(), 1);
    assert!(steps(&decision)[0].contains(NOBODY));
    assert!(
        decision
            .says()
            .contains("lack the tag that names their zone")
    );
    let homeless = leader(SyncMode::On, "", &[]).tags("{}");
    assert_eq!(steps(&homeless.decide()).len(), 1);
}

#[test]
fn a_quorum_is_raised_until_every_one_of_it_has_another_zone() {
    // Of b, c, d one is in my own zone: any one of them might be that one.
    let mut world = leader(SyncMode::Quorum, "", &[]);
    assert_eq!(steps(&world.turn()), ["set ANY 2 (b,c,d)"]);
    let three = leader(SyncMode::Quorum, "", &[]).policy(|zones| zones.at_least = 3);
    assert_eq!(steps(&three.decide()), ["set ANY 3 (b,c,d)"]);
    let mut lost = leader(SyncMode::Quorum, "ANY 2 (b,c,d)", &["b", "c", "d"])
        .votes(1)
        .lose(&["d"]);
    assert_eq!(steps(&lost.turn()), ["set ANY 2 (b,c)"]);
}

#[test]
fn a_quorum_waits_for_the_last_other_zone_and_then_goes_on() {
    let mut world = leader(SyncMode::Quorum, "ANY 2 (b,c)", &["b", "c"])
        .votes(0)
        .lose(&["c", "d"]);
    world.turn();
    let mut world = world.after(secs(3));
    assert_eq!(steps(&world.turn()), [""; 0]);
    assert!(shortage(&world).unwrap().waits);
    let mut world = world.after(secs(30));
    let mut seen = steps(&world.turn());
    let mut world = world.sync("a", &["b"]).votes(0);
    world.spec.synchronous_mode = SyncMode::Quorum;
    seen.extend(steps(&world.turn()));
    assert_eq!(seen, ["/sync 0 of b", "set ANY 1 (b)"]);
}

#[test]
fn a_new_leader_acknowledges_nothing_in_fewer_zones() {
    let promoted = |mode: SyncMode, span: Option<Duration>| {
        let world = leader(mode, "", &[]).policy(|zones| zones.degrade_after = span);
        let sync = world.seen.dcs.known().unwrap().sync_state().cloned();
        let turn = crate::turn::Turn::new(&world.spec, world.memory.clone(), &world.seen);
        turn.names_for_promotion(sync.as_ref())
    };
    assert_eq!(promoted(SyncMode::On, Some(secs(30))), NOBODY);
    assert_eq!(
        promoted(SyncMode::Quorum, None),
        format!("ANY 1 ({NOBODY})")
    );
    assert_eq!(promoted(SyncMode::On, Some(Duration::ZERO)), "");
}

#[test]
fn a_zone_whose_standby_is_silent_counts_as_lost() {
    let ahead = |world: World| {
        world.lose(&["d"]).live(|live| {
            live.flushed = Lsn::new(END + 800);
            live.replication[0].flush = Some(Lsn::new(END + 800));
        })
    };
    let mut world = ahead(leader(SyncMode::On, "c", &["c"]));
    world.turn();
    assert_eq!(shortage(&world), None);
    let mut world = world.after(secs(5));
    assert_eq!(steps(&world.turn()), [""; 0], "commits wait for it");
    assert!(shortage(&world).unwrap().waits);
    let mut world = world.after(secs(30));
    world.turn();
    assert!(!shortage(&world).unwrap().waits);
    assert_eq!(steps(&world.turn()), ["/sync 0 of "]);
    let mut world = world.sync("a", &[]);
    assert_eq!(steps(&world.turn()), ["set b"]);
    let back = Some(Lsn::new(END + 800));
    let mut world = world
        .setting("b")
        .live(|live| live.replication[1].flush = back);
    assert_eq!(steps(&world.turn()), ["set c"]);
    assert_eq!(shortage(&world), None);
}
