//! Nobody leads, and an operator has ordered a change of leader (contract §5.5).

use pgherd_domain::documents::{FailoverDoc, Schedule};
use pgherd_domain::{Action, Lsn, PgRole, TimelineId, Veto, WallTime};

use super::build::{END, World, member, name, versioned};

/// `b`, a replica, with a replica `c`; the leader `a` has gone.
fn bereaved() -> World {
    member("b")
        .replica(1, END)
        .other("c", PgRole::Replica, 1)
        .optime(END)
}

fn verdict(world: World) -> Vec<Veto> {
    let decision = world.decide();
    assert_eq!(
        decision.verdict.is_empty(),
        decision.does(&Action::AcquireLeader)
    );
    decision.verdict
}

#[test]
fn the_named_candidate_takes_the_key_at_once() {
    let order = || bereaved().order(None, Some("b"));
    assert_eq!(verdict(order()), []);
    assert_eq!(
        verdict(order().answered("c", |c| c.position = Lsn::new(END + 800))),
        [],
        "however far ahead another is"
    );
    assert_eq!(
        verdict(order().optime(END + (1 << 30))),
        [],
        "whatever its lag"
    );
}

#[test]
fn a_candidate_tagged_nofailover_stays_one() {
    let world = bereaved()
        .order(None, Some("b"))
        .tags(r#"{"nofailover": true}"#);
    assert_eq!(verdict(world), [Veto::TaggedNoFailover]);
}

#[test]
fn the_others_leave_the_key_to_a_candidate_that_answers() {
    let named = Veto::SomebodyElseNamed {
        candidate: name("c"),
    };
    let order = || bereaved().order(Some("a"), Some("c"));
    assert_eq!(verdict(order()), [Veto::AskingPeers]);
    assert_eq!(verdict(order().answered("c", |_| ())), [named]);
}

#[test]
fn a_candidate_that_can_not_is_forgotten() {
    let order = || bereaved().order(Some("a"), Some("c"));
    assert_eq!(verdict(order().unreachable("c")), []);
    assert_eq!(verdict(order().answered("c", |c| c.nofailover = true)), []);
    let gone = member("b").replica(1, END).order(Some("a"), Some("c"));
    assert_eq!(verdict(gone), []);
}

#[test]
fn who_is_to_step_down_comes_back_only_when_nobody_else_can() {
    let order = || bereaved().order(Some("b"), None);
    assert_eq!(verdict(order()), [Veto::AskingPeers]);
    assert_eq!(
        verdict(order().answered("c", |c| c.position = Lsn::new(END - 800))),
        [Veto::SteppingDown]
    );
    assert_eq!(verdict(order().unreachable("c")), []);
    assert_eq!(verdict(order().answered("c", |c| c.nofailover = true)), []);
}

#[test]
fn who_is_to_step_down_does_not_hold_the_others_back_by_being_ahead() {
    let order = || {
        bereaved()
            .other("a", PgRole::Replica, 1)
            .order(Some("a"), None)
            .answered("c", |_| ())
    };
    assert_eq!(
        verdict(order().answered("a", |a| a.position = Lsn::new(END + 80))),
        []
    );
    assert_eq!(
        verdict(order().answered("a", |a| a.is_primary = true)),
        [Veto::PrimaryAlive { peer: name("a") }],
        "but it does by still being primary"
    );
}

#[test]
fn an_order_lifts_the_lag_limit_and_not_the_comparison() {
    let order = || bereaved().optime(END + (1 << 30)).order(Some("a"), None);
    assert_eq!(verdict(order().answered("c", |_| ())), []);
    assert_eq!(
        verdict(order().answered("c", |c| c.position = Lsn::new(END + 80))),
        [Veto::PeerAhead {
            peer: name("c"),
            by: 80
        }]
    );
}

#[test]
fn a_planned_order_is_none_yet() {
    let lag = 1 << 30;
    let world = bereaved().optime(END + lag).view(|view| {
        view.failover = Some(versioned(FailoverDoc {
            leader: Some(name("a")),
            member: Some(name("b")),
            scheduled_at: Some(Schedule {
                text: "2030-01-01T00:00:00+00:00".into(),
                at: WallTime::parse("2030-01-01T00:00:00+00:00").unwrap(),
            }),
        }));
    });
    let limit = 1 << 20;
    assert_eq!(verdict(world), [Veto::Lagging { lag, limit }]);
}

#[test]
fn in_synchronous_mode_a_switchover_goes_to_a_synchronous_standby_only() {
    let veto = Veto::NotSynchronous {
        sync: "a, c".into(),
    };
    let world = |leader| {
        bereaved()
            .sync("a", &["c"])
            .order(leader, Some("b"))
            .unreachable("c")
    };
    assert_eq!(verdict(world(Some("a"))), [veto], "S24");
    assert_eq!(verdict(world(None)), [], "a manual failover names anybody");
}

#[test]
fn a_manual_failover_to_an_asynchronous_member_is_left_to_it() {
    let world = bereaved()
        .sync("a", &["b"])
        .order(None, Some("c"))
        .answered("c", |_| ());
    let candidate = name("c");
    assert_eq!(verdict(world), [Veto::SomebodyElseNamed { candidate }]);
}

#[test]
fn primary_race_backoff_does_not_hold_a_candidate_up() {
    let world = bereaved()
        .spec(|spec| spec.primary_race_backoff = super::build::secs(60))
        .order(None, Some("b"));
    assert_eq!(verdict(world), []);
}

#[test]
fn who_is_left_behind_on_an_older_timeline_is_not_waited_for() {
    let world = || {
        member("b")
            .replica(2, END)
            .other("c", PgRole::Replica, 1)
            .answered("c", |c| c.timeline = Some(TimelineId(1)))
    };
    assert_eq!(verdict(world().order(Some("a"), Some("c"))), []);
    assert_eq!(verdict(world().order(Some("b"), None)), []);
}

#[test]
fn whose_wal_goes_beyond_the_fork_is_not_waited_for() {
    let world = || {
        member("b")
            .replica(1, END)
            .past(&[(1, END)])
            .other("c", PgRole::Replica, 1)
            .answered("c", |c| c.position = Lsn::new(END + 8))
    };
    assert_eq!(verdict(world().order(Some("b"), None)), []);
}

/// `b` and `c` vote, and so does the former leader `a`; one vote is needed.
fn voting(order: (Option<&str>, Option<&str>)) -> World {
    let (leader, candidate) = order;
    bereaved()
        .sync("a", &["b", "c"])
        .spec(|spec| spec.synchronous_mode = pgherd_domain::SyncMode::Quorum)
        .view(|view| view.sync.as_mut().unwrap().value.quorum = 1)
        .order(leader, candidate)
}

#[test]
fn a_candidate_that_can_not_win_the_votes_is_not_waited_for() {
    let named = |position: u64| {
        voting((Some("a"), Some("c"))).answered("c", move |c| c.position = Lsn::new(position))
    };
    let waits = Veto::SomebodyElseNamed {
        candidate: name("c"),
    };
    assert_eq!(verdict(named(END)), [waits]);
    assert_eq!(verdict(named(END - 8)), [], "b is ahead, and leads");
}

#[test]
fn who_is_to_step_down_leads_again_when_nobody_else_wins_the_votes() {
    let behind = |position: u64| {
        voting((Some("b"), None)).answered("c", move |c| c.position = Lsn::new(position))
    };
    assert_eq!(verdict(behind(END)), [Veto::SteppingDown]);
    assert_eq!(verdict(behind(END - 8)), []);
}

#[test]
fn the_operators_candidate_needs_the_votes_as_well_unless_it_is_a_failover() {
    let too_few = Veto::TooFewVotes {
        votes: 0,
        needed: 1,
    };
    let switchover = || voting((Some("a"), Some("b"))).unreachable("c");
    assert_eq!(verdict(switchover()), [too_few]);
    let failover = || voting((None, Some("b"))).unreachable("c");
    assert_eq!(verdict(failover()), []);
}
