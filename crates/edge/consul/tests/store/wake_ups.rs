//! The watch: wakes on what matters, and lives on whatever happens to Consul.

use pgherd_consul::Consul;
use pgherd_ports::{Condition, Dcs as _, DcsError, Key, OperatorDcs as _, Wake};
use tokio::time::{Instant, timeout};

use crate::link::Link;
use crate::server::Agent;
use crate::{PATIENCE, TTL, member, name, options, ready};

async fn woken(wake: &Wake, why: &str) {
    let over = timeout(PATIENCE, wake.woken()).await;
    assert!(over.is_ok(), "not woken within {PATIENCE:?}: {why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_wake_the_loop_and_erasing_takes_all_of_a_cluster() {
    let Some(server) = Agent::server() else {
        return;
    };
    let b = member("b", options(server.url()));
    ready(&b).await;
    let wake = Wake::new();
    let _dcs = Consul::connect(options(server.url()), Some(name("a")), wake.clone());
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

    // a neighbour whose name begins alike, and a group of a Citus cluster, which is below
    let of = |scope: &str| {
        let mut options = options(server.url());
        options.scope = scope.to_owned();
        Consul::connect(options, None, Wake::new())
    };
    for scope in ["demo2", "demo/0"] {
        let put = of(scope).put(&Key::Config, "{}", Condition::ALWAYS).await;
        put.unwrap();
    }
    let operator = of("demo");
    assert_eq!(operator.groups().await.unwrap(), [0]);
    operator.erase().await.unwrap();
    assert!(of("demo/0").load().await.unwrap().config.is_none());
    assert!(of("demo2").load().await.unwrap().config.is_some());
    assert!(operator.groups().await.unwrap().is_empty());
    operator.erase().await.expect("once more is no failure");
}

/// A connection that turned silent looks like one on which nothing happens; the watch finds out. And everything goes on
/// by itself when the server comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watch_survives_silence_and_a_restart() {
    let Some(mut server) = Agent::server() else {
        return;
    };
    let link = Link::to(server.port()).await;
    let wake = Wake::new();
    let dcs = Consul::connect(options(link.url()), Some(name("a")), wake.clone());
    woken(&wake, "the watch begins").await;
    ready(&dcs).await;
    // Between two of its reads the watch has nothing that could be cut.
    let mut cuts = 0;
    loop {
        link.cut();
        cuts += 1;
        if timeout(TTL, wake.woken()).await.is_ok() {
            break;
        }
        assert!(cuts < 5, "the watch never begins anew");
    }
    dcs.acquire_leader().await.unwrap();
    woken(&wake, "the leader key is taken").await;

    server.kill();
    let begun = Instant::now();
    let said = dcs.renew().await.unwrap_err();
    assert!(begun.elapsed() <= TTL / 3, "{:?}", begun.elapsed());
    assert!(said.to_string().contains(&link.url()), "{said}");
    let refused = member("b", options(server.url())).load().await.unwrap_err();
    assert!(matches!(refused, DcsError::Unreachable(_)), "{refused:?}");
    assert!(refused.to_string().contains("refused"), "{refused}");
    server.start_again();
    woken(&wake, "the watch begins once more").await;
    ready(&dcs).await;
    dcs.acquire_leader().await.unwrap();
}
