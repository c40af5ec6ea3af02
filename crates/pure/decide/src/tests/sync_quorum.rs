//! Quorum mode on the leader: what is written to `/sync` and to the setting, and in which order (contract §6.4, §6.6).

use pgherd_domain::{Action, Adjustment, Lsn, NOBODY, PgRole, SyncMode};

use super::build::{END, World, member, secs};
use crate::Decision;

/// The leader `a` with `b` and `c`, both streaming everything. Commits have waited by `setting` for long.
fn leader(setting: &str) -> World {
    let mut world = member("a")
        .primary(1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
        .other("c", PgRole::Replica, 1)
        .sender("b", "quorum", END)
        .sender("c", "quorum", END)
        .live(|live| live.synchronous_standby_names = setting.into())
        .voters(0, &[])
        .memory(|memory| memory.sync_in_doubt = false);
    world.turn();
    world.memory.ordered_names = None;
    world.later(secs(1))
}

impl World {
    fn voters(self, quorum: u64, names: &[&str]) -> Self {
        self.sync("a", names)
            .spec(|spec| spec.synchronous_mode = SyncMode::Quorum)
            .view(move |view| view.sync.as_mut().unwrap().value.quorum = quorum)
    }

    fn without(self, who: &'static str) -> Self {
        self.later(secs(3)).lease(secs(25)).live(|live| {
            live.replication
                .retain(|sender| sender.application_name != who);
        })
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

#[test]
fn the_first_standbys_are_waited_for_and_vote_when_one_has_everything() {
    let mut world = leader("");
    assert_eq!(steps(&world.turn()), ["set ANY 1 (b,c)"]);
    let mut world = world.live(|live| live.synchronous_standby_names = "ANY 1 (b,c)".into());
    assert!(steps(&world.turn()).is_empty(), "not at once");
    assert_eq!(steps(&world.later(secs(1)).decide()), ["/sync 1 of b,c"]);
}

#[test]
fn an_order_that_was_never_carried_out_is_not_waited_for() {
    // c alone votes, and commits wait for nobody's name beside it; b is to take the place of c, which is gone.
    let running = format!("ANY 2 (c,{NOBODY})");
    let stuck = |ordered: Option<&str>| {
        let ordered = ordered.map(str::to_owned);
        let mut world = leader(&running).voters(0, &["c"]).without("c");
        world.turn();
        let world = world.later(secs(2)).lease(secs(25));
        world.memory(move |memory| memory.ordered_names = ordered)
    };
    let free = steps(&stuck(None).decide());
    assert_eq!(free, ["/sync 0 of "]);
    let mut world = stuck(Some("ANY 4 (b,d,e)"));
    assert_eq!(steps(&world.turn()), [format!("set {running}")]);
    world.turn();
    assert_eq!(steps(&world.decide()), free);
}

#[test]
fn a_commit_between_the_order_and_its_effect_is_waited_for_too() {
    let mut world = leader("");
    world.turn();
    let mut world = world.live(|live| {
        live.synchronous_standby_names = "ANY 1 (b,c)".into();
        live.flushed = Lsn::new(END + 800);
    });
    world.turn();
    assert!(steps(&world.later(secs(1)).decide()).is_empty());
}

#[test]
fn a_server_that_was_started_anew_is_caught_up_with_before_anybody_votes_who_did_not() {
    let at = |lsn: u64| {
        let mut world = leader("ANY 1 (b,c)");
        world.turn();
        world.live(move |live| {
            for sender in &mut live.replication {
                sender.flush = Some(Lsn::new(lsn));
            }
            live.flushed = Lsn::new(END + 800);
        })
    };
    let acknowledged = ["/sync 1 of b,c"];
    assert_eq!(steps(&at(END).decide()), acknowledged, "and no more");
    // What waited when the last server ended can be read, and only this one has it.
    let anew = |lsn: u64| {
        let mut world = at(lsn).live(|live| live.started_at = "a moment ago".into());
        world.turn();
        world.later(secs(1)).lease(secs(25))
    };
    let mut behind = anew(END);
    behind.turn();
    assert!(steps(&behind.later(secs(1)).lease(secs(25)).decide()).is_empty());
    let mut level = anew(END + 800);
    level.turn();
    let level = level.later(secs(1)).lease(secs(25)).decide();
    assert_eq!(steps(&level), acknowledged);
}

#[test]
fn what_was_ordered_and_is_not_in_force_lets_no_vote_grow() {
    let mut world = leader("ANY 1 (b,c)");
    world.memory.ordered_names = Some("ANY 2 (b,c)".into());
    assert_eq!(
        steps(&world.turn()),
        ["set ANY 1 (b,c)"],
        "it is taken back"
    );
    assert_eq!(steps(&world.turn()), ["/sync 1 of b,c"]);
}

#[test]
fn a_standby_that_is_lost_is_no_longer_waited_for_and_then_votes_no_more() {
    let mut world = leader("ANY 1 (b,c)").voters(1, &["b", "c"]).without("c");
    assert_eq!(steps(&world.turn()), ["set ANY 1 (b)"]);
    let mut world = world.live(|live| live.synchronous_standby_names = "ANY 1 (b)".into());
    assert!(steps(&world.turn()).is_empty());
    assert_eq!(steps(&world.later(secs(1)).decide()), ["/sync 0 of b"]);
}

#[test]
fn a_new_leader_waits_a_moment_for_the_members_to_connect() {
    let alone = |world: World| world.live(|live| live.replication.clear());
    let mut world = alone(leader("ANY 1 (b,c)").voters(1, &["b", "c"]));
    assert!(steps(&world.turn()).is_empty());
    let mut world = world.later(secs(3)).lease(secs(25));
    assert_eq!(steps(&world.turn()), ["/sync 0 of "]);
}

#[test]
fn strict_mode_with_nobody_left_goes_on_waiting_for_who_votes() {
    let strict = |world: World| {
        let world = world.spec(|spec| spec.synchronous_mode_strict = true);
        world.without("b").without("c")
    };
    let held = strict(leader("ANY 1 (b,c)").voters(1, &["b", "c"])).decide();
    assert!(steps(&held).is_empty());
    let nobody = strict(leader("")).decide();
    let placeholder = "set ANY 1 (__patroni_strict_sync_replica_placeholder__)";
    assert_eq!(steps(&nobody), [placeholder]);
}

#[test]
fn from_on_mode_the_votes_come_first() {
    let mut world = leader("b").voters(0, &["b"]);
    assert_eq!(steps(&world.turn()), ["/sync 1 of b,c"]);
    let decision = world.voters(1, &["b", "c"]).decide();
    assert_eq!(steps(&decision), ["set ANY 1 (b,c)"]);
}

#[test]
fn who_may_not_lead_counts_only_where_there_are_too_few() {
    let barred = |world: World| {
        world.other_doc("c", |c| {
            c.tags.insert("nofailover".into(), true.into());
        })
    };
    assert_eq!(steps(&barred(leader("")).decide()), ["set ANY 1 (b)"]);
    let two = barred(leader("")).spec(|spec| spec.synchronous_node_count = 2);
    assert_eq!(steps(&{ two }.turn()), ["set ANY 2 (b,c)"]);
}
