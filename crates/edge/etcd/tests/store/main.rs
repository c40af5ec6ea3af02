//! The DCS port on real etcd servers, started for each test on loopback addresses of its own. What must hold on either of
//! etcd's APIs is run by the store on the old one too.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests end the test where something is not as it must be"
)]

mod black_hole;
mod certificates;
mod contract;
mod erase;
mod link;
mod lost_answers;
mod many_endpoints;
mod old_keys;
mod outage;
mod server;
mod tls;
mod users;
mod wake_ups;

use std::time::Duration;

use pgherd_domain::MemberName;
use pgherd_etcd::{Etcd, EtcdOptions};
use pgherd_ports::{Dcs as _, DcsError, Wake};

/// What every server is started with.
const FLAGS: &[&str] = &[];
/// Nothing here takes that long, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The ttl of most tests: deadlines are fractions of it and must leave room for a busy machine.
const TTL: Duration = Duration::from_secs(6);

/// Options for a cluster `demo` on these endpoints, and on no others.
fn options(hosts: Vec<String>) -> EtcdOptions {
    EtcdOptions {
        etcd: pgherd_settings::Etcd {
            hosts,
            use_proxies: true,
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
fn member(text: &str, options: EtcdOptions) -> Etcd {
    Etcd::connect(options, Some(name(text)), Wake::new())
}

/// Reads until etcd answers.
async fn ready(dcs: &Etcd) {
    until("etcd answers", async || dcs.load().await.is_ok()).await;
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

/// What an error says.
fn text<T: std::fmt::Debug>(result: Result<T, DcsError>) -> String {
    result.expect_err("nobody can have answered").to_string()
}
