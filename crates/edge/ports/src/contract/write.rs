//! Conditional writes: a late or stale actor gets a refusal, never a silent write.

use super::{Ground, acquire, join, load, name, put, put_refused};
use crate::{Acquisition, Condition, HandOver, Key, Written};

/// Of all who create a key one succeeds.
pub async fn an_absent_key_is_created_once(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    // The same value, as two members claim the bootstrap: being equal does not make it ours.
    put(&a, &Key::Initialize, "", Condition::ABSENT).await;
    put_refused(&b, &Key::Initialize, "", Condition::ABSENT).await;
    put(&a, &Key::Config, "{}", Condition::unchanged(None)).await;
    put_refused(&b, &Key::Config, "{\"ttl\":1}", Condition::ABSENT).await;
    let config = load(&b).await.config.expect("the config is there");
    assert_eq!(config.value.to_string(), "{}");
}

/// A write against a revision that is not the key's any more is refused, also when the value is equal.
pub async fn a_stale_writer_is_refused(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    let first = put(&a, &Key::Sync, r#"{"leader":"a"}"#, Condition::ABSENT).await;
    let unchanged = Condition::unchanged(Some(first));
    let second = put(&a, &Key::Sync, r#"{"leader":"b"}"#, unchanged).await;
    assert!(second > first);
    put_refused(&b, &Key::Sync, r#"{"leader":"b"}"#, unchanged).await;
    put_refused(&b, &Key::Sync, r#"{"leader":"c"}"#, unchanged).await;
    let sync = load(&a).await.sync.expect("the key is there");
    assert_eq!(sync.revision, second);
    put(&b, &Key::Sync, "{}", Condition::unchanged(Some(second))).await;
}

/// A write that changes nothing leaves another revision behind all the same: what was sent before and comes later is refused.
pub async fn the_same_once_more_overtakes(ground: &dyn Ground) {
    let a = ground.member("a").await;
    join(&a, "a").await;
    acquire(&a).await;
    let document = r#"{"leader":"a","quorum":0,"sync_standby":null}"#;
    let first = put(&a, &Key::Sync, document, Condition::ABSENT.and_leading()).await;
    let unchanged = Condition::unchanged(Some(first)).and_leading();
    let second = put(&a, &Key::Sync, document, unchanged).await;
    assert!(second > first, "{second} after {first}");
    let late = r#"{"leader":"a","quorum":0,"sync_standby":"b"}"#;
    put_refused(&a, &Key::Sync, late, unchanged).await;
}

/// Without a condition the last writer wins, whoever wrote before.
pub async fn an_unconditional_write_overwrites(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    for (dcs, value) in [(&a, "1"), (&b, "2"), (&a, "3"), (&a, "4"), (&b, "5")] {
        let document = format!("{{\"optime\":{value}}}");
        put(dcs, &Key::Status, &document, Condition::ALWAYS).await;
        let optime = load(&b).await.status.optime.expect("it was written");
        assert_eq!(optime.as_u64().to_string(), value);
    }
    let gone = b.delete(&Key::Status, Condition::ALWAYS).await;
    assert!(matches!(gone, Ok(Written::Done(_))));
    put(&a, &Key::Status, "{\"optime\":6}", Condition::ALWAYS).await;
    assert!(load(&b).await.status.optime.is_some());
}

/// What only the leader may write, nobody else writes.
pub async fn who_does_not_lead_is_refused(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    put_refused(&b, &Key::Status, "{}", Condition::LEADING).await;
    join(&b, "b").await;
    put_refused(&b, &Key::Status, "{}", Condition::LEADING).await;
    acquire(&a).await;
    put(&a, &Key::Status, "{\"optime\":1}", Condition::LEADING).await;
    put_refused(&b, &Key::Status, "{\"optime\":2}", Condition::LEADING).await;
    let absent = Condition::ABSENT.and_leading();
    put_refused(&b, &Key::Sync, "{}", absent).await;
    put(&a, &Key::Sync, "{}", absent).await;
    let refused = b.delete(&Key::Sync, Condition::LEADING).await;
    assert_eq!(refused, Ok(Written::Refused));
}

/// A former leader is refused from the moment on at which the key moved, also if it does not know.
pub async fn who_led_before_is_refused(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    join(&a, "a").await;
    join(&b, "b").await;
    acquire(&a).await;
    let revision = put(&a, &Key::Sync, "{}", Condition::LEADING).await;
    let handed = a.hand_over(&name("b")).await;
    assert_eq!(handed, Ok(HandOver::Done));
    let unchanged = Condition::unchanged(Some(revision)).and_leading();
    put_refused(&a, &Key::Sync, "{}", unchanged).await;
    put(&b, &Key::Sync, r#"{"leader":"b"}"#, unchanged).await;
    b.leave().await.expect("the store answers");
    put_refused(&b, &Key::Status, "{}", Condition::LEADING).await;
    assert_eq!(acquire(&a).await, Acquisition::Mine);
}

/// Deleting what is not there is done at once.
pub async fn deleting_what_is_not_there_is_done(ground: &dyn Ground) {
    let a = ground.member("a").await;
    for _ in 0..2 {
        let gone = a.delete(&Key::Failover, Condition::ALWAYS).await;
        assert!(matches!(gone, Ok(Written::Done(_))), "{gone:?}");
    }
    let revision = put(&a, &Key::Failover, "{}", Condition::ABSENT).await;
    for _ in 0..2 {
        let unchanged = Condition::unchanged(Some(revision));
        let gone = a.delete(&Key::Failover, unchanged).await;
        assert!(matches!(gone, Ok(Written::Done(_))), "{gone:?}");
    }
    assert_eq!(load(&a).await.failover_revision, None);
}

/// A deletion of what has changed meanwhile is refused.
pub async fn a_stale_deletion_is_refused(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    let first = put(&a, &Key::Failover, "{}", Condition::ALWAYS).await;
    let order = r#"{"member":"b"}"#;
    put(&b, &Key::Failover, order, Condition::ALWAYS).await;
    let stale = Condition::unchanged(Some(first));
    let refused = a.delete(&Key::Failover, stale).await;
    assert_eq!(refused, Ok(Written::Refused));
    assert!(load(&a).await.failover.is_some());
}
