//! Nobody leads, and no operator has ordered anything: who takes the key.

use pgherd_domain::{
    Action, ControlState, Lsn, PeerSeen, PgRole, Reason, StopMode, TimelineId, Veto, Work,
};

use super::build::{END, NOW, World, member, millis, name, secs};

/// `b`, a replica at the end of the WAL, with a dead leader `a` and a replica `c`; nobody was asked yet.
fn bereaved() -> World {
    member("b")
        .replica(1, END)
        .other("c", PgRole::Replica, 1)
        .optime(END)
}

fn refuses(world: World, veto: &Veto) {
    let decision = world.decide();
    assert!(
        !decision.does(&Action::AcquireLeader),
        "{}",
        decision.says()
    );
    assert!(
        decision.because.contains(&Reason::NotRacing(veto.clone())),
        "{}",
        decision.says()
    );
    assert_eq!(decision.verdict, std::slice::from_ref(veto));
}

fn takes_the_key(world: World) {
    let decision = world.decide();
    assert!(decision.does(&Action::AcquireLeader), "{}", decision.says());
    assert_eq!(decision.line(), "trying to acquire the leader key");
}

#[test]
fn a_candidate_asks_the_others_first_and_waits_for_them() {
    let mut world = bereaved();
    let decision = world.turn();
    assert_eq!(decision.asks(), ["c"]);
    assert_eq!(decision.verdict, [Veto::AskingPeers]);
    let asked = world.seen.now;
    world
        .seen
        .peers
        .insert(name("c"), PeerSeen::Asking { since: asked });
    let decision = world.turn();
    assert_eq!(decision.effects(), [], "asks once");
    assert_eq!(decision.asks(), Vec::<String>::new());
}

#[test]
fn the_most_advanced_takes_the_key() {
    takes_the_key(bereaved().answered("c", |c| c.position = Lsn::new(END - 8)));
}

#[test]
fn nobody_begins_to_lead_without_a_fence() {
    let unfenced = |world: World| world.seen(|seen| seen.unfenced = Some("gone".into()));
    let veto = Veto::NoFence { why: "gone".into() };
    refuses(unfenced(bereaved().answered("c", |_| ())), &veto);
    // The key came all the same: by a hand-over, or the fence ended after the race.
    let release = Action::ReleaseLeader { optime: None };
    let decision = unfenced(member("b").replica(1, END).leader("b")).decide();
    assert_eq!(decision.effects(), std::slice::from_ref(&release));
    assert!(decision.because.contains(&Reason::NotRacing(veto)));
    // It crashed under the key: somebody else is to take over.
    let crashed = member("a").primary(1).leader("a");
    let crashed = crashed.stopped(ControlState::InProduction, 1);
    assert_eq!(unfenced(crashed).decide().effects(), [release]);
    // Whoever serves goes on, and takes a key that was wiped.
    let serves = unfenced(member("a").primary(1).leader("a")).decide();
    assert_eq!(
        serves.line(),
        "no action. I am (a), the leader with the lock"
    );
    takes_the_key(unfenced(member("a").primary(1)));
    let nothing = member("a").view(|view| view.initialize = None);
    let decision = unfenced(nothing).decide();
    assert!(!decision.does(&Action::TakeInitialize));
    assert_eq!(decision.line(), "waiting for leader to bootstrap");
}

#[test]
fn equals_may_race() {
    takes_the_key(bereaved().answered("c", |_| ()));
}

#[test]
fn a_peer_that_does_not_answer_does_not_hold_the_race_up() {
    takes_the_key(bereaved().unreachable("c"));
}

#[test]
fn an_answer_from_before_the_leader_was_gone_does_not_count() {
    let world = bereaved().answered("c", |_| ()).later(millis(1));
    let decision = world.decide();
    assert_eq!(decision.verdict, [Veto::AskingPeers]);
}

#[test]
fn a_peer_that_is_ahead_comes_first() {
    refuses(
        bereaved().answered("c", |c| c.position = Lsn::new(END + 24)),
        &Veto::PeerAhead {
            peer: name("c"),
            by: 24,
        },
    );
}

#[test]
fn who_is_behind_asks_again_after_two_seconds_and_not_before() {
    let mut world = bereaved().answered("c", |c| c.position = Lsn::new(END + 24));
    let decision = world.turn();
    assert_eq!(decision.wake_at, world.seen.now.plus(secs(2)));
    let mut world = world.later(secs(2));
    world.turn();
    assert_eq!(world.turn().asks(), ["c"]);
}

#[test]
fn a_barred_peer_that_is_ahead_does_not_count() {
    for bar in [
        |c: &mut pgherd_domain::PeerStatus| c.nofailover = true,
        |c: &mut pgherd_domain::PeerStatus| c.watchdog_failed = true,
    ] {
        takes_the_key(bereaved().answered("c", |c| {
            c.position = Lsn::new(END + 24);
            bar(c);
        }));
    }
}

#[test]
fn a_peer_with_higher_priority_comes_first_when_both_have_the_same() {
    let preferred = |c: &mut pgherd_domain::PeerStatus| c.failover_priority = 2;
    refuses(
        bereaved().answered("c", preferred),
        &Veto::PeerPreferred {
            peer: name("c"),
            priority: 2,
            mine: 1,
        },
    );
    takes_the_key(bereaved().answered("c", |c| {
        preferred(c);
        c.position = Lsn::new(END - 8);
    }));
}

#[test]
fn the_priority_of_the_former_leader_does_not_count() {
    takes_the_key(
        bereaved()
            .memory(|memory| memory.last_leader = Some(name("c")))
            .answered("c", |c| c.failover_priority = 2),
    );
}

#[test]
fn a_primary_that_is_alive_stops_the_race() {
    refuses(
        bereaved().answered("c", |c| {
            c.is_primary = true;
            c.nofailover = true;
        }),
        &Veto::PrimaryAlive { peer: name("c") },
    );
}

#[test]
fn a_replica_on_an_older_timeline_than_a_peer_is_never_promoted() {
    refuses(
        bereaved().answered("c", |c| {
            c.timeline = Some(TimelineId(2));
            c.position = Lsn::new(END - 8);
        }),
        &Veto::OldTimeline {
            has: TimelineId(1),
            wants: TimelineId(2),
        },
    );
}

#[test]
fn a_peer_on_an_older_timeline_is_not_ahead() {
    let world = member("b")
        .replica(2, END)
        .optime(END)
        .other("c", PgRole::Replica, 1)
        .answered("c", |c| c.position = Lsn::new(END + 800));
    takes_the_key(world);
}

#[test]
fn a_replica_too_far_behind_the_last_known_position_may_not_race() {
    let lag = (1 << 20) + 1;
    refuses(
        bereaved().optime(END + lag),
        &Veto::Lagging {
            lag,
            limit: 1 << 20,
        },
    );
    takes_the_key(bereaved().optime(END + (1 << 20)).unreachable("c"));
}

#[test]
fn a_vetoed_replica_sleeps_until_something_happens() {
    let mut world = bereaved()
        .optime(END + (1 << 30))
        .answered("c", |_| ())
        .later(secs(60));
    for _ in 0..3 {
        let decision = world.turn();
        assert_eq!(decision.wake_at, world.seen.now.plus(secs(10)));
    }
}

#[test]
fn nofailover_never_races() {
    let world = bereaved().tags(r#"{"nofailover": true}"#).unreachable("c");
    let decision = world.clone().decide();
    assert_eq!(
        decision.line(),
        "following a different leader because I am not allowed to promote"
    );
    refuses(world, &Veto::TaggedNoFailover);
}

#[test]
fn wal_beyond_the_fork_of_an_older_timeline_is_not_the_clusters() {
    let veto = Veto::OldTimeline {
        has: TimelineId(1),
        wants: TimelineId(2),
    };
    let alone = || member("b").replica(1, END).optime(END);
    refuses(alone().past(&[(1, END - 8)]), &veto);
    takes_the_key(alone().past(&[(1, END)]));
    refuses(
        alone()
            .past(&[(1, END)])
            .spec(|spec| spec.check_timeline = true),
        &veto,
    );
}

#[test]
fn a_replica_without_known_position_may_not_race() {
    refuses(member("b").replica(1, 0), &Veto::UnknownPosition);
}

#[test]
fn a_replica_that_does_not_answer_may_not_race() {
    refuses(bereaved().mute(), &Veto::NotAnswering);
}

#[test]
fn in_synchronous_mode_only_who_is_in_sync_races() {
    let world = || bereaved().unreachable("c");
    refuses(
        world().sync("a", &["c"]),
        &Veto::NotSynchronous {
            sync: "a, c".into(),
        },
    );
    takes_the_key(world().sync("a", &["B"]));
    takes_the_key(world().sync("b", &["c"]));
}

#[test]
fn in_synchronous_mode_only_who_is_in_sync_is_asked() {
    let mut world = bereaved()
        .other("d", PgRole::Replica, 1)
        .sync("a", &["b", "c"]);
    assert_eq!(world.turn().asks(), ["c"]);
}

#[test]
fn a_name_in_sync_is_proof_enough_of_the_timeline() {
    takes_the_key(
        member("b")
            .replica(1, END)
            .optime(END)
            .past(&[(1, END - 8)])
            .sync("a", &["b"]),
    );
}

#[test]
fn the_former_leader_in_sync_may_be_ahead() {
    takes_the_key(
        bereaved()
            .other("a", PgRole::Replica, 1)
            .sync("a", &["b"])
            .answered("a", |a| {
                a.position = Lsn::new(END + 800);
                a.timeline = Some(TimelineId(2));
            }),
    );
}

#[test]
fn a_voter_of_a_quorum_needs_the_votes_of_others() {
    let world = |c: u64| {
        bereaved()
            .sync("a", &["b", "c"])
            .view(|view| view.sync.as_mut().unwrap().value.quorum = 1)
            .answered("c", |peer| peer.position = Lsn::new(c))
    };
    takes_the_key(world(END));
    takes_the_key(world(END - 8));
    refuses(
        world(END).unreachable("c"),
        &Veto::TooFewVotes {
            votes: 0,
            needed: 1,
        },
    );
}

/// `b` after the loss of `a`; in `/sync` are these, and so many votes are needed.
fn in_quorum_mode(standbys: &[&str], quorum: u64) -> World {
    bereaved()
        .sync("a", standbys)
        .spec(|spec| spec.synchronous_mode = pgherd_domain::SyncMode::Quorum)
        .view(move |view| view.sync.as_mut().unwrap().value.quorum = quorum)
}

#[test]
fn who_does_not_vote_needs_one_vote_more() {
    let world = |quorum| in_quorum_mode(&["c"], quorum).answered("c", |_| {});
    takes_the_key(world(0));
    refuses(
        world(1),
        &Veto::TooFewVotes {
            votes: 1,
            needed: 2,
        },
    );
    refuses(
        world(0).unreachable("c"),
        &Veto::TooFewVotes {
            votes: 0,
            needed: 1,
        },
    );
}

#[test]
fn the_former_leader_votes_too() {
    let world = |position: u64| {
        in_quorum_mode(&["b", "c"], 1)
            .unreachable("c")
            .other("a", PgRole::Replica, 1)
            .answered("a", move |a| a.position = Lsn::new(position))
    };
    takes_the_key(world(END));
    refuses(
        world(END + 8),
        &Veto::TooFewVotes {
            votes: 0,
            needed: 1,
        },
    );
}

#[test]
fn a_name_among_voters_proves_no_timeline() {
    let refused = in_quorum_mode(&["b", "c"], 1).past(&[(1, END - 8)]);
    let mut world = refused;
    assert!(
        world
            .turn()
            .verdict
            .iter()
            .any(|veto| matches!(veto, Veto::OldTimeline { .. }))
    );
}

#[test]
fn who_gave_the_key_up_sits_the_next_race_out() {
    let mut world = bereaved().unreachable("c").effect(
        Action::ReleaseLeader { optime: None },
        pgherd_domain::Outcome::Done,
    );
    assert_eq!(world.turn().verdict, [Veto::SteppingDown]);
    let mut world = world.later(secs(10)).unreachable("c");
    world.turn();
    takes_the_key(world.unreachable("c"));
}

#[test]
fn primary_race_backoff_waits_while_wal_arrives_and_no_longer_than_it_says() {
    let mut world = member("b")
        .replica(1, END)
        .streams_from("a")
        .spec(|spec| spec.primary_race_backoff = secs(25));
    assert_eq!(world.turn().verdict, [Veto::StillReceiving]);
    let mut world = world
        .later(secs(16))
        .live(|live| live.received = Lsn::new(END + 8));
    assert_eq!(world.turn().verdict, [Veto::StillReceiving], "it moved");
    let mut still = world.clone().later(secs(1));
    assert!(still.turn().does(&Action::AcquireLeader), "it stands still");
    let world = world
        .later(secs(9))
        .live(|live| live.received = Lsn::new(END + 16));
    takes_the_key(world);
}

#[test]
fn a_cluster_without_identity_has_no_race() {
    let decision = bereaved().view(|view| view.initialize = None).decide();
    assert_eq!(decision.effects(), []);
    assert_eq!(decision.line(), "waiting for leader to bootstrap");
}

#[test]
fn a_running_primary_takes_the_key_whatever_its_tags_and_priorities() {
    takes_the_key(
        member("b")
            .primary(1)
            .tags(r#"{"nofailover": true}"#)
            .other("c", PgRole::Replica, 1)
            .answered("c", |c| {
                c.failover_priority = 9;
            }),
    );
}

#[test]
fn a_running_primary_on_an_old_timeline_is_stopped() {
    let stopped = |world: World| {
        let decision = world.decide();
        assert!(
            matches!(
                decision.begins(),
                Some(Work::Stop {
                    mode: StopMode::Immediate,
                    ..
                })
            ),
            "{}",
            decision.says()
        );
        assert_eq!(
            decision.line(),
            "demoting self because i am not the healthiest node"
        );
    };
    stopped(member("b").primary(1).past(&[(1, END)]));
    stopped(
        member("b")
            .primary(1)
            .other("c", PgRole::Replica, 2)
            .answered("c", |c| c.timeline = Some(TimelineId(2))),
    );
}

#[test]
fn a_running_primary_that_sync_does_not_name_is_stopped() {
    let decision = member("b").primary(1).sync("a", &["c"]).decide();
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
}

#[test]
fn a_primary_without_lease_that_does_not_answer_is_stopped_after_a_grace() {
    let mut world = member("b").primary(1).mute();
    assert_eq!(world.turn().begins(), None, "once is no proof");
    let decision = world.later(millis(7_500)).decide();
    assert!(matches!(decision.begins(), Some(Work::Stop { .. })));
}

#[test]
fn an_attempt_that_did_not_come_through_is_made_with_fresh_answers() {
    let mut world = bereaved().answered("c", |_| ());
    assert!(world.turn().does(&Action::AcquireLeader));
    let mut world = world.later(millis(1)).effect(
        Action::AcquireLeader,
        pgherd_domain::Outcome::Unknown("timed out".into()),
    );
    assert_eq!(world.turn().asks(), ["c"]);
}

#[test]
fn the_next_race_asks_anew() {
    let mut world = bereaved();
    world.turn();
    let mut world = world.leader("a").other("a", PgRole::Primary, 1);
    world.turn();
    let mut world = world.view(|view| view.leader = None).later(secs(5));
    world.turn();
    let asked = NOW.plus(secs(1));
    let status = super::build::answer();
    world
        .seen
        .peers
        .insert(name("c"), PeerSeen::Answered { asked, status });
    assert_eq!(world.turn().verdict, [Veto::AskingPeers]);
}
