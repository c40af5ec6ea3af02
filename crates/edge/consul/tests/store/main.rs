//! The DCS port on a real Consul server, started for each test on a loopback address of its own.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where something is not as it must be"
)]

#[path = "../../../etcd/tests/store/certificates.rs"]
mod certificates;
mod contract;
mod ends;
mod link;
mod lost_answers;
mod server;
mod service;
mod tls;
mod wake_ups;

use std::time::Duration;

use pgherd_consul::{Consul, ConsulOptions};
use pgherd_domain::MemberName;
use pgherd_ports::{Dcs as _, Wake};

/// Nothing here takes that long, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The ttl of most tests: deadlines are fractions of it and must leave room for a busy machine.
const TTL: Duration = Duration::from_secs(6);

/// Options for a cluster `demo`.
fn options(url: String) -> ConsulOptions {
    ConsulOptions {
        consul: pgherd_settings::Consul {
            url,
            ..Default::default()
        },
        namespace: "/service/".into(),
        scope: "demo".into(),
        ttl: TTL,
        retry_timeout: Duration::from_secs(10),
    }
}

fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("a valid name")
}

/// A member that nobody wakes.
fn member(text: &str, options: ConsulOptions) -> Consul {
    Consul::connect(options, Some(name(text)), Wake::new())
}

/// Reads until Consul answers.
async fn ready(dcs: &Consul) {
    until("Consul answers", async || dcs.load().await.is_ok()).await;
}

/// Asks again and again until it holds.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let over = tokio::time::timeout(PATIENCE, asking).await;
    assert!(over.is_ok(), "not within {PATIENCE:?}: {what}");
}
