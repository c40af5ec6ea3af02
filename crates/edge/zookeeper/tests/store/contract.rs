//! The contract of the port, on one ZooKeeper server: it takes two seconds to start, so all rules share it, each with a
//! cluster of its own, and mostly wait beside each other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_ports::Dcs;
use pgherd_ports::contract::{Ground, rules};
use pgherd_settings::HostPort;
use tokio::task::JoinSet;

use crate::server::{Servers, is_there};
use crate::{member, options, ready};

#[derive(Clone)]
struct OneCluster {
    hosts: Vec<HostPort>,
    scope: &'static str,
}

#[async_trait]
impl Ground for OneCluster {
    async fn member(&self, name: &str) -> Arc<dyn Dcs> {
        let mut options = options(self.hosts.clone(), self.scope);
        options.ttl = self.ttl();
        Arc::new(member(name, options))
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(4)
    }

    async fn advance(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_the_port_is_kept() {
    if !is_there() {
        return;
    }
    let servers = Servers::start(1);
    ready(servers.hosts()).await;
    let mut running = JoinSet::new();
    for (scope, rule) in rules() {
        let hosts = servers.hosts();
        running.spawn(async move {
            let ground = OneCluster { hosts, scope };
            rule(&ground).await;
            scope
        });
    }
    let mut broken = Vec::new();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(kept) => println!("kept: {kept}"),
            Err(error) => broken.push(error.to_string()),
        }
    }
    assert_eq!(broken, [""; 0], "rules that were broken, see above");
}
