//! The DCS port on real ZooKeeper servers, started for each test on loopback addresses of its own. Skipped, and said
//! so, where ZooKeeper is not installed.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests end the test where something is not as it must be"
)]

mod contract;
mod server;
mod silence;
mod tls;
mod wake_ups;

use std::time::Duration;

use pgherd_domain::MemberName;
use pgherd_ports::{Dcs as _, Wake};
use pgherd_settings::HostPort;
use pgherd_zookeeper::{ZooKeeper, ZooKeeperOptions};

/// Nothing here takes that long, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The ttl of most tests: deadlines are fractions of it and must leave room for a busy machine.
const TTL: Duration = Duration::from_secs(6);

/// Options for a cluster of this name on these servers.
fn options(hosts: Vec<HostPort>, scope: &str) -> ZooKeeperOptions {
    ZooKeeperOptions {
        zookeeper: pgherd_settings::ZooKeeper {
            hosts,
            ..Default::default()
        },
        namespace: "/service/".into(),
        scope: scope.into(),
        ttl: TTL,
        retry_timeout: Duration::from_secs(10),
    }
}

fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("a valid name")
}

/// A member that nobody wakes.
fn member(text: &str, options: ZooKeeperOptions) -> ZooKeeper {
    ZooKeeper::connect(options, Some(name(text)), Wake::new())
}

/// Reads until ZooKeeper answers.
async fn ready(hosts: Vec<HostPort>) {
    let dcs = member("first", options(hosts, "ready"));
    until("ZooKeeper answers", async || dcs.load().await.is_ok()).await;
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
