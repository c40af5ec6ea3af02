//! The leader key: one holder, and only it decides who is next.

use pgherd_domain::Revision;

use super::{Ground, acquire, join, leader, load, name};
use crate::{Acquisition, HandOver, Leading};

/// Of all who ask for the key one gets it.
pub async fn the_leader_key_is_created_once(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    assert_eq!(acquire(&a).await, Acquisition::Mine);
    assert_eq!(acquire(&b).await, Acquisition::Taken);
    assert_eq!(leader(&b).await.as_deref(), Some("a"));
    let seen_by = |view: pgherd_domain::ClusterView| view.leader.map(|key| key.on_my_lease);
    assert_eq!(seen_by(load(&a).await), Some(true));
    assert_eq!(seen_by(load(&b).await), Some(false));
}

/// A key that is mine on my lease counts as mine, and does not change: its revision orders terms of office.
pub async fn taking_the_key_again_changes_nothing(ground: &dyn Ground) {
    let a = ground.member("a").await;
    assert_eq!(acquire(&a).await, Acquisition::Mine);
    let before = leader_revision(&load(&a).await);
    assert_eq!(acquire(&a).await, Acquisition::Mine);
    a.renew().await.expect("the store answers");
    assert_eq!(leader_revision(&load(&a).await), before);
}

/// Nobody has to wait for a lease to end after a release; the new holder's revision is higher.
pub async fn a_released_key_is_free_at_once(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    acquire(&a).await;
    let before = leader_revision(&load(&a).await);
    assert!(a.release_leader().await.expect("the store answers"));
    assert_eq!(leader(&a).await, None);
    assert_eq!(acquire(&b).await, Acquisition::Mine);
    assert!(leader_revision(&load(&a).await) > before);
}

/// A release by anybody else changes nothing, and says so.
pub async fn only_the_holder_releases(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    assert!(!a.release_leader().await.expect("the store answers"));
    acquire(&a).await;
    assert!(!b.release_leader().await.expect("the store answers"));
    assert_eq!(leader(&b).await.as_deref(), Some("a"));
}

/// After a restart the key still holds my name, on the lease of my former life: it is not mine until I have
/// taken it onto my lease. Then it outlives the former one.
pub async fn a_restarted_member_takes_its_own_key_over(ground: &dyn Ground) {
    let before = ground.member("a").await;
    assert_eq!(acquire(&before).await, Acquisition::Mine);
    let after = ground.member("a").await;
    let seen = after.renew().await.expect("the store answers");
    assert_ne!(seen.leading, Leading::Me);
    assert_eq!(acquire(&after).await, Acquisition::Mine);
    let b = ground.member("b").await;
    assert_eq!(acquire(&b).await, Acquisition::Taken);
    for _ in 0..16 {
        ground.advance(ground.ttl() / 8).await;
        let renewal = after.renew().await.expect("the store answers");
        assert_eq!((renewal.alive, renewal.leading), (true, Leading::Me));
    }
}

/// The successor holds the key in the same moment, and the predecessor's end does not touch it.
pub async fn a_key_is_handed_over_onto_the_successors_lease(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    join(&b, "b").await;
    acquire(&a).await;
    let handed = a.hand_over(&name("b")).await.expect("the store answers");
    assert_eq!(handed, HandOver::Done);
    let renewal = b.renew().await.expect("the store answers");
    assert_eq!((renewal.alive, renewal.leading), (true, Leading::Me));
    a.leave().await.expect("the store answers");
    assert_eq!(leader(&a).await.as_deref(), Some("b"));
    assert_eq!(acquire(&b).await, Acquisition::Mine);
}

/// A member that never joined has no lease to hold the key on; the holder keeps it.
pub async fn a_successor_without_a_lease_gets_nothing(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    acquire(&a).await;
    let handed = a.hand_over(&name("b")).await.expect("the store answers");
    assert_eq!(handed, HandOver::NoLease);
    join(&b, "b").await;
    b.leave().await.expect("the store answers");
    let handed = a.hand_over(&name("b")).await.expect("the store answers");
    assert_eq!(handed, HandOver::NoLease);
    assert_eq!(leader(&a).await.as_deref(), Some("a"));
}

/// Who does not hold the key can not give it away.
pub async fn only_the_holder_hands_over(ground: &dyn Ground) {
    let (a, b) = (ground.member("a").await, ground.member("b").await);
    join(&a, "a").await;
    join(&b, "b").await;
    acquire(&a).await;
    let handed = b.hand_over(&name("b")).await.expect("the store answers");
    assert_eq!(handed, HandOver::NotMine);
    assert_eq!(leader(&a).await.as_deref(), Some("a"));
}

fn leader_revision(view: &pgherd_domain::ClusterView) -> Option<Revision> {
    view.leader.as_ref().map(|key| key.revision)
}
