//! The contract of the port: every rule at once, each in a namespace of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use pgherd_kubernetes::Kubernetes;
use pgherd_ports::contract::{Ground, rules};
use pgherd_ports::{Dcs, Wake};

use crate::{Ours, TTL, member, options, pod, until, with_endpoints};

/// Whoever makes pods, in a namespace that may have to be made as well.
pub(crate) trait Pods: Send + Sync {
    /// Makes a namespace.
    fn namespace(&self, name: &str);
    /// Makes a pod in it.
    fn pod(&self, namespace: &str, name: &str);
}

impl Pods for Ours {
    fn namespace(&self, _name: &str) {}

    fn pod(&self, namespace: &str, name: &str) {
        self.api
            .create("pods", namespace, pod(name, "demo"))
            .unwrap();
    }
}

struct OneCluster {
    config: Utf8PathBuf,
    namespace: String,
    endpoints: bool,
    ttl: Duration,
}

#[async_trait]
impl Ground for OneCluster {
    async fn member(&self, name: &str) -> Arc<dyn Dcs> {
        let mut options = options(self.config.clone());
        options.ttl = self.ttl();
        options.kubernetes.namespace.clone_from(&self.namespace);
        if self.endpoints {
            options = with_endpoints(options, "10.0.0.1");
        }
        Arc::new(member(name, options))
    }

    fn ttl(&self) -> Duration {
        self.ttl
    }

    async fn advance(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// Tries every rule on a server at once, with objects of these kinds.
pub(crate) async fn keeps_every_rule(
    pods: &dyn Pods,
    config: &Utf8PathBuf,
    with_endpoints: &[bool],
    ttl: Duration,
) {
    let mut grounds = Vec::new();
    for (rule_name, rule) in rules() {
        for &endpoints in with_endpoints {
            let kind = if endpoints { "e" } else { "c" };
            let ground = OneCluster {
                config: config.clone(),
                namespace: format!("{kind}-{}", rule_name.replace('_', "-")),
                endpoints,
                ttl,
            };
            pods.namespace(&ground.namespace);
            // Nobody else is a member in any rule.
            for name in ["a", "b"] {
                pods.pod(&ground.namespace, name);
            }
            grounds.push((rule, ground));
        }
    }
    assert_eq!(grounds.len(), 26 * with_endpoints.len());
    // The next one begins when the server has time for it: on a busy machine all at once would meet their deadlines.
    let probe = Kubernetes::connect(options(config.clone()), None, Wake::new());
    let mut running = Vec::new();
    for (rule, ground) in grounds {
        let name = ground.namespace.clone();
        let tried = tokio::spawn(async move { rule(&ground).await });
        running.push((name, tried));
        until("the server answers", async || probe.load().await.is_ok()).await;
    }
    let mut broken = Vec::new();
    for (rule, tried) in running {
        if tried.await.is_err() {
            broken.push(rule);
        }
    }
    assert_eq!(broken, [""; 0], "their panics are above");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_is_kept() {
    let ours = Ours::start().await;
    // Endpoints differ in their kind alone; `looks`, the real server and the suite of whole clusters have them.
    keeps_every_rule(&ours, &ours.file(), &[false], TTL * 2).await;
}
