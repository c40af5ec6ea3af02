//! The key is mine and PostgreSQL is a replica: the order of steps to a primary (contract §5.7, §6.5).

use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{
    Action, Adjustment, ControlState, Outcome, PgRole, Question, SyncMode, Work, WorkError,
};

use super::build::{END, NOW, REVISION, World, member, name, secs};
use crate::Decision;

/// `b` has just won the race.
fn winner() -> World {
    member("b")
        .replica(1, END)
        .leader("b")
        .other("c", PgRole::Replica, 1)
}

fn promotes(decision: &Decision) -> bool {
    matches!(decision.begins(), Some(Work::Promote { .. }))
}

fn sync_doc(standbys: &[&str]) -> SyncDoc {
    SyncDoc {
        leader: Some(name("b")),
        quorum: 0,
        standbys: standbys.iter().map(|of| name(of)).collect(),
    }
}

#[test]
fn the_winner_is_promoted_under_its_lease() {
    let decision = winner().memory(|memory| memory.raced = true).decide();
    let valid_until = NOW.plus(secs(25));
    assert_eq!(decision.begins(), Some(&Work::promote(valid_until)));
    assert_eq!(
        decision.line(),
        "promoted self to leader by acquiring session lock"
    );
    assert_eq!(
        winner().decide().line(),
        "promoted self to leader because I had the session lock",
        "the key was handed over"
    );
}

#[test]
fn a_key_without_lease_promotes_nobody() {
    let decision = winner()
        .seen(|seen| seen.lease = pgherd_domain::LeaseSeen::NONE)
        .decide();
    assert!(!promotes(&decision));
    assert!(decision.does(&Action::AcquireLeader));
}

#[test]
fn a_key_that_was_handed_over_is_claimed_and_then_used() {
    let mut world = winner().seen(|seen| seen.lease = pgherd_domain::LeaseSeen::NONE);
    assert!(world.turn().does(&Action::AcquireLeader));
    let mut world = world
        .lease(secs(30))
        .effect(Action::AcquireLeader, Outcome::Done);
    assert!(promotes(&world.turn()));
}

/// The request for the key took its time: meanwhile another member led, and `/sync` does not name this one any more.
#[test]
fn a_key_that_came_too_late_is_given_back() {
    let late = || winner().sync("a", &["c"]);
    let gives_back = Action::ReleaseLeader { optime: None };
    let decision = late().decide();
    assert!(decision.does(&gives_back) && !promotes(&decision));
    let decision = late().stopped(ControlState::InProduction, 1).decide();
    assert!(decision.does(&gives_back) && decision.begins().is_none());
    let named = winner().sync("a", &["b"]).decide();
    assert!(!named.does(&gives_back));
    let ordered = late().order(None, Some("b")).decide();
    assert!(!ordered.does(&gives_back), "a manual failover overrides it");
}

#[test]
fn a_member_tagged_nofailover_gives_the_key_back() {
    let decision = winner().tags(r#"{"nofailover": true}"#).decide();
    assert!(decision.does(&Action::ReleaseLeader { optime: None }));
    assert!(!promotes(&decision));
}

#[test]
fn synchronous_mode_off_deletes_a_left_over_sync_first() {
    let decision = winner()
        .sync("a", &["b"])
        .spec(|spec| spec.synchronous_mode = SyncMode::Off)
        .decide();
    let effects = decision.effects();
    let expected = REVISION;
    assert_eq!(effects[0], Action::DeleteSync { expected });
    assert!(matches!(effects[1], Action::Begin(Work::Promote { .. })));
}

#[test]
fn synchronous_mode_writes_sync_then_the_setting_then_promotes() {
    let mut world = winner()
        .sync("a", &["b", "c"])
        .live(|live| live.synchronous_standby_names = "b".into());
    let decision = world.turn();
    assert_eq!(
        decision.effects(),
        [Action::WriteSync {
            doc: sync_doc(&[]),
            expected: Some(REVISION),
        }]
    );
    let mut world = world.sync("b", &[]).effect(written(&[]), Outcome::Done);
    let decision = world.turn();
    assert_eq!(
        decision.effects(),
        [Action::Adjust(Adjustment::SetSynchronousStandbyNames(
            Some(String::new())
        ))]
    );
    let mut world = world.live(|live| live.synchronous_standby_names = String::new());
    assert!(promotes(&world.turn()));
}

fn written(standbys: &[&str]) -> Action {
    Action::WriteSync {
        doc: sync_doc(standbys),
        expected: Some(REVISION),
    }
}

/// `/sync` names this member already, from a former reign: somebody who led in between may have sent a write for that revision.
#[test]
fn sync_is_written_anew_by_who_has_taken_the_key() {
    let mut world = winner()
        .sync("b", &["c"])
        .live(|live| live.synchronous_standby_names = "c".into());
    assert_eq!(world.turn().effects(), [written(&["c"])]);
    let unknown = Outcome::Unknown("timed out".into());
    let mut world = world.effect(written(&["c"]), unknown);
    assert_eq!(world.turn().effects(), [written(&["c"])]);
    let world = world.effect(written(&["c"]), Outcome::Done);
    assert!(promotes(&world.decide()));
}

#[test]
fn strict_mode_keeps_waiting_for_the_former_members() {
    let mut world = winner()
        .sync("a", &["b", "c"])
        .spec(|spec| spec.synchronous_mode_strict = true);
    let decision = world.turn();
    let doc = sync_doc(&["a", "c"]);
    let expected = Some(REVISION);
    assert!(decision.does(&Action::WriteSync { doc, expected }));
    let world = world.effect(written(&["a", "c"]), Outcome::Done);
    let decision = world.sync("b", &["a", "c"]).decide();
    assert_eq!(
        decision.effects(),
        [Action::Adjust(Adjustment::SetSynchronousStandbyNames(
            Some("2 (a,c)".into())
        ))]
    );
}

#[test]
fn strict_mode_with_nobody_left_waits_for_the_placeholder() {
    let decision = winner()
        .sync("b", &[])
        .effect(written(&[]), Outcome::Done)
        .spec(|spec| spec.synchronous_mode_strict = true)
        .decide();
    assert_eq!(
        decision.effects(),
        [Action::Adjust(Adjustment::SetSynchronousStandbyNames(
            Some("__patroni_strict_sync_replica_placeholder__".into())
        ))],
        "S32"
    );
}

/// `b` holds the key in quorum mode; `/sync` names `a`, and demands one vote of b and c.
fn elected() -> World {
    winner()
        .sync("a", &["b", "c"])
        .spec(|spec| spec.synchronous_mode = SyncMode::Quorum)
        .view(|view| view.sync.as_mut().unwrap().value.quorum = 1)
}

#[test]
fn with_the_key_in_hand_the_votes_are_counted_again() {
    let mut world = elected();
    let decision = world.turn();
    assert_eq!(decision.asks(), ["c"]);
    assert_eq!(decision.effects(), []);
    let decision = elected().unreachable("c").decide();
    assert!(decision.does(&Action::ReleaseLeader { optime: None }));
    let ahead = |c: &mut pgherd_domain::PeerStatus| c.position = pgherd_domain::Lsn::new(END + 8);
    let decision = elected().answered("c", ahead).decide();
    assert!(decision.does(&Action::ReleaseLeader { optime: None }));
}

#[test]
fn votes_are_asked_for_and_enough_of_them_are_not_waited_for() {
    let decision = elected().decide();
    let votes: Vec<_> = decision
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Ask(Question::Peer { vote_for, .. }) => vote_for.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(votes, [name("b")], "who answers leaves its upstream first");
    let another = |world: World| {
        world.other("d", PgRole::Replica, 1).view(|view| {
            let sync = view.sync.as_mut().unwrap();
            sync.value.standbys.extend([name("d")]);
        })
    };
    let decision = another(elected()).answered("c", |_| {}).decide();
    let written = |action: &Action| matches!(action, Action::WriteSync { .. });
    assert!(decision.actions.iter().any(written), "d is not waited for");
    let decision = another(elected()).unreachable("c").decide();
    assert!(!decision.does(&Action::ReleaseLeader { optime: None }));
    assert_eq!(decision.asks(), ["d"]);
}

#[test]
fn who_has_voted_waits_for_a_new_look_at_who_leads() {
    let voter = member("c")
        .replica(1, END)
        .other("a", PgRole::Primary, 1)
        .leader("a")
        .seen(|seen| seen.voted = Some(name("b")));
    let decision = voter.decide();
    assert_eq!(decision.effects(), []);
    assert!(
        decision.line().starts_with("voted for b"),
        "{}",
        decision.line()
    );
}

#[test]
fn the_former_leader_and_voters_go_on_voting_under_the_new_leader() {
    let mut doc = sync_doc(&["a", "c"]);
    doc.quorum = 1;
    let decision = elected().answered("c", |_| {}).decide();
    let expected = Some(REVISION);
    assert_eq!(decision.effects(), [Action::WriteSync { doc, expected }]);
    let mut world = elected()
        .sync("b", &["a", "c"])
        .spec(|spec| spec.synchronous_mode = SyncMode::Quorum)
        .effect(written(&["a", "c"]), Outcome::Done)
        .view(|view| view.sync.as_mut().unwrap().value.quorum = 1);
    let names = Adjustment::SetSynchronousStandbyNames(Some("ANY 1 (a,c)".into()));
    assert_eq!(world.turn().effects(), [Action::Adjust(names)]);
    let decision = world
        .live(|live| live.synchronous_standby_names = "ANY 1 (a,c)".into())
        .decide();
    assert!(promotes(&decision));
}

#[test]
fn the_voters_of_a_quorum_are_not_taken_for_synchronous() {
    let decision = winner()
        .answered("c", |_| {})
        .sync("a", &["b", "c"])
        .view(|view| view.sync.as_mut().unwrap().value.quorum = 1)
        .spec(|spec| spec.synchronous_mode_strict = true)
        .decide();
    let doc = sync_doc(&[]);
    let expected = Some(REVISION);
    assert!(decision.does(&Action::WriteSync { doc, expected }));
}

#[test]
fn a_sync_key_that_somebody_changed_postpones_the_promotion() {
    let mut world = winner().sync("a", &["b"]);
    let write = world.turn().effects().remove(0);
    let mut world = world.effect(write, Outcome::Refused);
    assert!(!promotes(&world.turn()));
}

#[test]
fn a_failed_promotion_is_tried_again_after_a_pause_and_given_up_after_three() {
    let failed = || Err(WorkError::Failed("timed out".into()));
    let promote = Work::promote(NOW.plus(secs(25)));
    let mut world = winner().memory(|memory| memory.last_leader = Some(name("b")));
    for attempt in 1..=3 {
        world = world.ended(promote.clone(), failed());
        let decision = world.turn();
        assert!(!promotes(&decision), "waits first");
        let gives_up = decision.does(&Action::ReleaseLeader { optime: None });
        assert_eq!(gives_up, attempt == 3);
        world = world.later(secs(30)).lease(secs(25));
        assert!(promotes(&world.turn()));
    }
}

#[test]
fn a_promotion_that_the_lease_ended_is_no_failure() {
    let promote = Work::promote(NOW.plus(secs(25)));
    let decision = winner().ended(promote, Err(WorkError::LeaseEnded)).decide();
    assert!(promotes(&decision));
}

#[test]
fn a_promotion_is_called_off_when_the_key_is_lost() {
    let promote = Work::promote(NOW.plus(secs(25)));
    let decision = winner()
        .leader("c")
        .seen(|seen| seen.lease = pgherd_domain::LeaseSeen::NONE)
        .works(promote.clone())
        .decide();
    assert_eq!(decision.effects(), [Action::CancelWork]);
    assert_eq!(decision.line(), "lost leader before promote");
    let silent = winner().lease(secs(0)).works(promote).silent().decide();
    assert!(silent.does(&Action::CancelWork), "also with a silent store");
}

#[test]
fn during_the_promotion_the_role_is_promoted() {
    let promote = Work::promote(NOW.plus(secs(25)));
    let decision = winner().works(promote).decide();
    assert_eq!(decision.role, PgRole::Promoted);
    assert_eq!(decision.line(), "updated leader lock during promote");
}

fn with_pre_promote() -> World {
    winner().spec(|spec| spec.runs_pre_promote = true)
}

#[test]
fn pre_promote_goes_before_the_promotion_and_once() {
    let mut world = with_pre_promote();
    assert_eq!(world.turn().begins(), Some(&Work::PrePromote));
    let mut world = world.ended(Work::PrePromote, Ok(()));
    assert!(promotes(&world.turn()));
    let mut world = world.seen(|seen| seen.work.ended = None);
    assert!(promotes(&world.turn()), "it is not run again");
}

#[test]
fn a_failed_pre_promote_gives_the_key_up() {
    let mut world = with_pre_promote();
    world.turn();
    let failed = Err(WorkError::Failed("pre_promote failed".into()));
    let decision = world.ended(Work::PrePromote, failed).turn();
    assert!(decision.does(&Action::ReleaseLeader { optime: None }));
    assert!(!promotes(&decision));
    let line = "Promotion cancelled because the pre-promote script failed";
    assert_eq!(decision.line(), line);
}

#[test]
fn whoever_s_pre_promote_failed_does_not_race_for_a_ttl() {
    let mut world = with_pre_promote();
    let failed = Err(WorkError::Failed("pre_promote failed".into()));
    world.turn();
    let mut world = world.ended(Work::PrePromote, failed);
    world.turn();
    let leaderless = |span| {
        let mut world = world.clone().later(span).view(|view| view.leader = None);
        world.seen.lease = pgherd_domain::LeaseSeen::NONE;
        world.decide().verdict
    };
    assert!(leaderless(secs(29)).contains(&pgherd_domain::Veto::PrePromoteFailed));
    assert!(!leaderless(secs(30)).contains(&pgherd_domain::Veto::PrePromoteFailed));
}

#[test]
fn after_another_leader_pre_promote_is_due_again() {
    let mut world = with_pre_promote();
    world.turn();
    let mut world = world.ended(Work::PrePromote, Ok(())).leader("c");
    world.turn();
    let mut world = world.leader("b").seen(|seen| seen.work.ended = None);
    assert_eq!(world.turn().begins(), Some(&Work::PrePromote));
}
