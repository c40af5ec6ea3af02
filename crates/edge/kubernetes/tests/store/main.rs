//! The DCS port on objects of Kubernetes: on our own API server, and on a real one where there is one.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where something is not as it must be"
)]

mod bypass;
#[path = "../../../etcd/tests/store/certificates.rs"]
mod certificates;
mod contract;
mod late;
mod looks;
mod patient;
mod real;
mod trouble;
mod wake_ups;

/// Where servers listen here.
mod server {
    pub(crate) const fn address() -> std::net::Ipv4Addr {
        std::net::Ipv4Addr::LOCALHOST
    }
}

use std::time::Duration;

use camino::Utf8PathBuf;
use pgherd_domain::MemberName;
use pgherd_kube_api::{KubeApi, Options};
use pgherd_kubernetes::{Kubernetes, KubernetesOptions, Surroundings};
use pgherd_ports::{Condition, Dcs as _, Key, Wake};
use pgherd_settings::{EndpointPort, LeaderEndpoints};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing here takes that long, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The ttl of most tests: deadlines are fractions of it and must leave room for a busy machine.
const TTL: Duration = Duration::from_secs(4);
/// The namespace of most tests.
const NAMESPACE: &str = "here";
/// A member document as a running replica writes it.
const RUNNING: &str = r#"{"state":"running","role":"replica"}"#;

/// An API server with pods `a`, `b` and `c` of a cluster `demo`.
struct Ours {
    api: KubeApi,
    dir: TempDir,
}

impl Ours {
    async fn start() -> Self {
        let api = KubeApi::start(Options::default()).await.unwrap();
        for name in ["a", "b", "c"] {
            api.create("pods", NAMESPACE, pod(name, "demo")).unwrap();
        }
        let ours = Self {
            api,
            dir: TempDir::new().unwrap(),
        };
        kubeconfig(&ours.file(), &ours.api.url(), "");
        ours
    }

    fn file(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.dir.path().join("config")).unwrap()
    }

    fn options(&self) -> KubernetesOptions {
        options(self.file())
    }

    fn member(&self, text: &str) -> Kubernetes {
        member(text, self.options())
    }

    /// An annotation of one of the cluster's ConfigMaps.
    fn annotation(&self, object: &str, name: &str) -> Option<String> {
        let found = self.api.get("configmaps", NAMESPACE, object)?;
        let text = found.pointer(&format!("/metadata/annotations/{name}"))?;
        text.as_str().map(str::to_owned)
    }

    fn label(&self, pod: &str, name: &str) -> Option<String> {
        let found = self.api.get("pods", NAMESPACE, pod)?;
        let text = found.pointer(&format!("/metadata/labels/{name}"))?;
        text.as_str().map(str::to_owned)
    }
}

/// A pod as a StatefulSet makes it.
fn pod(name: &str, scope: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"application": "patroni", "cluster-name": scope}},
        "spec": {"containers": [{"name": "postgres", "image": "postgres"}]},
    })
}

/// A kubeconfig for a server, with more lines for its user.
fn kubeconfig(file: &Utf8PathBuf, url: &str, user: &str) {
    let text = format!(
        "current-context: it
clusters: [{{name: it, cluster: {{server: '{url}', insecure-skip-tls-verify: true}}}}]
contexts: [{{name: it, context: {{cluster: it, user: me}}}}]
users: [{{name: me, user: {{{user}}}}}]
"
    );
    fs_err::write(file, text).unwrap();
}

/// Options for a cluster `demo`.
fn options(file: Utf8PathBuf) -> KubernetesOptions {
    KubernetesOptions {
        kubernetes: pgherd_settings::Kubernetes {
            namespace: NAMESPACE.to_owned(),
            labels: [("application".to_owned(), "patroni".to_owned())].into(),
            ..Default::default()
        },
        surroundings: Surroundings {
            kubeconfigs: vec![file],
            ..Surroundings::default()
        },
        scope: "demo".into(),
        ttl: TTL,
        retry_timeout: Duration::from_secs(10),
    }
}

fn with_endpoints(mut options: KubernetesOptions, ip: &str) -> KubernetesOptions {
    options.kubernetes.endpoints = Some(LeaderEndpoints {
        pod_ip: Some(ip.to_owned()),
        ports: vec![EndpointPort {
            name: None,
            port: 5432,
            protocol: None,
        }],
    });
    options
}

fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("a valid name")
}

/// A member that nobody wakes.
fn member(text: &str, options: KubernetesOptions) -> Kubernetes {
    Kubernetes::connect(options, Some(name(text)), Wake::new())
}

async fn join(dcs: &Kubernetes, member: &str) {
    let key = Key::Member(name(member));
    dcs.put(&key, RUNNING, Condition::ALWAYS).await.unwrap();
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
