//! Synchronous standbys: `/sync` never names who may miss an acknowledged commit (contract §6).

use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{Action, Adjustment, Lsn, Outcome, PgRole, SyncMode, WalSenderSeen};

use super::build::{END, REVISION, World, member, name, secs};
use crate::Decision;

/// The leader `a` with `b` and `c`, both streaming everything. Commits wait for `setting`, and have
/// done so for long.
fn leader(setting: &str) -> World {
    let mut world = member("a")
        .primary(1)
        .leader("a")
        .other("b", PgRole::Replica, 1)
        .other("c", PgRole::Replica, 1)
        .sender("b", "sync", END)
        .sender("c", "async", END)
        .spec(|spec| spec.synchronous_mode = SyncMode::On)
        .live(|live| live.synchronous_standby_names = setting.into())
        .memory(|memory| memory.sync_in_doubt = false);
    world.turn();
    world.later(secs(1))
}

/// What is done to `/sync` and to the setting.
fn steps(decision: &Decision) -> Vec<String> {
    decision
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::WriteSync { doc, .. } => Some(format!("/sync {}", doc.render())),
            Action::DeleteSync { .. } => Some("delete /sync".into()),
            Action::Adjust(Adjustment::SetSynchronousStandbyNames(names)) => {
                Some(format!("set {names:?}"))
            }
            _ => None,
        })
        .collect()
}

fn sync(standbys: &str) -> String {
    format!(r#"/sync {{"leader":"a","quorum":0,"sync_standby":{standbys}}}"#)
}

#[test]
fn turned_on_it_begins_with_nobody() {
    let decision = leader("").decide();
    assert_eq!(steps(&decision), [sync("null")]);
    assert!(decision.says().contains("Enabled synchronous replication"));
}

#[test]
fn a_key_of_another_leader_is_made_mine_with_nobody() {
    let decision = leader("b").sync("z", &["b"]).decide();
    assert_eq!(steps(&decision), [sync("null")]);
    assert!(
        decision
            .says()
            .contains("Inconsistent state of /sync key detected")
    );
}

#[test]
fn from_a_quorum_to_on_mode_commits_wait_for_one_first() {
    let decision = leader("ANY 1 (b,c)")
        .sync("a", &["b", "c"])
        .view(|view| view.sync.as_mut().unwrap().value.quorum = 1)
        .decide();
    assert_eq!(steps(&decision), [r#"set Some("b")"#]);
}

#[test]
fn a_standby_enters_the_setting_first_and_sync_when_it_has_everything() {
    let mut world = leader("").sync("a", &[]);
    assert_eq!(steps(&world.turn()), [r#"set Some("b")"#]);
    let mut world = world.live(|live| live.synchronous_standby_names = "b".into());
    assert_eq!(steps(&world.turn()), Vec::<String>::new(), "not at once");
    let mut world = world.later(secs(1));
    let decision = world.turn();
    assert_eq!(steps(&decision), [sync(r#""b""#)]);
    assert!(
        decision
            .says()
            .contains("Synchronous standby status assigned to ['b']")
    );
}

/// `b` is waited for and has entered `/sync` by a write of which nothing was heard; now it is gone.
fn in_doubt() -> World {
    let expected = Some(REVISION);
    let doc = SyncDoc {
        leader: Some(name("a")),
        quorum: 0,
        standbys: [name("b")].into(),
    };
    let write = Action::WriteSync { doc, expected };
    leader("b")
        .sync("a", &[])
        .effect(write, Outcome::Unknown("timed out".into()))
        .live(|live| live.replication.clear())
}

#[test]
fn a_write_of_sync_that_may_still_arrive_is_overtaken_before_commits_wait_for_less() {
    let mut world = in_doubt();
    let decision = world.turn();
    assert_eq!(steps(&decision), [sync("null")], "{}", decision.says());
    let is_write = |action: &Action| {
        matches!(
            action,
            Action::WriteSync {
                expected: Some(REVISION),
                ..
            }
        )
    };
    let write = decision.actions.into_iter().find(is_write).unwrap();
    // Not before that write is answered.
    let unknown = || Outcome::Unknown("timed out".into());
    let mut world = world.effect(write.clone(), unknown());
    assert_eq!(steps(&world.turn()), [sync("null")]);
    let mut world = world.effect(write, Outcome::Done);
    assert_eq!(steps(&world.turn()), [r#"set Some("")"#]);
}

#[test]
fn an_agent_that_was_started_again_does_not_know_what_is_on_its_way() {
    let gone = |world: World| world.live(|live| live.replication.clear());
    let again = leader("b").sync("a", &[]);
    let mut world = gone(again.memory(|it| it.sync_in_doubt = true));
    assert_eq!(steps(&world.turn()), [sync("null")]);
    let mut world = gone(leader("b").sync("a", &[]));
    assert_eq!(steps(&world.turn()), [r#"set Some("")"#]);
}

#[test]
fn who_lacks_what_was_there_when_commits_began_to_wait_does_not_enter_sync() {
    let mut world = leader("b")
        .sync("a", &[])
        .spec(|spec| spec.silent_standby = None)
        .live(|live| live.replication[0].flush = Some(Lsn::new(END - 8)));
    world.turn();
    assert_eq!(
        steps(&world.later(secs(60)).lease(secs(25)).decide()),
        Vec::<String>::new()
    );
}

#[test]
fn a_commit_between_the_order_and_its_effect_is_waited_for_too() {
    // The setting was ordered at END; a commit that did not wait for b went to END + 800 before every
    // session knew of it. b, at END + 8, must not be taken for synchronous.
    let mut world = leader("").sync("a", &[]);
    world.turn();
    let mut world = world.live(|live| {
        live.synchronous_standby_names = "b".into();
        live.flushed = Lsn::new(END + 800);
        live.replication[0].flush = Some(Lsn::new(END + 8));
    });
    world.turn();
    assert_eq!(steps(&world.later(secs(1)).decide()), Vec::<String>::new());
}

#[test]
fn who_is_only_a_potential_standby_does_not_enter_sync() {
    let mut world = leader("b")
        .sync("a", &[])
        .live(|live| live.replication[0].sync_state = "potential".into());
    assert_eq!(steps(&world.turn()), Vec::<String>::new());
}

#[test]
fn a_standby_leaves_sync_before_the_setting() {
    let lost = |world: World| world.live(|live| live.replication.clear());
    let mut world = lost(leader("b").sync("a", &["b"]));
    let decision = world.turn();
    assert_eq!(steps(&decision), [sync("null")]);
    assert!(
        decision
            .says()
            .contains("Updating synchronous privilege temporarily from ['b'] to []")
    );
    let decision = world.sync("a", &[]).decide();
    assert_eq!(steps(&decision), [r#"set Some("")"#]);
}

#[test]
fn a_refused_write_leaves_the_setting_alone() {
    let mut world = leader("b")
        .sync("a", &["b"])
        .live(|live| live.replication.clear());
    let write = world.turn().effects().remove(0);
    let decision = world.effect(write, Outcome::Refused).decide();
    assert_eq!(steps(&decision), [sync("null")], "S14");
}

#[test]
fn the_next_standby_takes_the_place_of_a_lost_one() {
    let mut world = leader("b")
        .sync("a", &["b"])
        .live(|live| drop(live.replication.remove(0)));
    assert_eq!(steps(&world.turn()), [sync("null")]);
    let decision = world.sync("a", &[]).decide();
    assert_eq!(steps(&decision), [r#"set Some("c")"#]);
}

#[test]
fn a_name_that_commits_do_not_wait_for_is_taken_out_of_sync() {
    for setting in ["", "c", "ANY 1 (b,c)", "FIRST 1 (b,c)", "*"] {
        let decision = leader(setting).sync("a", &["b"]).decide();
        assert_eq!(steps(&decision), [sync("null")], "S14: {setting}");
    }
}

#[test]
fn who_is_synchronous_stays_while_it_can() {
    let decision = leader("b")
        .sync("a", &["b"])
        .live(|live| live.replication[0].flush = Some(Lsn::new(END - 8)))
        .decide();
    assert_eq!(steps(&decision), Vec::<String>::new());
}

#[test]
fn nosync_is_taken_out_and_never_taken_in() {
    let tagged = |tag: &'static str| {
        leader("b")
            .sync("a", &["b"])
            .other_doc("b", move |b| {
                b.tags.insert(tag.into(), true.into());
            })
            .decide()
    };
    for tag in ["nosync", "nostream"] {
        assert_eq!(steps(&tagged(tag)), [sync("null")], "S34: {tag}");
    }
}

#[test]
fn preference_goes_by_nofailover_then_priority_then_position() {
    let first = |change: fn(World) -> World| {
        let none = leader("").live(|live| live.replication[0].sync_state = "async".into());
        let mut world = change(none.sync("a", &[]));
        steps(&world.turn())
    };
    let tag = |world: World, of: &str, tag: &str, value: i64| {
        world.other_doc(of, |doc| {
            doc.tags.insert(tag.into(), value.into());
        })
    };
    assert_eq!(first(|world| world), [r#"set Some("b")"#]);
    assert_eq!(
        first(|world| world.live(|live| live.replication[1].flush = Some(Lsn::new(END + 8)))),
        [r#"set Some("c")"#]
    );
    let mut preferred = tag(leader("").sync("a", &[]), "c", "sync_priority", 2);
    assert_eq!(steps(&preferred.turn()), [r#"set Some("c")"#]);
    let mut barred = tag(leader("").sync("a", &[]), "b", "failover_priority", 0);
    assert_eq!(steps(&barred.turn()), [r#"set Some("c")"#]);
}

#[test]
fn as_many_as_are_wanted_are_waited_for() {
    let two = |world: World| world.spec(|spec| spec.synchronous_node_count = 2);
    let decision = two(leader("").sync("a", &[])).decide();
    assert_eq!(steps(&decision), [r#"set Some("2 (b,c)")"#]);
    let mut world = two(leader("2 (b,c)").sync("a", &["b"]))
        .live(|live| live.replication[1].sync_state = "sync".into());
    assert_eq!(steps(&world.turn()), [sync(r#""b,c""#)]);
}

#[test]
fn a_standby_too_far_behind_is_replaced() {
    let mut world = leader("b")
        .sync("a", &["b"])
        .spec(|spec| spec.maximum_lag_on_syncnode = Some(1 << 20))
        .live(|live| {
            let behind = Some(Lsn::new(END - (1 << 21)));
            let sender = &mut live.replication[0];
            (sender.write, sender.flush, sender.replay) = (behind, behind, behind);
        });
    assert_eq!(steps(&world.turn()), [sync("null")]);
}

#[test]
fn a_walsender_that_does_not_stream_is_no_standby() {
    let mut world = leader("").sync("a", &[]).live(|live| {
        live.replication[0].state = "catchup".into();
        live.replication.truncate(1);
    });
    assert_eq!(steps(&world.turn()), Vec::<String>::new());
}

#[test]
fn my_own_name_at_a_foreign_walsender_is_not_me() {
    let mut world = leader("").sync("a", &[]).live(|live| {
        live.replication = vec![WalSenderSeen {
            application_name: "a".into(),
            ..live.replication[0].clone()
        }];
    });
    assert_eq!(steps(&world.turn()), Vec::<String>::new(), "S17");
}

/// Commits have waited for `b` for so long, which takes nothing; the leader has written more.
fn silent(span: u64, change: fn(World) -> World) -> World {
    let mut world = change(leader("b").sync("a", &["b"]).live(|live| {
        live.flushed = Lsn::new(END + 800);
        live.replication[1].flush = Some(Lsn::new(END + 800));
    }));
    world.turn();
    world.later(secs(span)).lease(secs(25))
}

#[test]
fn whoever_is_silent_makes_room_for_another() {
    assert_eq!(steps(&silent(4, |world| world).decide()), [""; 0]);
    let mut world = silent(5, |world| world);
    assert_eq!(steps(&world.turn()), [sync("null")]);
    assert_eq!(steps(&world.sync("a", &[]).decide()), [r#"set Some("c")"#]);
    let wakes = silent(0, |world| world).decide().wake_at;
    assert_eq!(
        wakes,
        silent(5, |world| world).seen.now,
        "it is looked at in time"
    );
}

#[test]
fn whoever_takes_wal_slowly_is_not_silent() {
    let mut world = silent(4, |world| world);
    world.turn();
    let world = world.live(|live| live.replication[0].flush = Some(Lsn::new(END + 8)));
    assert_eq!(steps(&world.later(secs(2)).decide()), [""; 0]);
}

#[test]
fn commits_never_wait_for_fewer_because_one_is_silent() {
    let alone = |world: World| world.live(|live| live.replication.truncate(1));
    let two = |world: World| {
        world
            .spec(|spec| spec.synchronous_node_count = 2)
            .sync("a", &["b", "c"])
            .live(|live| {
                live.synchronous_standby_names = "2 (b,c)".into();
                live.replication[1].sync_state = "sync".into();
            })
    };
    let off = |world: World| world.spec(|spec| spec.silent_standby = None);
    for change in [alone, two, off] {
        assert_eq!(steps(&silent(60, change).decide()), [""; 0]);
    }
}

#[test]
fn strict_mode_with_nobody_left_goes_on_waiting() {
    let strict = |world: World| {
        world
            .spec(|spec| spec.synchronous_mode_strict = true)
            .live(|live| live.replication.clear())
    };
    let mut world = strict(leader("b").sync("a", &["b"]));
    assert_eq!(steps(&world.turn()), Vec::<String>::new());
    let mut world = strict(leader("").sync("a", &[]));
    let decision = world.turn();
    assert_eq!(
        steps(&decision),
        [r#"set Some("__patroni_strict_sync_replica_placeholder__")"#]
    );
    assert!(decision.says().contains("Commits will be delayed."));
}

#[test]
fn turned_off_the_key_goes_first_and_then_the_setting() {
    let mut world = leader("b")
        .sync("a", &["b"])
        .spec(|spec| spec.synchronous_mode = SyncMode::Off);
    let decision = world.turn();
    assert_eq!(steps(&decision), ["delete /sync"]);
    let mut world = world.view(|view| view.sync = None);
    let decision = world.turn();
    assert_eq!(steps(&decision), ["set None"]);
    let give = Action::Adjust(Adjustment::SetSynchronousStandbyNames(None));
    let mut world = world.effect(give, Outcome::Done);
    assert_eq!(steps(&world.turn()), Vec::<String>::new());
}

#[test]
fn turned_off_a_users_own_setting_is_left_alone() {
    let decision = leader("b")
        .spec(|spec| spec.synchronous_mode = SyncMode::Off)
        .decide();
    assert_eq!(steps(&decision), Vec::<String>::new());
}

#[test]
fn every_write_of_sync_is_conditional() {
    let decision = leader("b")
        .sync("a", &["b"])
        .live(|live| live.replication.clear())
        .decide();
    assert!(decision.does(&Action::WriteSync {
        doc: SyncDoc {
            leader: Some(name("a")),
            ..SyncDoc::default()
        },
        expected: Some(REVISION),
    }));
    let first = leader("").decide();
    assert!(first.any(|action| matches!(action, Action::WriteSync { expected: None, .. })));
}
