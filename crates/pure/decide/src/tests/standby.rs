//! A standby cluster (contract §14): who leads it, whom it follows, how it begins and how it ends.

use pgherd_domain::{
    Action, Adjustment, ControlState, Lsn, Outcome, PgRole, Question, RemoteCluster, StartAs,
    StopMode, TimelineId, Upstream, Versioned, Work,
};
use serde_json::{Value, json};

use super::build::{END, REVISION, World, member, name, secs};
use crate::Decision;
use crate::memory::{Bootstrap, Divergence};

fn remote() -> Upstream {
    Upstream {
        name: None,
        host: "far1,far2".into(),
        port: 5432,
        more_ports: Vec::new(),
        slot: None,
    }
}

fn follows_far(world: World) -> World {
    world.spec(|spec| {
        spec.standby = Some(RemoteCluster {
            upstream: Some(remote()),
        });
    })
}

/// `a` holds the key of a standby cluster.
fn leader() -> World {
    follows_far(
        member("a")
            .replica(1, END)
            .leader("a")
            .other("b", PgRole::Replica, 1),
    )
}

/// The far cluster told its timeline and history.
fn told(
    mut world: World,
    timeline: u32,
    switches: &[(u32, u64)],
    system_id: Option<&str>,
) -> World {
    world = world.told("far1,far2", timeline, switches);
    if let Some((of, Ok(told))) = &mut world.seen.upstream {
        *of = remote();
        if let Some(system_id) = system_id {
            told.system_id = system_id.into();
        }
    }
    world
}

fn stops(decision: &Decision) -> bool {
    matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Fast,
            ..
        })
    )
}

#[test]
fn who_wins_the_key_follows_the_other_cluster_and_is_not_promoted() {
    let decision = leader()
        .effect(Action::AcquireLeader, Outcome::Done)
        .decide();
    let upstream = Some(remote());
    assert!(decision.does(&Action::Adjust(Adjustment::Follow { upstream })));
    assert_eq!(decision.begins(), None);
    assert_eq!(decision.role, PgRole::StandbyLeader);
    assert_eq!(
        decision.line(),
        "promoted self to a standby leader by acquiring session lock"
    );
    assert_eq!(
        leader().decide().line(),
        "no action. I am (a), the standby leader with the lock"
    );
}

#[test]
fn sync_is_dropped_only_when_the_other_cluster_is_streamed_from() {
    let drops = |decision: &Decision| decision.any(|it| matches!(it, Action::DeleteSync { .. }));
    assert!(!drops(&leader().sync("a", &["b"]).decide()));
    let streams = leader().sync("a", &["b"]).streams_from("far2");
    assert!(drops(&streams.decide()));
}

#[test]
fn a_primary_asks_whom_it_is_to_follow_and_steps_down_keeping_the_key() {
    let primary = || follows_far(member("a").primary(1).leader("a"));
    let asks = primary().decide();
    assert!(asks.does(&Action::Ask(Question::History(remote()))) && !stops(&asks));
    let decision = told(primary(), 1, &[], None).decide();
    assert!(stops(&decision) && !decision.any(|it| matches!(it, Action::ReleaseLeader { .. })));
    let foreign = told(primary(), 1, &[], Some("7999999999999999999")).decide();
    assert!(!stops(&foreign), "{foreign:?}");
    assert!(
        foreign.says().contains("another system identifier"),
        "{}",
        foreign.says()
    );
    // Nobody answers: two primaries must not go on for that.
    let mut mute = primary();
    mute.turn();
    assert!(stops(&mute.later(secs(6)).decide()));
}

#[test]
fn of_several_hosts_each_has_its_own_port() {
    let world = leader().spec(|spec| {
        let upstream = Some(Upstream::elsewhere("far1,far2", "5432,5433", None));
        spec.standby = Some(RemoteCluster { upstream });
    });
    let streams = |host: &str, port: u16| {
        let mut world = world.clone().streams_from(host).live(|live| {
            live.configured_upstream = Some(("far1,far2".into(), 5432));
            live.receiver.as_mut().unwrap().port = Some(port);
        });
        world.memory.section.clone_from(&world.spec.standby);
        world.memory.last_upstream = world.spec.standby.clone().and_then(|it| it.upstream);
        world.turn();
        world.memory.not_streaming_since.is_none()
    };
    assert!(streams("far2", 5433) && streams("far1", 5432));
    assert!(!streams("far2", 5432), "that is somebody else");
}

#[test]
fn in_pause_no_primary_steps_down_for_a_section() {
    let paused = follows_far(member("a").primary(1).leader("a")).spec(|spec| spec.pause = true);
    assert!(!stops(&told(paused, 1, &[], None).decide()));
}

#[test]
fn a_section_that_names_a_member_moves_nobody_and_is_told() {
    let itself = |world: World| {
        world.other("b", PgRole::Replica, 1).spec(|spec| {
            spec.standby = Some(RemoteCluster {
                upstream: Some(Upstream {
                    host: "b".into(),
                    ..remote()
                }),
            });
        })
    };
    let primary = itself(member("a").primary(1).leader("a")).decide();
    assert!(!stops(&primary) && primary.role == PgRole::Primary);
    assert!(
        primary.says().contains("points to this cluster itself"),
        "{}",
        primary.says()
    );
    let crashed = itself(
        member("a")
            .stopped(ControlState::InProduction, 1)
            .leader("a"),
    )
    .decide();
    let start = crashed.begins();
    assert!(
        matches!(
            start,
            Some(Work::Start {
                start_as: StartAs::Primary { .. },
                ..
            })
        ),
        "{start:?}"
    );
}

#[test]
fn the_demoted_server_follows_without_a_copy_or_is_wound_back_to_the_other_cluster() {
    let demoted = || follows_far(member("a").stopped(ControlState::ShutDown, 1).leader("a"));
    // The other region is not promoted yet.
    let mut waiting = told(demoted(), 1, &[], None);
    if let Some((_, Ok(told))) = &mut waiting.seen.upstream {
        told.in_recovery = true;
    }
    let fits = waiting.decide();
    let upstream = Some(remote());
    let start_as = StartAs::Replica { upstream };
    assert_eq!(
        fits.begins(),
        Some(&Work::Start {
            start_as,
            timeout: secs(60)
        })
    );
    let line = "starting as a standby leader because i had the session lock";
    assert!(fits.says().contains(line), "{}", fits.says());
    let diverged = told(demoted(), 2, &[(1, 0x1000)], None).decide();
    assert_eq!(diverged.begins(), Some(&Work::Rewind { source: remote() }));
}

#[test]
fn a_standby_leader_that_needs_a_copy_gives_way_to_a_member_nearby_once() {
    let gives = |decision: &Decision| decision.any(|it| matches!(it, Action::ReleaseLeader { .. }));
    let copies = Work::Clone {
        source: remote(),
        basebackup_only: false,
    };
    let stopped = member("a").stopped(ControlState::ShutDownInRecovery, 1);
    let mut world =
        follows_far(stopped.leader("a").other("b", PgRole::Replica, 1)).memory(|memory| {
            memory.section = Some(RemoteCluster {
                upstream: Some(remote()),
            });
            memory.last_leader = Some(name("a"));
            memory.divergence = Divergence::Hopeless;
        });
    let decision = world.turn();
    assert!(gives(&decision) && decision.begins().is_none());
    let decision = world.turn();
    assert!(
        !gives(&decision),
        "all of them would give the key to each other for ever"
    );
    assert_eq!(decision.begins(), Some(&copies));

    // Where the other cluster has no more WAL for anybody here, there is nobody to give way to.
    let oldest = Lsn::new(END + 800);
    let why = "it needs WAL".to_owned();
    let behind = world.memory(|memory| {
        memory.gave_way = false;
        memory.divergence = Divergence::Behind {
            leader: None,
            oldest,
            why,
        };
    });
    let alone = behind.clone().decide();
    assert!(!gives(&alone) && alone.begins() == Some(&copies));
    let further = behind.other_doc("b", |b| b.xlog_location = Some(oldest));
    assert!(gives(&further.decide()));
}

#[test]
fn an_empty_member_copies_the_other_cluster_and_founds_with_a_replica() {
    let mut making = follows_far(member("a")).memory(|memory| memory.bootstrap = Bootstrap::Mine);
    let source = remote();
    let basebackup_only = false;
    let clone = Work::Clone {
        source,
        basebackup_only,
    };
    assert_eq!(making.turn().begins(), Some(&clone));
    let copied = making
        .ended(clone, Ok(()))
        .stopped(ControlState::InProduction, 1);
    let copied = copied.seen(|seen| seen.postgres.standby_signal = true);
    let start = copied.decide();
    assert!(
        matches!(start.begins(), Some(Work::Start { start_as: StartAs::Replica { upstream: Some(from) }, .. }) if *from == remote()),
        "{start:?}"
    );
}

#[test]
fn a_switchover_hands_the_key_over_without_a_stop() {
    let decision = leader()
        .order(Some("a"), Some("b"))
        .answered("b", |_| {})
        .decide();
    let to = name("b");
    assert!(
        decision.does(&Action::HandOver { to, optime: None }),
        "{decision:?}"
    );
    assert_eq!(decision.begins(), None);
}

/// How many timeline numbers the promotion leaves out.
fn skips(decision: &Decision) -> u32 {
    match decision.begins() {
        Some(Work::Promote { skip_timelines, .. }) => *skip_timelines,
        other => panic!("no promotion but {other:?}"),
    }
}

/// `a` holds the key and is a replica on timeline 3, in a cluster that follows no other.
fn promoted(followed_on: Option<u32>) -> World {
    member("a")
        .replica(3, END)
        .leader("a")
        .memory(|memory| memory.followed_on = followed_on.map(TimelineId))
}

/// What `pgherd dr` wrote last.
fn ordered(world: World, entry: &Value) -> World {
    world.view(|view| {
        view.dr = Some(Versioned {
            value: json!([entry]),
            revision: REVISION,
        });
    })
}

#[test]
fn a_region_that_takes_over_leaves_numbers_to_the_other_which_may_be_promoted_too() {
    let mut world = leader();
    world.turn();
    let world = world.spec(|spec| spec.standby = None);
    assert_eq!(skips(&world.decide()), 15, "promote-cluster");
    assert_eq!(skips(&promoted(None).decide()), 0, "no region");
    assert_eq!(skips(&promoted(Some(2)).decide()), 0, "it took over before");

    let failover = |timeline: &Value, state| json!({"what": "failover", "promoted with": timeline, "state": state});
    let skipped =
        |followed_on, entry: Value| skips(&ordered(promoted(followed_on), &entry).decide());
    let at = |timeline| json!({"timeline": timeline, "lsn": "0/5000000"});
    assert_eq!(
        skipped(None, failover(&at(3), "begun")),
        15,
        "its agent is new"
    );
    assert_eq!(
        skipped(None, failover(&at(2), "begun")),
        0,
        "it took over before"
    );
    assert_eq!(skipped(None, failover(&json!("unknown"), "begun")), 15);
    assert_eq!(skipped(None, failover(&json!("unknown"), "done")), 0);
}

#[test]
fn a_guarded_switchover_leaves_no_numbers_out() {
    let entry = |timeline| json!({"what": "switchover", "state": "promoting", "last record": {"timeline": timeline}});
    assert_eq!(skips(&ordered(promoted(Some(3)), &entry(3)).decide()), 0);
    // One that nobody saw through to its record, long ago: then the other region gave nothing up.
    let old = ordered(promoted(Some(3)), &entry(2)).decide();
    assert_eq!(skips(&old), 15);
}
