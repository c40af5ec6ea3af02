//! The whole document, as Patroni answers for the same keys.

use pgherd_domain::documents::{FailoverDoc, HistoryDoc, StatusDoc, SyncDoc};
use pgherd_domain::{LeaderKey, Versioned};

use super::*;
use crate::json::spaced;

fn view() -> ClusterView {
    let name = |text| MemberName::new(text).unwrap();
    let member = |text: &str| MemberDoc::parse(text);
    let pa = member(
        r#"{"conn_url":"postgres://10.0.0.1:5433/postgres","api_url":"http://10.0.0.1:8008/patroni",
            "state":"running","role":"primary","timeline":1,"tags":{"clonefrom":true}}"#,
    );
    let two = member(
        r#"{"conn_url":"postgres://10.0.0.2:5432/postgres","api_url":"http://10.0.0.2:8008/patroni",
            "state":"running","role":"replica","xlog_location":22028032,"receive_lsn":22028032,
            "replay_lsn":22028000,"replication_state":"streaming","tags":{"a":1},"pending_restart":true,
            "pending_restart_reason":{"x":{"old_value":"1","new_value":"2"}},"timeline":1}"#,
    );
    let new =
        member(r#"{"conn_url":"postgres://10.0.0.3/p","api_url":"","state":"creating replica"}"#);
    let revision = 1;
    let value = SyncDoc::parse(r#"{"leader":"pa","sync_standby":"two"}"#);
    let order = r#"{"leader":"pa","member":"two","scheduled_at":"2027-01-01T10:00:00+00:00"}"#;
    ClusterView {
        leader: Some(LeaderKey {
            name: name("pa"),
            revision,
            on_my_lease: false,
        }),
        members: [(name("two"), two), (name("pa"), pa), (name("new"), new)].into(),
        config: Some(Versioned {
            value: json!({"pause": true, "synchronous_mode": true}),
            revision,
        }),
        status: StatusDoc {
            optime: Some(Lsn::new(22_315_464)),
            ..StatusDoc::default()
        },
        sync: Some(Versioned { value, revision }),
        failover: FailoverDoc::parse(order).map(|value| Versioned { value, revision }),
        ..ClusterView::default()
    }
}

#[test]
fn members_come_by_name_and_replicas_with_their_lag() {
    let view = view();
    assert_eq!(
        spaced(&document("real", &view, &Wanted::of(&view))),
        concat!(
            r#"{"members": [{"name": "new", "role": "replica", "state": "creating replica", "api_url": "", "#,
            r#""host": "10.0.0.3", "port": 5432, "receive_lag": "unknown", "receive_lsn": "unknown", "#,
            r#""replay_lag": "unknown", "replay_lsn": "unknown", "lag": "unknown", "lsn": "unknown"}, "#,
            r#"{"name": "pa", "role": "leader", "state": "running", "#,
            r#""api_url": "http://10.0.0.1:8008/patroni", "host": "10.0.0.1", "port": 5433, "timeline": 1, "#,
            r#""tags": {"clonefrom": true}}, "#,
            r#"{"name": "two", "role": "sync_standby", "state": "streaming", "#,
            r#""api_url": "http://10.0.0.2:8008/patroni", "host": "10.0.0.2", "port": 5432, "timeline": 1, "#,
            r#""pending_restart": true, "pending_restart_reason": {"x": {"old_value": "1", "new_value": "2"}}, "#,
            r#""tags": {"a": 1}, "receive_lag": 287432, "receive_lsn": "0/1501F00", "#,
            r#""replay_lag": 287464, "replay_lsn": "0/1501EE0", "lag": 287432, "lsn": "0/1501F00"}], "#,
            r#""pause": true, "scheduled_switchover": {"at": "2027-01-01T10:00:00+00:00", "from": "pa", "#,
            r#""to": "two"}, "scope": "real"}"#
        )
    );
}

#[test]
fn the_leader_of_a_standby_cluster_and_quorum_voters_have_their_own_words() {
    let mut view = view();
    let config = json!({"standby_cluster": {"host": "x"}, "synchronous_mode": "quorum"});
    view.config = Some(Versioned {
        value: config,
        revision: 1,
    });
    let leader = view.members.values_mut().nth(1).unwrap();
    leader.replication_state = Some("streaming".to_owned());
    let doc = document("real", &view, &Wanted::of(&view));
    assert_eq!(doc.pointer("/members/1/role").unwrap(), "standby_leader");
    assert_eq!(doc.pointer("/members/1/state").unwrap(), "streaming");
    assert_eq!(doc.pointer("/members/1/lag"), None);
    assert_eq!(doc.pointer("/members/2/role").unwrap(), "quorum_standby");
    assert_eq!(doc.get("pause"), None);
}

#[test]
fn history_is_a_list_also_when_there_is_none() {
    assert_eq!(history(&ClusterView::default()), json!([]));
    let text = r#"[[1,50331808,"no recovery target specified","2026-11-24T03:00:00+00:00","b"]]"#;
    let view = ClusterView {
        history: HistoryDoc::parse(text),
        ..ClusterView::default()
    };
    assert_eq!(history(&view).to_string(), text);
}
