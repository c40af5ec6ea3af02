//! The watch: wakes on what matters, and lives on whatever happens to etcd.

use pgherd_ports::{Condition, Dcs as _, Key, Wake};
use tokio::time::{Instant, timeout};

use crate::link::Link;
use crate::server::Servers;
use crate::{Etcd, PATIENCE, TTL, member, name, options};

async fn woken(wake: &Wake, why: &str) {
    let over = timeout(PATIENCE, wake.woken()).await;
    assert!(over.is_ok(), "not woken within {PATIENCE:?}: {why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_wake_the_loop() {
    let servers = Servers::start(1);
    let wake = Wake::new();
    let _dcs = Etcd::connect(options(servers.urls()), Some(name("a")), wake.clone());
    let b = member("b", options(servers.urls()));
    woken(&wake, "the watch begins").await;
    let key = Key::Member(name("b"));
    let running = r#"{"state":"running"}"#;
    b.put(&key, running, Condition::ALWAYS).await.unwrap();
    woken(&wake, "a member joins").await;
    b.acquire_leader().await.unwrap();
    woken(&wake, "the leader key is taken").await;
    b.put(&Key::Config, "{}", Condition::ALWAYS).await.unwrap();
    woken(&wake, "the configuration changes").await;
    let stopped = r#"{"state":"stopped"}"#;
    b.put(&key, stopped, Condition::ALWAYS).await.unwrap();
    woken(&wake, "a member changes its state").await;
    b.release_leader().await.unwrap();
    woken(&wake, "the leader key is released").await;
    b.leave().await.unwrap();
    woken(&wake, "a member leaves").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watch_survives_a_restart() {
    let mut servers = Servers::start(1);
    let wake = Wake::new();
    let _dcs = Etcd::connect(options(servers.urls()), Some(name("a")), wake.clone());
    woken(&wake, "the watch begins").await;
    servers.kill_all();
    servers.start_all();
    woken(&wake, "the watch begins anew").await;
    let b = member("b", options(servers.urls()));
    b.acquire_leader().await.unwrap();
    woken(&wake, "the leader key is taken").await;
}

/// A connection that turned silent looks like one on which nothing happens; the watch finds out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_watch_is_replaced() {
    let servers = Servers::start(1);
    let target = servers.ports()[0];
    let links = [Link::to(target).await, Link::to(target).await];
    let wake = Wake::new();
    let hosts = links.iter().map(Link::url).collect();
    let _dcs = Etcd::connect(options(hosts), Some(name("a")), wake.clone());
    woken(&wake, "the watch begins").await;
    let begun = Instant::now();
    // The watch runs over one of them; which one is not to be known.
    for link in &links {
        link.cut();
        link.heal();
    }
    let b = member("b", options(servers.urls()));
    b.acquire_leader().await.unwrap();
    woken(&wake, "the leader key is taken").await;
    assert!(begun.elapsed() <= TTL, "{:?}", begun.elapsed());
    b.release_leader().await.unwrap();
    woken(&wake, "the leader key is released").await;
}
