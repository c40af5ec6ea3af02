//! The model of the DCS on its own: leases, unknown outcomes, what wakes.

use std::time::Duration;

use pgherd_domain::MemberName;
use pgherd_ports::{Acquisition, Condition, Dcs, DcsError, HandOver, Key, Leading, Wake, Written};

use super::{Service, SimDcs, keep_leases, watch};
use crate::network::Place;
use crate::process::Process;
use crate::world::World;

const TTL: Duration = Duration::from_secs(30);

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

fn world(members: &[&str]) -> (World, Vec<SimDcs>) {
    let world = World::new(1);
    for member in members {
        world.add_host(&name(member));
    }
    world.spawn(keep_leases(world.clone()));
    let clients = members
        .iter()
        .map(|member| {
            SimDcs::new(
                Process::of(&world, &name(member)),
                TTL,
                Duration::from_secs(10),
            )
        })
        .collect();
    (world, clients)
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_ends_after_its_ttl_and_never_before() {
    let (world, clients) = world(&["a", "b"]);
    assert_eq!(clients[0].acquire_leader().await, Ok(Acquisition::Mine));
    assert_eq!(clients[1].acquire_leader().await, Ok(Acquisition::Taken));
    let sent = world.now();
    clients[0].renew().await.unwrap();
    world
        .until(|state| state.store.leader().is_none().then_some(()))
        .await;
    assert!(world.now() >= sent + TTL, "{:?}", world.now());
    assert!(world.now() <= sent + TTL + Duration::from_secs(1));
    let renewal = clients[0].renew().await.unwrap();
    assert!(!renewal.alive);
    assert_eq!(renewal.leading, Leading::Nobody);
    assert_eq!(clients[1].acquire_leader().await, Ok(Acquisition::Mine));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_leaves_the_write_done() {
    let (world, clients) = world(&["a"]);
    let (a, dcs) = (Place::Member(name("a")), Place::Dcs);
    world.change(|state| state.network.cut(&dcs, &a));
    let put = clients[0].put(&Key::Config, "{}", Condition::ABSENT).await;
    assert!(matches!(put, Err(DcsError::TimedOut(..))), "{put:?}");
    assert_eq!(
        world
            .look(|state| state.store.value("config").map(str::to_owned))
            .as_deref(),
        Some("{}")
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_of_a_former_leader_that_arrives_late_is_refused_by_its_fence() {
    let (world, clients) = world(&["a", "b"]);
    clients[0].acquire_leader().await.unwrap();
    assert!(clients[0].release_leader().await.unwrap());
    clients[1].acquire_leader().await.unwrap();
    let put = clients[0].put(&Key::Status, "{}", Condition::LEADING).await;
    assert_eq!(put, Ok(Written::Refused));
    assert!(world.look(|state| state.store.value("status").is_none()));
}

#[tokio::test(start_paused = true)]
async fn the_key_is_handed_over_onto_the_successors_lease() {
    let (world, clients) = world(&["a", "b"]);
    clients[0].acquire_leader().await.unwrap();
    assert_eq!(
        clients[0].hand_over(&name("b")).await,
        Ok(HandOver::NoLease)
    );
    clients[1]
        .put(&Key::Member(name("b")), "{}", Condition::ALWAYS)
        .await
        .unwrap();
    assert_eq!(clients[0].hand_over(&name("b")).await, Ok(HandOver::Done));
    assert_eq!(clients[1].renew().await.unwrap().leading, Leading::Me);
    clients[0].leave().await.unwrap();
    assert_eq!(
        world
            .look(|state| state.store.leader().map(str::to_owned))
            .as_deref(),
        Some("b")
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_without_quorum_ends_no_lease_and_gives_the_full_ttl_afterwards() {
    let (world, clients) = world(&["a"]);
    clients[0].acquire_leader().await.unwrap();
    world.change(|state| {
        let now = state.now;
        state.store.serve(now, Service::Silent);
    });
    assert!(matches!(
        clients[0].renew().await,
        Err(DcsError::TimedOut(..))
    ));
    world.sleep(Duration::from_secs(100)).await;
    world.change(|state| {
        let now = state.now;
        state.store.serve(now, Service::Up);
    });
    world.sleep(Duration::from_secs(29)).await;
    assert!(world.look(|state| state.store.leader().is_some()));
    world.sleep(Duration::from_secs(3)).await;
    assert!(world.look(|state| state.store.leader().is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_mere_position_wakes_nobody_and_a_new_leader_does() {
    let (world, clients) = world(&["a", "b"]);
    let wake = Wake::new();
    let member = Key::Member(name("a"));
    clients[0]
        .put(&member, r#"{"state":"running"}"#, Condition::ALWAYS)
        .await
        .unwrap();
    world.spawn(watch(Process::of(&world, &name("b")), wake.clone()));
    world.sleep(Duration::from_secs(1)).await;
    clients[0]
        .put(
            &member,
            r#"{"state":"running","xlog_location":5}"#,
            Condition::ALWAYS,
        )
        .await
        .unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(1), wake.woken()).await;
    assert!(quiet.is_err());
    clients[0].acquire_leader().await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(1), wake.woken()).await;
    assert!(woken.is_ok());
}
