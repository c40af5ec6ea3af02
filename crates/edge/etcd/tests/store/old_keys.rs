//! A cluster that Patroni leads by etcd's old API is not taken up by the new one.

use pgherd_ports::{Acquisition, Dcs as _, DcsError};

use crate::server::Servers;
use crate::{member, options, ready, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_a_cluster_up_that_is_led_by_the_old_api() {
    let servers = Servers::start_with(1, "http", &["--enable-v2=true".to_owned()]);
    let a = member("a", options(servers.urls()));
    ready(&a).await;
    let url = format!("{}/v2/keys/service/demo/leader", servers.urls()[0]);
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().unwrap();
    let http = reqwest::Client::new();
    let led = http.put(format!("{url}?value=old&ttl=60"));
    led.send().await.unwrap().error_for_status().unwrap();
    let refused = a.load().await.unwrap_err();
    let DcsError::Answered(why) = &refused else {
        unreachable!("{refused}");
    };
    assert!(
        why.starts_with("old leads this cluster by etcd's old API"),
        "{why}"
    );

    // It has moved: its old key ends, and nothing is in the way.
    let gone = http.delete(&url).send().await.unwrap();
    gone.error_for_status().unwrap();
    until("it is taken up", async || a.load().await.is_ok()).await;
    assert_eq!(a.acquire_leader().await, Ok(Acquisition::Mine));

    // What is led by the new API is nobody else's, whatever is left of old.
    let led = http.put(format!("{url}?value=old"));
    led.send().await.unwrap().error_for_status().unwrap();
    assert!(a.load().await.unwrap().leader.is_some());
}
