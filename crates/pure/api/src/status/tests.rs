//! Whole documents, as a client greps them.

use std::collections::BTreeMap;

use pgherd_domain::{HookEnd, PgRole, Tags, WalSenderSeen};
use serde_json::json;

use super::*;
use crate::member::samples::{primary, replica};

#[test]
fn the_document_of_a_primary_has_patronis_order_and_spacing() {
    let mut sample = primary();
    let tags = BTreeMap::from([("clonefrom".to_owned(), json!(true))]);
    sample.spec.tags = Tags::from_published(&tags);
    sample.live.as_mut().unwrap().replication = vec![WalSenderSeen {
        application_name: "b".into(),
        user: "replicator".into(),
        client: Some("10.0.0.2".into()),
        state: "streaming".into(),
        sync_state: "async".into(),
        sync_priority: 0,
        write: None,
        flush: None,
        replay: None,
    }];
    assert_eq!(
        text(&sample.facts()),
        concat!(
            r#"{"state": "running", "postmaster_start_time": "2024-08-28 19:39:26.352526+00:00", "#,
            r#""role": "primary", "server_version": 150018, "xlog": {"location": 1000}, "timeline": 3, "#,
            r#""replication": [{"usename": "replicator", "application_name": "b", "#,
            r#""client_addr": "10.0.0.2", "state": "streaming", "sync_state": "async", "#,
            r#""sync_priority": 0}], "dcs_last_seen": 1795486355, "tags": {"clonefrom": true}, "#,
            r#""database_system_identifier": "7277694203142172922", "#,
            r#""patroni": {"version": "4.1.5", "scope": "demo", "name": "a"}}"#
        )
    );
}

#[test]
fn a_member_without_a_fence_says_why_and_is_passed_over() {
    let mut sample = replica();
    sample.unfenced = Some("no room for its file");
    let doc = text(&sample.facts());
    let end = r#""name": "b"}, "watchdog_failed": true, "fence_failed": "no room for its file"}"#;
    assert!(doc.ends_with(end), "{doc}");
    sample.spec.pause = true;
    assert!(
        !text(&sample.facts()).contains("_failed"),
        "in pause nothing is fenced"
    );
}

#[test]
fn a_member_without_the_watchdog_that_it_needs_is_passed_over() {
    let mut sample = replica();
    sample.watchdog_failed = true;
    let doc = text(&sample.facts());
    assert!(
        doc.ends_with(r#""name": "b"}, "watchdog_failed": true}"#),
        "{doc}"
    );
}

#[test]
fn the_document_of_a_synchronous_replica_in_pause_that_waits_for_a_restart() {
    let mut sample = replica();
    sample.list_in_sync();
    sample.spec.synchronous_mode = SyncMode::On;
    sample.spec.pause = true;
    sample.member.pending_restart = true;
    let reason = ("100".to_owned(), "200".to_owned());
    sample.member.pending_restart_reason = BTreeMap::from([("max_connections".to_owned(), reason)]);
    sample.member.scheduled_restart =
        Some(json!({"schedule": "2027-01-01T10:00:00+01:00", "postmaster_start_time": "x"}));
    assert_eq!(
        text(&sample.facts()),
        concat!(
            r#"{"state": "running", "postmaster_start_time": "2024-08-28 19:39:26.352526+00:00", "#,
            r#""role": "replica", "server_version": 150018, "xlog": {"received_location": 1000, "#,
            r#""replayed_location": 1000, "replayed_timestamp": "2024-08-28 19:40:00.5+00:00", "#,
            r#""paused": false}, "sync_standby": true, "timeline": 3, "replication_state": "streaming", "#,
            r#""pause": true, "dcs_last_seen": 1795486355, "#,
            r#""database_system_identifier": "7277694203142172922", "pending_restart": true, "#,
            r#""pending_restart_reason": {"max_connections": {"old_value": "100", "new_value": "200"}}, "#,
            r#""patroni": {"version": "4.1.5", "scope": "demo", "name": "b"}, "#,
            r#""scheduled_restart": {"schedule": "2027-01-01T10:00:00+01:00"}}"#
        )
    );
}

#[test]
fn a_log_that_falls_behind_is_told_last() {
    let sample = primary();
    let facts = sample.facts();
    assert_eq!(text_with_log(&facts, 2, 0), text(&facts));
    let told = text_with_log(&facts, 3, 7);
    assert!(
        told.ends_with(r#", "logger_queue_size": 3, "logger_records_lost": 7}"#),
        "{told}"
    );
}

#[test]
fn failsafe_mode_is_told_between_the_leader_and_the_store() {
    let mut sample = primary();
    assert_eq!(
        document(&sample.facts()).get("failsafe_mode_is_active"),
        None
    );
    (sample.failsafe_active, sample.cluster) = (true, None);
    let doc = document(&sample.facts());
    assert_eq!(doc["failsafe_mode_is_active"], true);
    let keys: Vec<_> = doc.as_object().unwrap().keys().collect();
    let at = |key: &str| keys.iter().position(|found| *found == key);
    assert!(at("cluster_unlocked") < at("failsafe_mode_is_active"));
    assert!(at("failsafe_mode_is_active") < at("patroni"));
}

#[test]
fn how_hooks_went_comes_last_and_does_not_look_like_a_role() {
    let mut sample = replica();
    sample.hook_ended(HookEnd::Failed("exit status: 1".into()));
    let told = text(&sample.facts());
    let wanted = r#""hooks": {"on_role_change": "as primary failed: exit status: 1 at "#;
    assert!(told.contains(wanted), "{told}");
    assert!(told.ends_with(r#", after 1.2 s"}}"#), "{told}");
    assert_eq!(told.matches(r#""role": "#).count(), 1, "{told}");
}

#[test]
fn what_is_not_known_is_left_out_and_says_so() {
    let mut sample = primary();
    sample.live = None;
    sample.cluster = None;
    let doc = document(&sample.facts());
    assert_eq!(doc["state"], "unknown");
    assert_eq!(doc["role"], "primary");
    assert_eq!(doc["cluster_unlocked"], true);
    for absent in [
        "xlog",
        "timeline",
        "server_version",
        "postmaster_start_time",
        "pause",
    ] {
        assert_eq!(doc.get(absent), None, "{absent}");
    }
    sample.state = PgState::Stopped;
    sample.role = PgRole::Demoted;
    let doc = document(&sample.facts());
    assert_eq!(
        (doc["state"].as_str(), doc["role"].as_str()),
        (Some("stopped"), Some("demoted"))
    );
}

#[test]
fn offsets_get_their_minutes() {
    for (given, shown) in [
        (
            "2024-08-28 19:39:26.352526+00",
            "2024-08-28 19:39:26.352526+00:00",
        ),
        ("2024-08-28 19:39:26-03", "2024-08-28 19:39:26-03:00"),
        ("2024-08-28 19:39:26+05:30", "2024-08-28 19:39:26+05:30"),
        ("2024-08-28", "2024-08-28"),
        ("é", "é"),
    ] {
        assert_eq!(with_minutes(given), shown);
    }
}

#[test]
fn another_member_can_read_it() {
    let status = crate::peer::parse(&text(&replica().facts())).unwrap();
    assert_eq!(status.position.as_u64(), 1_000);
    assert!(!status.is_primary);
    assert!(
        crate::peer::parse(&text(&primary().facts()))
            .unwrap()
            .is_primary
    );
}
