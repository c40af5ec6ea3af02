//! The contract of the port, on one etcd server: every rule at once, each in a cluster of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_ports::Dcs;
use pgherd_ports::contract::{Ground, rules};

use crate::server::Servers;
use crate::{member, options, ready};

struct OneCluster {
    urls: Vec<String>,
    scope: &'static str,
}

#[async_trait]
impl Ground for OneCluster {
    async fn member(&self, name: &str) -> Arc<dyn Dcs> {
        let mut options = options(self.urls.clone());
        options.ttl = self.ttl();
        options.scope = self.scope.to_owned();
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
async fn every_rule_is_kept() {
    let servers = Servers::start(1);
    ready(&member("first", options(servers.urls()))).await;
    let running = rules().into_iter().map(|(scope, rule)| {
        let urls = servers.urls();
        let tried = tokio::spawn(async move { rule(&OneCluster { urls, scope }).await });
        (scope, tried)
    });
    let running: Vec<_> = running.collect();
    assert_eq!(running.len(), 26);
    let mut broken = Vec::new();
    for (rule, tried) in running {
        if tried.await.is_err() {
            broken.push(rule);
        }
    }
    assert_eq!(broken, [""; 0], "their panics are above");
}
