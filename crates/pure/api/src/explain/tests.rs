//! Tests of the explanation.

use std::collections::BTreeMap;

use pgherd_domain::documents::{HistoryDoc, StatusDoc, SyncDoc, VerdictDoc};
use pgherd_domain::{LeaderKey, Versioned, WorkKind};
use serde_json::{Value, json};

use super::*;

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

fn replica(position: u64) -> MemberDoc {
    MemberDoc {
        api_url: "http://h:8008/patroni".into(),
        state: Some(PgState::Running),
        role: Some(PgRole::Replica),
        replication_state: Some("streaming".into()),
        xlog_location: Some(Lsn::new(position)),
        timeline: Some(TimelineId(3)),
        ..MemberDoc::default()
    }
}

fn view(members: Vec<(&str, MemberDoc)>, config: Value) -> ClusterView {
    let mut view = ClusterView {
        leader: Some(LeaderKey {
            name: name("a"),
            revision: 1,
            on_my_lease: false,
        }),
        config: Some(Versioned {
            value: config,
            revision: 1,
        }),
        status: StatusDoc {
            optime: Some(Lsn::new(10 << 20)),
            ..StatusDoc::default()
        },
        history: HistoryDoc::parse(r#"[[1, 1, "x"], [2, 2, "x"]]"#),
        ..ClusterView::default()
    };
    let mut leader = replica(10 << 20);
    leader.role = Some(PgRole::Primary);
    leader.replication_state = None;
    view.members = members
        .into_iter()
        .map(|(text, doc)| (name(text), doc))
        .collect();
    view.members.insert(name("a"), leader);
    view
}

#[test]
fn a_healthy_cluster_says_who_is_next() {
    let mut behind = replica(9 << 20);
    behind.tags = BTreeMap::from([("failover_priority".to_owned(), json!(5))]);
    let view = view(vec![("b", behind), ("c", replica(10 << 20))], json!({}));
    assert_eq!(
        explain("demo", &view).print(Format::Pretty),
        "Cluster demo: a leads\n\n\
         a  Leader: leads\n   running, timeline 3, WAL up to 0/A00000\n\
         b  Replica: may become primary\n   streaming, timeline 3, lag 1.0 MB, failover_priority 5\n\
         c  Replica: may become primary\n   streaming, timeline 3, lag 0 B, failover_priority 1\n\n\
         If a fails now, c takes over, with everything that is known to be written.\n"
    );
}

#[test]
fn a_cluster_that_can_not_fail_over_says_what_would_have_to_change() {
    let mut tagged = replica(1);
    tagged.tags = BTreeMap::from([("nofailover".to_owned(), json!(true))]);
    let mut old = replica(10 << 20);
    old.timeline = Some(TimelineId(2));
    let view = view(
        vec![("b", tagged), ("c", old)],
        json!({"check_timeline": true}),
    );
    let text = explain("demo", &view).print(Format::Pretty);
    for part in [
        "b  Replica: may not become primary\n",
        "   - tagged nofailover\n     to change that: remove the tag nofailover",
        "   - lag 10.0 MB > 1 MB (maximum_lag_on_failover)\n",
        "   - on timeline 2, the cluster is on 3\n",
        "If a fails now, nobody can take over. c is nearest to it; what would have to change:\n  let it follow",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn what_a_member_says_of_itself_comes_first_and_only_once() {
    let mut doc = replica(1);
    doc.verdict = Some(VerdictDoc {
        eligible: false,
        because: vec![
            "lag 8 MB > 1 MB (maximum_lag_on_failover)".into(),
            "busy: restart".into(),
        ],
    });
    let found = &explain("demo", &view(vec![("b", doc)], json!({}))).members[1];
    assert_eq!(
        found.because,
        ["lag 8 MB > 1 MB (maximum_lag_on_failover)", "busy: restart"]
    );
}

#[test]
fn synchronous_mode_and_pause_are_reasons_too() {
    let mut sync = view(
        vec![("b", replica(10 << 20))],
        json!({"synchronous_mode": true}),
    );
    sync.sync = Some(Versioned {
        value: SyncDoc::parse(r#"{"leader": "a", "sync_standby": "c"}"#),
        revision: 1,
    });
    assert_eq!(
        explain("demo", &sync).members[1].because,
        ["not in /sync (a, c)"]
    );

    let paused = view(vec![("b", replica(10 << 20))], json!({"pause": true}));
    let text = explain("demo", &paused).print(Format::Pretty);
    assert!(
        text.ends_with("the cluster is paused. `pgherd resume demo` changes that.\n"),
        "{text}"
    );
}

#[test]
fn programs_get_the_same_as_a_table() {
    let mut doc = replica(10 << 20);
    doc.state = Some(PgState::Stopped);
    let view = view(vec![("b", doc)], json!({}));
    let rows = explain("demo", &view).table().value(true);
    assert_eq!(rows[1]["May become primary"], "no");
    assert_eq!(rows[1]["Because"], "PostgreSQL does not run");
    assert_eq!(rows[0].get("Because"), None);
}

#[test]
fn every_reason_has_a_remedy_of_its_own() {
    let peer = || name("p");
    let reasons = [
        Veto::TaggedNoFailover,
        Veto::NoData,
        Veto::NotRunning,
        Veto::NotAnswering,
        Veto::Starting,
        Veto::Busy(WorkKind::Rewind),
        Veto::Paused,
        Veto::Lagging { lag: 2, limit: 1 },
        Veto::OldTimeline {
            has: TimelineId(1),
            wants: TimelineId(2),
        },
        Veto::OtherCluster,
        Veto::NotSynchronous { sync: "a".into() },
        Veto::NotInFailsafe,
        Veto::Promised { to: peer() },
        Veto::NoFence { why: "x".into() },
        Veto::NoWatchdog { why: "x".into() },
        Veto::PeerAhead {
            peer: peer(),
            by: 1,
        },
        Veto::PeerPreferred {
            peer: peer(),
            priority: 2,
            mine: 1,
        },
        Veto::PrimaryAlive { peer: peer() },
        Veto::SomebodyElseNamed { candidate: peer() },
        Veto::SteppingDown,
        Veto::PrePromoteFailed,
        Veto::AskingPeers,
        Veto::UnknownPosition,
        Veto::StillReceiving,
        Veto::KeyGarbled,
    ];
    let remedies: std::collections::BTreeSet<&str> = reasons
        .iter()
        .map(|reason| remedy(&reason.to_string()))
        .collect();
    assert_eq!(remedies.len(), reasons.len());
    assert!(!remedies.contains("look into its log"));
}
