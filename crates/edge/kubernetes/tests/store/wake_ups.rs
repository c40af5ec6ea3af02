//! The watches: they wake on what matters, and live on whatever happens to the server.

use pgherd_kube_api::Verdict;
use pgherd_kubernetes::Kubernetes;
use pgherd_ports::{Acquisition, Condition, Dcs as _, Key, Wake};
use tokio::time::{Instant, timeout};

use crate::{Ours, PATIENCE, TTL, join, name};

async fn woken(wake: &Wake, why: &str) {
    let over = timeout(PATIENCE, wake.woken()).await;
    assert!(over.is_ok(), "not woken within {PATIENCE:?}: {why}");
}

/// Until nothing more comes.
async fn quiet(wake: &Wake) {
    while timeout(TTL / 8, wake.woken()).await.is_ok() {}
}

pub(crate) async fn changes_wake_the_loop_and_so_does_the_end_of_a_lease() {
    let ours = Ours::start().await;
    let b = ours.member("b");
    let wake = Wake::new();
    let a = Kubernetes::connect(ours.options(), Some(name("a")), wake.clone());
    woken(&wake, "the watches begin").await;
    quiet(&wake).await;
    join(&b, "b").await;
    woken(&wake, "a member joins").await;
    quiet(&wake).await;
    b.put(&Key::Config, "{}", Condition::ALWAYS).await.unwrap();
    woken(&wake, "the configuration changes").await;
    quiet(&wake).await;
    let taken = Instant::now();
    b.acquire_leader().await.unwrap();
    woken(&wake, "the leader key is taken").await;
    quiet(&wake).await;
    woken(&wake, "its lease has run out").await;
    assert!(taken.elapsed() >= TTL, "{:?}", taken.elapsed());
    assert_eq!(a.acquire_leader().await, Ok(Acquisition::Mine));
    assert!(taken.elapsed() >= TTL, "{:?}", taken.elapsed());

    // A version that is too old: everything is read again.
    quiet(&wake).await;
    ours.api
        .rule(|method, path| match (method, path.contains("demo-")) {
            ("GET", false) => Verdict::Refuse(503),
            _ => Verdict::Serve,
        });
    let stopped = r#"{"state":"stopped"}"#;
    let key = Key::Member(name("b"));
    quiet(&wake).await;
    tokio::time::sleep(TTL / 2).await;
    b.put(&key, stopped, Condition::ALWAYS).await.unwrap();
    ours.api.forget_changes();
    ours.api.rule(|_, _| Verdict::Serve);
    woken(&wake, "the watch begins anew").await;
    quiet(&wake).await;
    b.put(&key, crate::RUNNING, Condition::ALWAYS)
        .await
        .unwrap();
    woken(&wake, "a member changes its state").await;
}
