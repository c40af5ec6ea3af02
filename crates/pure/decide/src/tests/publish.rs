//! What every turn shows of the member and keeps of the cluster: member key, `/status`, `/history`.

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{Action, ControlState, Lsn, PgRole, PgState, TimelineId, Work};

use super::build::{END, World, history, member, name, secs};
use crate::Decision;

fn leader() -> World {
    member("a").primary(1).leader("a")
}

fn replica() -> World {
    member("b")
        .replica(1, END)
        .streams_from("a")
        .leader("a")
        .other("a", PgRole::Primary, 1)
}

fn publishes(decision: &Decision) -> bool {
    decision.any(|action| matches!(action, Action::PublishMember(_)))
}

#[test]
fn the_member_key_says_what_the_contract_wants() {
    let doc = replica()
        .tags(r#"{"clonefrom": true}"#)
        .live(|live| live.replayed = Lsn::new(END - 8))
        .decide()
        .member;
    assert_eq!(doc.conn_url, "postgres://b:5432/postgres");
    assert_eq!(doc.api_url, "http://b:8008/patroni");
    assert_eq!(doc.state, Some(PgState::Running));
    assert_eq!(doc.role, Some(PgRole::Replica));
    assert_eq!(doc.timeline, Some(TimelineId(1)));
    assert_eq!(doc.xlog_location, Some(Lsn::new(END)));
    assert_eq!(doc.receive_lsn, Some(Lsn::new(END)));
    assert_eq!(doc.replay_lsn, Some(Lsn::new(END - 8)));
    assert_eq!(doc.replication_state.as_deref(), Some("streaming"));
    assert_eq!(doc.tags["clonefrom"], true);
    assert!(!doc.pause && !doc.checkpoint_pending);
}

#[test]
fn the_member_key_is_written_first_and_only_when_it_changes() {
    let mut world = leader();
    let decision = world.turn();
    assert!(matches!(decision.actions[0], Action::PublishMember(_)));
    let shown = MemberDoc::parse(&decision.member.render());
    let mut world = world.view(|view| {
        view.members.insert(name("a"), shown);
    });
    assert!(!publishes(&world.turn()), "what is read back is the same");
}

#[test]
fn a_replicas_key_reads_back_too() {
    let mut world = replica().optime(END + (1 << 30)).tags(r#"{"x": "1"}"#);
    let shown = MemberDoc::parse(&world.turn().member.render());
    let mut world = world.view(|view| {
        view.members.insert(name("b"), shown);
    });
    assert!(!publishes(&world.turn()));
}

#[test]
fn the_verdict_tells_why_a_member_may_not_lead() {
    let verdict = replica()
        .optime(END + (784 << 20))
        .decide()
        .member
        .verdict
        .unwrap();
    assert!(!verdict.eligible);
    assert_eq!(
        verdict.because,
        ["lag 784 MB > 1 MB (maximum_lag_on_failover)"]
    );
    assert!(replica().decide().member.verdict.unwrap().eligible);
}

#[test]
fn a_leader_that_has_not_checkpointed_on_its_timeline_says_so() {
    let promoted = || {
        member("a")
            .primary(2)
            .leader("a")
            .control(|control| control.timeline = TimelineId(1))
    };
    let mut world = promoted();
    let decision = world.turn();
    assert!(decision.member.checkpoint_pending);
    assert_eq!(decision.begins(), Some(&Work::Checkpoint));
    let mut world = world.ended(Work::Checkpoint, Ok(()));
    assert!(!world.turn().member.checkpoint_pending);
    let known = member("a").primary(2).leader("a").decide();
    assert!(!known.member.checkpoint_pending);
}

#[test]
fn a_failed_checkpoint_is_tried_again_after_a_pause() {
    let mut world = member("a")
        .primary(2)
        .leader("a")
        .control(|control| control.timeline = TimelineId(1));
    world.turn();
    let failed = Err(pgherd_domain::WorkError::Failed("no space left".into()));
    let mut world = world.ended(Work::Checkpoint, failed);
    assert_eq!(world.turn().begins(), None);
    let decision = world.later(secs(2)).lease(secs(25)).decide();
    assert_eq!(decision.begins(), Some(&Work::Checkpoint));
}

#[test]
fn without_the_lease_nothing_of_the_leaders_is_written() {
    let decision = replica().decide();
    assert!(!decision.any(|action| matches!(
        action,
        Action::WriteStatus(_) | Action::WriteHistory(_) | Action::WriteSync { .. }
    )));
}

#[test]
fn history_grows_with_the_timeline_and_keeps_what_is_known() {
    let world = member("a")
        .primary(3)
        .leader("a")
        .live(|live| live.history = history(&[(1, 0x0100_0000), (2, 0x0200_0000)]))
        .past(&[(1, 0x0100_0000)])
        .view(|view| {
            view.history.as_mut().unwrap().entries[0].new_leader = Some("b".into());
        });
    let decision = world.decide();
    let doc = decision
        .actions
        .iter()
        .find_map(|action| match action {
            Action::WriteHistory(doc) => Some(doc.clone()),
            _ => None,
        })
        .unwrap();
    assert_eq!(doc.entries.len(), 2);
    assert_eq!(doc.entries[0].new_leader.as_deref(), Some("b"));
    assert_eq!(doc.entries[1].new_leader.as_deref(), Some("a"));
    assert!(doc.entries[1].timestamp.is_some());
}

#[test]
fn history_of_the_first_timeline_is_the_empty_list() {
    let mut world = leader();
    let empty = pgherd_domain::documents::HistoryDoc::default();
    assert!(world.turn().does(&Action::WriteHistory(empty.clone())));
    let mut world = world.view(|view| view.history = Some(empty));
    assert!(
        !world
            .turn()
            .any(|action| matches!(action, Action::WriteHistory(_)))
    );
}

#[test]
fn history_is_not_written_before_its_file_is_there() {
    let decision = member("a").primary(2).leader("a").decide();
    assert!(!decision.any(|action| matches!(action, Action::WriteHistory(_))));
}

#[test]
fn history_keeps_as_many_entries_as_are_wanted() {
    let decision = member("a")
        .primary(3)
        .leader("a")
        .live(|live| live.history = history(&[(1, 0x0100_0000), (2, 0x0200_0000)]))
        .spec(|spec| spec.max_timelines_history = 1)
        .decide();
    assert!(decision.any(|action| matches!(
        action,
        Action::WriteHistory(doc)
            if doc.entries.len() == 1 && doc.entries[0].timeline == TimelineId(2)
    )));
}

#[test]
fn states_and_roles_of_a_server_that_does_not_run() {
    let shown = |state: ControlState, role: PgRole| {
        let decision = member("b")
            .stopped(state, 1)
            .memory(|memory| memory.role = role)
            .leader("a")
            .other("a", PgRole::Primary, 1)
            .decide();
        (decision.state, decision.role)
    };
    assert_eq!(
        shown(ControlState::ShutDown, PgRole::Primary),
        (PgState::Stopped, PgRole::Demoted)
    );
    assert_eq!(
        shown(ControlState::InArchiveRecovery, PgRole::Replica),
        (PgState::Crashed, PgRole::Replica)
    );
}

#[test]
fn no_turn_is_without_a_reason() {
    let decision = leader().silent().seen(|seen| seen.shutdown = true).decide();
    assert!(!decision.because.is_empty());
}
