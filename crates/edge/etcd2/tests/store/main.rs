//! The DCS port on etcd's old API, on real servers that have it switched on. What must hold on either API is in the tests of
//! the store on today's, and run here as well.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests end the test where something is not as it must be"
)]

#[path = "../../../etcd/tests/store/black_hole.rs"]
mod black_hole;
#[path = "../../../etcd/tests/store/certificates.rs"]
mod certificates;
mod choice;
mod contract;
mod endings;
#[path = "../../../etcd/tests/store/erase.rs"]
mod erase;
#[path = "../../../etcd/tests/store/link.rs"]
mod link;
#[path = "../../../etcd/tests/store/lost_answers.rs"]
mod lost_answers;
#[path = "../../../etcd/tests/store/many_endpoints.rs"]
mod many_endpoints;
#[path = "../../../etcd/tests/store/server.rs"]
mod server;
mod tls;
mod users;
#[path = "../../../etcd/tests/store/wake_ups.rs"]
mod wake_ups;

use std::time::Duration;

use pgherd_domain::MemberName;
use pgherd_etcd::EtcdOptions;
use pgherd_etcd2::OldEtcd as Etcd;
use pgherd_ports::{Dcs as _, DcsError, Wake};

/// What every server is started with.
const FLAGS: &[&str] = &["--enable-v2=true"];
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

/// A client of HTTP, to see and do what the store does not.
fn http() -> reqwest::Client {
    let tls = pgherd_settings::EtcdTls::default();
    let builder = pgherd_etcd::shared::http_builder(&tls, false).expect("there are certificates");
    builder.build().expect("a client can be made")
}
