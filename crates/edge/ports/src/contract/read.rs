//! Reads: everything at once, and nothing that somebody wrote wrongly is an error.

use super::{Ground, RUNNING, acquire, load, member_key, name, put};
use crate::{Condition, Key};

/// One read shows every key as its last writer left it, with the revision the writer was told.
pub async fn a_read_sees_all_keys_as_written(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    assert_eq!(load(&b).await, pgherd_domain::ClusterView::default());
    let id = "7575757575757575757";
    let initialize = put(&a, &Key::Initialize, id, Condition::ABSENT).await;
    let config = put(&a, &Key::Config, r#"{"ttl":30}"#, Condition::ABSENT).await;
    put(&a, &member_key("a"), RUNNING, Condition::ALWAYS).await;
    put(&b, &member_key("b"), RUNNING, Condition::ALWAYS).await;
    acquire(&a).await;
    let leading = Condition::LEADING;
    put(&a, &Key::Status, r#"{"optime":67108864}"#, leading).await;
    let sync = put(
        &a,
        &Key::Sync,
        r#"{"leader":"a","sync_standby":"b"}"#,
        leading,
    )
    .await;
    put(
        &a,
        &Key::History,
        r#"[[1,5,"no recovery target specified"]]"#,
        leading,
    )
    .await;
    let url = r#"{"a":"http://h:8008/patroni"}"#;
    put(&a, &Key::Failsafe, url, leading).await;
    put(&b, &Key::Dr, "[{}]", Condition::ALWAYS).await;
    let order = r#"{"leader":"a","member":"b"}"#;
    let failover = put(&b, &Key::Failover, order, Condition::ALWAYS).await;

    let view = load(&b).await;
    assert_eq!(view.system_id(), Some(id));
    assert_eq!(
        view.dr.as_ref().map(|dr| dr.value.to_string()).as_deref(),
        Some("[{}]")
    );
    assert_eq!(
        view.initialize.as_ref().map(|key| key.revision),
        Some(initialize)
    );
    assert_eq!(view.config.as_ref().map(|key| key.revision), Some(config));
    assert_eq!(view.sync.as_ref().map(|key| key.revision), Some(sync));
    assert_eq!(
        view.failover.as_ref().map(|key| key.revision),
        Some(failover)
    );
    assert_eq!(view.failover_revision, Some(failover));
    assert_eq!(
        view.members.keys().collect::<Vec<_>>(),
        [&name("a"), &name("b")]
    );
    assert_eq!(view.leader_name(), Some(&name("a")));
    assert_eq!(
        view.status.optime.map(|optime| optime.as_u64()),
        Some(67_108_864)
    );
    let history = view.history.as_ref().expect("the history was written");
    assert_eq!(history.current_timeline(), pgherd_domain::TimelineId(2));
    assert_eq!(
        view.failsafe.get("a").map(String::as_str),
        Some("http://h:8008/patroni")
    );
}

/// A cleared order is no order, but the next one must be able to compare with it.
pub async fn a_cleared_failover_keeps_its_revision(ground: &dyn Ground) {
    let a = ground.member("a").await;
    put(&a, &Key::Failover, r#"{"member":"a"}"#, Condition::ABSENT).await;
    let cleared = put(&a, &Key::Failover, "{}", Condition::ALWAYS).await;
    let view = load(&a).await;
    assert_eq!(view.failover, None);
    assert_eq!(view.failover_revision, Some(cleared));
    let unchanged = Condition::unchanged(view.failover_revision);
    put(&a, &Key::Failover, r#"{"member":"b"}"#, unchanged).await;
}

/// A value of the wrong type counts as absent or empty, never as an error (contract §4.1).
pub async fn garbage_counts_as_absent(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    let keys = [
        Key::Initialize,
        Key::Config,
        Key::Status,
        Key::Failover,
        Key::Sync,
        Key::History,
        Key::Failsafe,
        member_key("b"),
    ];
    for garbage in ["", "[", "null", "42x", "\"text\"", "[[1]]"] {
        for key in &keys {
            put(&b, key, garbage, Condition::ALWAYS).await;
        }
        let view = load(&a).await;
        assert_eq!(view.system_id(), None, "{garbage}");
        assert_eq!(view.config, None, "{garbage}");
        assert_eq!(view.failover, None, "{garbage}");
        assert_eq!(view.sync_state(), None, "{garbage}");
        assert_eq!(view.status.optime, None, "{garbage}");
        assert!(view.failsafe.is_empty(), "{garbage}");
        let b = view.members.get(&name("b")).expect("the member is there");
        assert!(!b.is_running(), "{garbage}");
    }
}
