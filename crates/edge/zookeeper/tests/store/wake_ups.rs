//! The watch: wakes on what matters, and lives on when its server is killed.

use pgherd_ports::{Condition, Dcs as _, Key, Wake};
use pgherd_zookeeper::ZooKeeper;
use tokio::time::timeout;

use crate::server::{Servers, is_there};
use crate::{PATIENCE, member, name, options, ready};

async fn woken(wake: &Wake, why: &str) {
    let over = timeout(PATIENCE, wake.woken()).await;
    assert!(over.is_ok(), "not woken within {PATIENCE:?}: {why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_wake_the_loop_also_after_a_restart() {
    if !is_there() {
        return;
    }
    let mut servers = Servers::start(1);
    ready(servers.hosts()).await;
    let wake = Wake::new();
    let options = || options(servers.hosts(), "wake");
    let _dcs = ZooKeeper::connect(options(), Some(name("a")), wake.clone());
    let b = member("b", options());
    woken(&wake, "the watch begins").await;
    let key = Key::Member(name("b"));
    let running = r#"{"state":"running"}"#;
    b.put(&key, running, Condition::ALWAYS).await.unwrap();
    woken(&wake, "a member joins").await;
    b.acquire_leader().await.unwrap();
    woken(&wake, "the leader key is taken").await;
    b.put(&Key::Config, "{}", Condition::ALWAYS).await.unwrap();
    woken(&wake, "the configuration comes").await;
    b.put(&Key::Config, "{\"ttl\":30}", Condition::ALWAYS)
        .await
        .unwrap();
    woken(&wake, "the configuration changes").await;
    let stopped = r#"{"state":"stopped"}"#;
    b.put(&key, stopped, Condition::ALWAYS).await.unwrap();
    woken(&wake, "a member changes its state").await;
    b.release_leader().await.unwrap();
    woken(&wake, "the leader key is released").await;
    b.leave().await.unwrap();
    woken(&wake, "a member leaves").await;
    drop(b);

    servers.kill_all();
    servers.start_all();
    woken(&wake, "the watch begins anew").await;
    let b = member("b", crate::options(servers.hosts(), "wake"));
    crate::until("the restarted server answers", async || {
        b.acquire_leader().await.is_ok()
    })
    .await;
    woken(&wake, "the leader key is taken").await;
}
