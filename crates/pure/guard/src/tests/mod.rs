//! Each rule: what breaks it is held back, what keeps it passes.

mod world;

use pgherd_domain::documents::{FailoverDoc, StatusDoc};
use pgherd_domain::{
    Action, Adjustment, ControlState, DataDirectory, Fact, Lsn, NOBODY, PeerSeen, PeerStatus,
    PgRole, Promise, Standing, StartAs, StopMode, SyncMode, Upstream, Versioned, WatchdogMode,
    WatchdogSeen, Work,
};

use self::world::{NOW, World, leader, name, secs, sync_doc, unknown, upstream};
use crate::check;

const NOTHING: [&str; 0] = [];

fn promote(seconds: u64) -> Action {
    Action::Begin(Work::promote(NOW.plus(secs(seconds))))
}

fn start(start_as: StartAs) -> Action {
    Action::Begin(Work::Start {
        start_as,
        timeout: secs(60),
    })
}

/// A primary for so many seconds.
fn primary(seconds: u64) -> StartAs {
    StartAs::Primary {
        valid_until: Some(NOW.plus(secs(seconds))),
    }
}

fn restart_primary() -> Action {
    Action::Begin(Work::Restart {
        start_as: primary(25),
        timeout: secs(60),
    })
}

const fn stop() -> Action {
    Action::Begin(Work::Stop {
        mode: StopMode::Immediate,
        escalate_at: None,
    })
}

fn copy(of: &str) -> Action {
    let source = upstream(of);
    Action::Begin(Work::Clone {
        source,
        basebackup_only: false,
    })
}

fn rewind(of: &str) -> Action {
    let source = upstream(of);
    Action::Begin(Work::Rewind { source })
}

fn standby_names(names: Option<&str>) -> Action {
    let names = names.map(str::to_owned);
    Action::Adjust(Adjustment::SetSynchronousStandbyNames(names))
}

#[test]
fn g01_one_work_at_a_time() {
    let busy = leader().seen(|seen| {
        seen.work.running = Some((Work::Checkpoint, NOW, None));
    });
    assert_eq!(busy.breaks(start(primary(25))), ["G-01"]);
    let called_off = vec![Action::CancelWork, start(primary(25))];
    assert_eq!(check(&busy.spec, &busy.seen, called_off).1, []);
    let twice = vec![start(primary(25)), Action::Begin(Work::Checkpoint)];
    let idle = leader();
    assert_eq!(check(&idle.spec, &idle.seen, twice).1[0].rule, "G-01");
}

#[test]
fn g17_whoever_promised_does_not_lead() {
    let bound = |seconds: u64| {
        leader().seen(|seen| {
            seen.failsafe.promised = Some(Promise {
                to: name("b"),
                until: NOW.plus(secs(seconds)),
            });
        })
    };
    for action in [promote(25), start(primary(25)), restart_primary()] {
        assert_eq!(bound(1).breaks(action), ["G-17"]);
    }
    let leaderless = bound(1).view(|view| view.leader = None);
    assert_eq!(leaderless.breaks(Action::AcquireLeader), ["G-17"]);
    let replica = StartAs::Replica { upstream: None };
    assert_eq!(bound(1).breaks(start(replica)), NOTHING);
    assert_eq!(bound(1).breaks(stop()), NOTHING);
    assert_eq!(bound(0).breaks(promote(25)), NOTHING, "it has ended");
    assert_eq!(leaderless.paused().breaks(Action::AcquireLeader), NOTHING);
}

#[test]
fn g18_nobody_begins_to_lead_without_a_fence() {
    let stopped = || leader().seen(|seen| seen.unfenced = Some("gone".into()));
    let bootstrap = || Action::Begin(Work::Bootstrap);
    for action in [promote(25), start(primary(25)), bootstrap()] {
        assert_eq!(stopped().breaks(action), ["G-18"]);
    }
    let leaderless = stopped().view(|view| view.leader = None);
    assert_eq!(leaderless.breaks(Action::AcquireLeader), ["G-18"]);
    let replica = StartAs::Replica { upstream: None };
    assert_eq!(stopped().breaks(start(replica)), NOTHING);
    assert_eq!(stopped().breaks(stop()), NOTHING);
    let primary = stopped().running(false, "");
    assert_eq!(primary.breaks(restart_primary()), NOTHING, "it goes on");
    assert_eq!(primary.breaks(Action::AcquireLeader), NOTHING);
    let paused = leaderless.paused();
    assert_eq!(paused.breaks(Action::AcquireLeader), NOTHING);
}

#[test]
fn g19_a_required_watchdog_counts_before_there_is_a_primary() {
    let with = |mode, watchdog: &WatchdogSeen| {
        let mut world = leader().seen(|seen| seen.watchdog = watchdog.clone());
        world.spec.watchdog = mode;
        world
    };
    let counting = WatchdogSeen::Counting {
        resets_at: NOW,
        timeout: std::time::Duration::from_secs(25),
    };
    let broken = WatchdogSeen::Unusable { why: "gone".into() };
    for seen in [&WatchdogSeen::Ready, &WatchdogSeen::Off, &broken] {
        for action in [promote(25), start(primary(25))] {
            let required = with(WatchdogMode::Required, seen);
            assert_eq!(required.breaks(action.clone()), ["G-19"], "{seen:?}");
            assert_eq!(with(WatchdogMode::Automatic, seen).breaks(action), NOTHING);
        }
    }
    let counts = with(WatchdogMode::Required, &counting);
    assert_eq!(counts.breaks(promote(25)), NOTHING);
    let take = |seen| with(WatchdogMode::Required, seen).view(|view| view.leader = None);
    assert_eq!(take(&broken).breaks(Action::AcquireLeader), ["G-19"]);
    assert_eq!(
        take(&WatchdogSeen::Ready).breaks(Action::AcquireLeader),
        NOTHING
    );
    assert_eq!(
        take(&broken).paused().breaks(Action::AcquireLeader),
        NOTHING
    );
    let serves = with(WatchdogMode::Required, &broken).running(false, "");
    assert_eq!(serves.breaks(Action::AcquireLeader), NOTHING);
    assert_eq!(serves.breaks(stop()), NOTHING);
}

#[test]
fn stopping_is_never_held_back() {
    let world = leader().seen(|seen| {
        seen.work.running = Some((Work::Bootstrap, NOW, None));
    });
    assert_eq!(world.breaks(stop()), NOTHING);
    let after_another = vec![restart_primary(), stop()];
    let world = leader().without_lease();
    let (passed, notes) = check(&world.spec, &world.seen, after_another);
    assert_eq!(passed, [stop()]);
    assert_eq!(notes.len(), 1);
}

#[test]
fn g02_a_promotion_needs_the_lease_and_no_longer_than_it_lasts() {
    assert_eq!(leader().breaks(promote(25)), NOTHING);
    assert_eq!(leader().breaks(promote(26)), ["G-02"]);
    assert_eq!(leader().without_lease().breaks(promote(25)), ["G-02"]);
    let over = leader().seen(|seen| seen.lease.good_until = Some(NOW));
    assert_eq!(over.breaks(promote(0)), ["G-02"]);
    assert_eq!(leader().led_by("b").breaks(promote(25)), ["G-02"]);
}

#[test]
fn g03_a_start_as_a_primary_needs_the_lease() {
    assert_eq!(leader().breaks(start(primary(25))), NOTHING);
    assert_eq!(
        leader().without_lease().breaks(start(primary(25))),
        ["G-03"]
    );
    assert_eq!(leader().led_by("b").breaks(start(primary(25))), ["G-03"]);
    let silent = leader().seen(|seen| seen.dcs = unknown());
    assert_eq!(silent.breaks(start(primary(25))), NOTHING);
    let longer = [primary(26), StartAs::Primary { valid_until: None }];
    for start_as in longer {
        assert_eq!(leader().breaks(start(start_as)), ["G-03"]);
    }
    let replica = StartAs::Replica { upstream: None };
    assert_eq!(leader().without_lease().breaks(start(replica)), NOTHING);
    assert_eq!(leader().without_lease().breaks(restart_primary()), ["G-03"]);
    assert_eq!(
        leader().without_lease().paused().breaks(restart_primary()),
        NOTHING,
        "an operator may, in pause"
    );
}

#[test]
fn g04_the_directory_of_a_running_server_is_not_touched() {
    let running = || leader().led_by("b").running(true, "");
    for work in [copy("b"), rewind("b"), Action::Begin(Work::CrashRecovery)] {
        assert_eq!(running().breaks(work), ["G-04"]);
    }
}

#[test]
fn g22_a_primary_is_not_started_again_as_a_replica_for_a_slot_or_an_end_of_replay() {
    let end = || {
        Action::Begin(Work::StopBefore {
            time: None,
            upstream: None,
            timeout: std::time::Duration::from_secs(60),
        })
    };
    assert_eq!(leader().running(false, "").breaks(end()), ["G-22"]);
    assert_eq!(leader().running(true, "").breaks(end()), NOTHING);
}

#[test]
fn g05_a_bootstrap_needs_an_empty_directory() {
    assert_eq!(leader().breaks(Action::Begin(Work::Bootstrap)), ["G-05"]);
    let empty = leader().seen(|seen| seen.postgres.data = DataDirectory::Empty);
    assert_eq!(empty.breaks(Action::Begin(Work::Bootstrap)), NOTHING);
}

#[test]
fn g06_a_copy_needs_another_member_and_a_leader() {
    assert_eq!(leader().led_by("b").breaks(copy("b")), NOTHING);
    assert_eq!(leader().led_by("b").breaks(copy("a")), ["G-06"]);
    let leaderless = leader().view(|view| view.leader = None);
    assert_eq!(leaderless.breaks(copy("b")), ["G-06"]);
    let silent = leader().seen(|seen| seen.dcs = unknown());
    assert_eq!(silent.breaks(copy("b")), ["G-06"]);
}

#[test]
fn g07_a_rewind_needs_the_leader_of_now_with_its_checkpoint() {
    assert_eq!(leader().led_by("b").breaks(rewind("b")), NOTHING);
    assert_eq!(leader().led_by("c").breaks(rewind("b")), ["G-07"]);
    let pending = leader().led_by("b").view(|view| {
        if let Some(b) = view.members.get_mut(&name("b")) {
            b.role = Some(PgRole::Primary);
            b.checkpoint_pending = true;
        }
    });
    assert_eq!(pending.breaks(rewind("b")), ["G-07"]);
}

#[test]
fn g08_a_server_of_another_cluster_becomes_no_primary() {
    let other = || {
        leader().view(|view| {
            view.initialize = Some(Versioned {
                value: "7111111111111111111".into(),
                revision: 1,
            });
        })
    };
    assert_eq!(other().breaks(promote(25)), ["G-08"]);
    assert_eq!(other().breaks(start(primary(25))), ["G-08"]);
}

#[test]
fn g09_in_synchronous_mode_sync_names_me_before_a_promotion() {
    assert_eq!(leader().sync("b", &["a"]).breaks(promote(25)), ["G-09"]);
    assert_eq!(leader().sync("a", &[]).breaks(promote(25)), NOTHING);
}

#[test]
fn g09_sync_is_written_in_my_name_only() {
    let write = |of| Action::WriteSync {
        doc: sync_doc(of, &[]),
        expected: Some(1),
    };
    assert_eq!(leader().breaks(write("b")), ["G-09"]);
    assert_eq!(leader().breaks(write("a")), NOTHING);
}

#[test]
fn g20_who_is_not_named_does_not_take_sync_over() {
    let write = || Action::WriteSync {
        doc: sync_doc("a", &[]),
        expected: Some(1),
    };
    let replica = |sync: &[&str]| leader().running(true, "").sync("b", sync);
    assert_eq!(replica(&["a"]).breaks(write()), NOTHING);
    assert_eq!(replica(&["c"]).breaks(write()), ["G-20"]);
    let ordered = replica(&["c"]).view(|view| {
        let order = FailoverDoc {
            member: Some(name("a")),
            ..FailoverDoc::default()
        };
        view.failover = Some(Versioned {
            value: order,
            revision: 1,
        });
    });
    assert_eq!(ordered.breaks(write()), NOTHING);
}

#[test]
fn g10_the_leaders_keys_need_the_lease() {
    let status = || Action::WriteStatus(StatusDoc::default());
    assert_eq!(leader().breaks(status()), NOTHING);
    assert_eq!(leader().without_lease().breaks(status()), ["G-10"]);
}

#[test]
fn g11_the_key_is_handed_over_by_a_server_that_stopped_in_good_order() {
    let hand_over = |of| Action::HandOver {
        to: name(of),
        optime: None,
    };
    assert_eq!(leader().breaks(hand_over("b")), NOTHING);
    assert_eq!(leader().breaks(hand_over("a")), ["G-11"]);
    assert_eq!(leader().running(false, "").breaks(hand_over("b")), ["G-11"]);
    // It has written its last record, and its postmaster waits for a standby.
    let waits = || {
        let stop = Work::Stop {
            mode: StopMode::Fast,
            escalate_at: None,
        };
        let world = leader().running(false, "");
        world.seen(|seen| {
            seen.work.running = Some((stop, NOW, None));
            seen.postgres.accepting = false;
        })
    };
    assert_eq!(waits().breaks(hand_over("b")), NOTHING);
    let open = waits().seen(|seen| seen.postgres.accepting = true);
    assert_eq!(open.breaks(hand_over("b")), ["G-11"]);
    let never_was = waits().seen(|seen| seen.postgres.live = unknown());
    assert_eq!(never_was.breaks(hand_over("b")), ["G-11"]);
    let starts = waits().seen(|seen| seen.work.running = None);
    assert_eq!(starts.breaks(hand_over("b")), ["G-11"]);
    let crashed = leader().seen(|seen| {
        if let DataDirectory::Cluster(control) = &mut seen.postgres.data {
            control.state = ControlState::InProduction;
        }
    });
    assert_eq!(crashed.breaks(hand_over("b")), ["G-11"]);
}

#[test]
fn g12_a_key_that_was_lost_or_is_held_is_not_taken() {
    let lost = || {
        leader()
            .view(|view| view.leader = None)
            .running(false, "")
            .seen(|seen| seen.lease.standing = Standing::Lost)
    };
    assert_eq!(lost().breaks(Action::AcquireLeader), ["G-12"]);
    assert_eq!(lost().paused().breaks(Action::AcquireLeader), NOTHING);
    assert_eq!(leader().led_by("b").breaks(Action::AcquireLeader), ["G-12"]);
    assert_eq!(leader().breaks(Action::AcquireLeader), NOTHING);
}

#[test]
fn g13_an_identity_is_never_replaced_by_another() {
    let write = |system_id: &str| Action::WriteInitialize {
        system_id: system_id.into(),
        expected: Some(1),
    };
    assert_eq!(leader().breaks(write("7111111111111111111")), ["G-13"]);
    let garbage = leader().view(|view| view.initialize = None);
    assert_eq!(garbage.breaks(write("7111111111111111111")), NOTHING);
}

#[test]
fn g14_commits_wait_for_everybody_in_sync() {
    let world = || leader().running(false, "b").sync("a", &["b"]);
    for setting in [Some(""), Some("c"), Some("ANY 1 (b,c)"), None] {
        assert_eq!(world().breaks(standby_names(setting)), ["G-14"]);
    }
    for setting in [Some("b"), Some("2 (b,c)"), Some("\"B\"")] {
        assert_eq!(world().breaks(standby_names(setting)), NOTHING);
    }
    // Under these nobody acknowledges anything.
    for setting in [NOBODY.to_owned(), format!("ANY 3 (c,d,{NOBODY})")] {
        assert_eq!(world().breaks(standby_names(Some(&setting))), NOTHING);
    }
    let some = format!("ANY 2 (c,d,{NOBODY})");
    assert_eq!(world().breaks(standby_names(Some(&some))), ["G-14"]);
    let not_mine = leader().running(true, "").sync("b", &["a"]);
    assert_eq!(not_mine.breaks(standby_names(Some(""))), NOTHING);
}

#[test]
fn g15_sync_takes_in_only_whom_commits_wait_for() {
    let write = || Action::WriteSync {
        doc: sync_doc("a", &["b"]),
        expected: Some(1),
    };
    let waiting = |names| leader().running(false, names).sync("a", &[]);
    assert_eq!(waiting("b").breaks(write()), NOTHING);
    assert_eq!(waiting("2 (b,c)").breaks(write()), NOTHING);
    for names in ["", "c", "ANY 1 (b,c)", "FIRST 1 (b,c)"] {
        assert_eq!(waiting(names).breaks(write()), ["G-15"], "{names}");
    }
    let former = leader().running(true, "").sync("b", &["a"]);
    assert_eq!(
        former.breaks(write()),
        NOTHING,
        "strict mode, before promotion"
    );
    let mut voters = leader().running(true, "").sync("z", &["a", "b"]);
    voters = voters.view(|view| {
        if let Some(sync) = &mut view.sync {
            sync.value.quorum = 1;
        }
    });
    assert_eq!(voters.breaks(write()), ["G-20"], "nobody has voted");
}

#[test]
fn what_is_held_back_holds_back_what_was_to_follow_and_not_what_makes_things_safer() {
    let world = leader().without_lease();
    let clear = Action::WriteFailover {
        doc: FailoverDoc::default(),
        expected: 1,
    };
    let release = Action::ReleaseLeader { optime: None };
    let actions = vec![
        Action::PublishMember(Box::default()),
        promote(25),
        clear,
        release.clone(),
        Action::CancelWork,
        stop(),
    ];
    let (passed, notes) = check(&world.spec, &world.seen, actions);
    assert_eq!(
        passed,
        [
            Action::PublishMember(Box::default()),
            release,
            Action::CancelWork,
            stop()
        ]
    );
    let rules: Vec<_> = notes.iter().map(|note| note.rule).collect();
    assert_eq!(rules, ["G-02", "G-00"]);
    assert_eq!(
        notes[1].to_string(),
        "G-00: held with what came before it: WriteFailover"
    );
}

/// `far` is the cluster that is followed.
fn follower() -> World {
    let mut world = leader();
    world.spec.standby = Some(pgherd_domain::RemoteCluster {
        upstream: Some(far()),
    });
    world
}

fn far() -> Upstream {
    Upstream {
        name: None,
        ..upstream("far")
    }
}

/// `a` leads by `/sync` with these voters, of whom so many are needed.
fn with_votes(world: World, leader: &str, quorum: u64, voters: &[&str]) -> World {
    world.sync(leader, voters).view(|view| {
        if let Some(sync) = &mut view.sync {
            sync.value.quorum = quorum;
        }
    })
}

fn votes(quorum: u64, voters: &[&str]) -> Action {
    let mut doc = sync_doc("a", voters);
    doc.quorum = quorum;
    Action::WriteSync {
        doc,
        expected: Some(1),
    }
}

#[test]
fn g06_g07_the_cluster_that_is_followed_is_copied_by_the_first_member_and_rewound_to() {
    let copy = || {
        Action::Begin(Work::Clone {
            source: far(),
            basebackup_only: false,
        })
    };
    let rewind = || Action::Begin(Work::Rewind { source: far() });
    let first = |world: World| {
        world
            .view(|view| view.leader = None)
            .seen(|seen| seen.postgres.data = DataDirectory::Empty)
    };
    assert_eq!(first(follower()).breaks(copy()), NOTHING);
    assert_eq!(first(leader()).breaks(copy()), ["G-06"]);
    let with_data = follower().view(|view| view.leader = None);
    assert_eq!(with_data.breaks(copy()), ["G-06"]);
    assert_eq!(follower().breaks(rewind()), NOTHING);
    assert_eq!(with_data.breaks(rewind()), ["G-07"]);
    assert_eq!(leader().breaks(rewind()), ["G-07"]);
}

#[test]
fn g11_the_leader_of_a_standby_cluster_hands_over_while_it_runs() {
    let hand_over = || Action::HandOver {
        to: name("b"),
        optime: None,
    };
    assert_eq!(follower().running(true, "").breaks(hand_over()), NOTHING);
    assert_eq!(follower().running(false, "").breaks(hand_over()), ["G-11"]);
    assert_eq!(leader().running(true, "").breaks(hand_over()), ["G-11"]);
}

#[test]
fn g21_a_cluster_that_follows_another_promotes_nobody() {
    assert_eq!(follower().breaks(promote(25)), ["G-21"]);
    assert_eq!(leader().breaks(promote(25)), NOTHING);
}

#[test]
fn g14_g15_votes_and_acknowledgements_have_a_member_in_common() {
    let world = |names| with_votes(leader().running(false, names), "a", 1, &["b", "c"]);
    for setting in [
        Some("ANY 1 (b,c)"),
        Some("ANY 1 (b)"),
        Some("ANY 2 (b,c,d)"),
    ] {
        assert_eq!(world("").breaks(standby_names(setting)), NOTHING);
    }
    for setting in [Some(""), Some("ANY 1 (b,d)"), Some("*"), None] {
        assert_eq!(
            world("").breaks(standby_names(setting)),
            ["G-14"],
            "{setting:?}"
        );
    }
    assert_eq!(
        world("ANY 1 (b,c)").breaks(votes(2, &["b", "c", "d"])),
        NOTHING
    );
    assert_eq!(
        world("ANY 1 (b,c)").breaks(votes(1, &["b", "c", "d"])),
        ["G-15"]
    );
}

#[test]
fn g20_sync_is_taken_over_with_the_votes_it_demands() {
    let world = |position| {
        let mut world = with_votes(leader().running(true, ""), "z", 1, &["a", "b"]);
        world.spec.synchronous_mode = SyncMode::Quorum;
        world.seen(|seen| {
            if let Fact::Seen { value, .. } = &mut seen.postgres.live {
                value.received = Lsn::new(800);
            }
            let status = PeerStatus {
                state: None,
                role: None,
                is_primary: false,
                position,
                timeline: None,
                nofailover: false,
                failover_priority: 1,
                watchdog_failed: false,
            };
            let asked = seen.now;
            let answered = PeerSeen::Answered { asked, status };
            seen.peers.insert(name("b"), answered);
        })
    };
    let mine = Lsn::new(800);
    assert_eq!(world(mine).breaks(votes(1, &["b", "z"])), NOTHING);
    assert_eq!(world(mine).breaks(votes(1, &["b"])), ["G-15"], "z votes on");
    let ahead = Lsn::new(mine.as_u64() + 1);
    assert_eq!(world(ahead).breaks(votes(1, &["b", "z"])), ["G-20"]);
}

#[test]
fn g23_a_closed_primary_does_not_open_while_sync_can_elect_somebody_who_does_not_stream() {
    let open = || Action::Adjust(Adjustment::OpenEntry);
    let world = || leader().running(false, "b").sync("a", &["b"]);
    assert_eq!(world().breaks(open()), ["G-23"]);
    assert_eq!(world().paused().breaks(open()), NOTHING);
    let stops = world().seen(|seen| seen.shutdown = true);
    assert_eq!(stops.breaks(open()), NOTHING);
    let replica = leader().running(true, "").sync("c", &["b"]);
    assert_eq!(replica.breaks(open()), NOTHING);
    let alone = leader().running(false, "").sync("a", &[]);
    assert_eq!(alone.breaks(open()), NOTHING);
    let votes = with_votes(leader().running(false, "ANY 1 (b)"), "a", 1, &["b"]);
    assert_eq!(votes.breaks(open()), NOTHING, "b needs another vote");
}

#[test]
fn g24_who_has_voted_follows_nobody_else() {
    let voted = follower().seen(|seen| seen.voted = Some(name("c")));
    let follow = |of: &str| {
        let upstream = Some(upstream(of));
        Action::Adjust(Adjustment::Follow { upstream })
    };
    assert_eq!(voted.breaks(follow("b")), ["G-24"]);
    assert_eq!(voted.breaks(follow("c")), NOTHING);
    let restart = Action::Begin(Work::Restart {
        start_as: StartAs::Replica {
            upstream: Some(upstream("b")),
        },
        timeout: secs(60),
    });
    assert_eq!(voted.breaks(restart), ["G-24"]);
    let nobody = Action::Adjust(Adjustment::Follow { upstream: None });
    assert_eq!(voted.breaks(nobody), NOTHING);
}
