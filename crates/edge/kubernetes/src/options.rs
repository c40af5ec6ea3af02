//! What the store is told: which objects, where Kubernetes may be found, how long things may take.

use std::time::Duration;

use camino::Utf8PathBuf;
use pgherd_settings::Kubernetes;

/// Whose objects these are, where Kubernetes is and how long things may take.
#[derive(Debug, Clone, PartialEq)]
pub struct KubernetesOptions {
    /// The objects and their labels (contract §2.4, "DCS sections").
    pub kubernetes: Kubernetes,
    /// Where the process runs.
    pub surroundings: Surroundings,
    /// The cluster's name; behind a slash the group of a Citus cluster may follow.
    pub scope: String,
    /// How long the lease lives without a renewal.
    pub ttl: Duration,
    /// The longest that one operation may take (contract §2.2).
    pub retry_timeout: Duration,
}

/// What tells a process where the API of Kubernetes is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Host and port of the API's service, which every pod is told.
    pub service: Option<(String, String)>,
    /// The folder with the token and the certificates of the pod's account.
    pub account: Utf8PathBuf,
    /// Kubeconfigs, of which the first that is there counts, for a process that is in no pod.
    pub kubeconfigs: Vec<Utf8PathBuf>,
}

/// Where a pod finds its account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

impl Surroundings {
    /// Those of this process: `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`, else `KUBECONFIG`, else
    /// `~/.kube/config`.
    #[must_use]
    pub fn of_this_process() -> Self {
        let given = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let host = given("KUBERNETES_SERVICE_HOST");
        let kubeconfigs = match (given("KUBECONFIG"), given("HOME")) {
            (Some(files), _) => files.split(':').map(Utf8PathBuf::from).collect(),
            (None, Some(home)) => vec![Utf8PathBuf::from(home).join(".kube/config")],
            (None, None) => Vec::new(),
        };
        Self {
            service: host.zip(given("KUBERNETES_SERVICE_PORT")),
            account: ACCOUNT.into(),
            kubeconfigs,
        }
    }
}
