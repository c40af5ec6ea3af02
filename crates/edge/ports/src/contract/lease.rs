//! The lease: as long as it is renewed both keys stay, and when it ends both go.

use super::{Ground, RUNNING, acquire, join, leader, load, member_key, name, put, until};
use crate::{Acquisition, Condition, Leading};

/// A lease that is renewed outlives its ttl.
pub async fn renewals_keep_the_keys(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    join(&a, "a").await;
    acquire(&a).await;
    for _ in 0..16 {
        ground.advance(ground.ttl() / 8).await;
        let renewal = a.renew().await.expect("the store answers");
        assert_eq!((renewal.alive, renewal.leading), (true, Leading::Me));
    }
    let view = load(&b).await;
    assert_eq!(view.leader_name(), Some(&name("a")));
    assert!(view.members.contains_key(&name("a")));
}

/// A lease that nobody renews takes the leader key and the member key with it, and nothing else.
pub async fn a_lease_that_ends_frees_both_keys(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    join(&a, "a").await;
    acquire(&a).await;
    put(
        &a,
        &crate::Key::Status,
        "{\"optime\":1}",
        Condition::LEADING,
    )
    .await;
    ground.advance(ground.ttl() / 2).await;
    assert_eq!(leader(&b).await.as_deref(), Some("a"), "not before its ttl");
    until(ground, &b, "both keys are gone", |view| {
        view.leader.is_none() && view.members.is_empty()
    })
    .await;
    assert!(load(&b).await.status.optime.is_some());
    assert_eq!(acquire(&b).await, Acquisition::Mine);
}

/// A renewal reads the leader key too.
pub async fn a_renewal_tells_who_leads(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    join(&a, "a").await;
    join(&b, "b").await;
    let told = async |dcs: &std::sync::Arc<dyn crate::Dcs>| {
        let renewal = dcs.renew().await.expect("the store answers");
        assert!(renewal.alive);
        renewal.leading
    };
    assert_eq!(told(&a).await, Leading::Nobody);
    acquire(&a).await;
    assert_eq!(told(&a).await, Leading::Me);
    assert_eq!(told(&b).await, Leading::Other(name("a")));
    a.release_leader().await.expect("the store answers");
    assert_eq!(told(&b).await, Leading::Nobody);
}

/// A renewal that comes too late says so; the next write under a lease makes another one.
pub async fn after_a_lease_ended_the_next_write_makes_another(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    join(&a, "a").await;
    until(ground, &b, "the member key is gone", |view| {
        view.members.is_empty()
    })
    .await;
    let renewal = a.renew().await.expect("the store answers");
    assert_eq!((renewal.alive, renewal.leading), (false, Leading::Nobody));
    join(&a, "a").await;
    assert!(a.renew().await.expect("the store answers").alive);
    assert!(load(&b).await.members.contains_key(&name("a")));
}

/// Who leaves is gone at once, and may come back.
pub async fn leaving_takes_both_keys_away_at_once(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    a.leave().await.expect("leaving without a lease is nothing");
    join(&a, "a").await;
    join(&b, "b").await;
    acquire(&a).await;
    a.leave().await.expect("the store answers");
    let view = load(&b).await;
    assert_eq!(view.leader, None);
    assert_eq!(view.members.keys().collect::<Vec<_>>(), [&name("b")]);
    assert!(!a.renew().await.expect("the store answers").alive);
    join(&a, "a").await;
    assert_eq!(acquire(&a).await, Acquisition::Mine);
}

/// After a change of ttl the keys are where they were, with the values they had, and stay mine.
pub async fn another_ttl_keeps_both_keys(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    join(&a, "a").await;
    acquire(&a).await;
    let before = load(&b).await;
    a.set_ttl(ground.ttl() * 2);
    for _ in 0..2 {
        let renewal = a.renew().await.expect("the store answers");
        assert_eq!((renewal.alive, renewal.leading), (true, Leading::Me));
    }
    let of_lease = a.lease_ttl().unwrap_or(ground.ttl() * 2);
    assert_eq!(of_lease, ground.ttl() * 2);
    // Longer than the former ttl, with all slack, but shorter than the new one.
    ground.advance(ground.ttl() * 7 / 4).await;
    let after = load(&b).await;
    assert_eq!(after.members, before.members);
    assert_eq!(after.leader_name(), before.leader_name());
    put(&a, &member_key("a"), RUNNING, Condition::ALWAYS).await;
    put(&a, &crate::Key::Status, "{}", Condition::LEADING).await;
}

/// A shorter ttl holds from the next renewal on.
pub async fn a_shorter_ttl_ends_the_lease_sooner(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    a.set_ttl(ground.ttl() * 100);
    join(&a, "a").await;
    acquire(&a).await;
    a.set_ttl(ground.ttl());
    let renewal = a.renew().await.expect("the store answers");
    assert_eq!((renewal.alive, renewal.leading), (true, Leading::Me));
    until(ground, &b, "both keys are gone", |view| {
        view.leader.is_none() && view.members.is_empty()
    })
    .await;
}
