//! The API of Kubernetes on a host of its own, with a pod for each member. It is our own server: no pod runs behind it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bed::Testbed;
use crate::herd::HerdOptions;
use crate::host::{Host, Port};
use crate::http;
use crate::postgres::PostgresTools;
use crate::processes::Process;
use crate::program::AgentProgram;
use crate::wait::wait_for;

/// It answers well within this, also on a busy machine.
const READY: Duration = Duration::from_secs(20);
const ASK: Duration = Duration::from_secs(2);
/// Where everything is.
const NAMESPACE: &str = "/api/v1/namespaces/default";

/// The server on host `kube1`.
#[derive(Debug)]
pub struct KubeApi {
    host: Host,
    _running: Process,
}

impl KubeApi {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When it was not built, or does not answer.
    pub async fn start(bed: &Testbed) -> Result<Self> {
        let program = program()?.to_string_lossy().into_owned();
        let hosts = bed.hosts("kube", 1)?;
        let host = hosts.into_iter().next().context("a host was asked for")?;
        let at = host.at(Port::KubeApi).to_string();
        let running = host.start("kube-api", None, &[program, at])?;
        let api = Self {
            host,
            _running: running,
        };
        wait_for("the API to be ready", READY, async || api.get("pods").await).await?;
        Ok(api)
    }

    /// The same, if the options say so.
    pub(crate) async fn wanted(bed: &Testbed, options: &HerdOptions) -> Result<Option<Self>> {
        if !options.kubernetes {
            return Ok(None);
        }
        let started = Self::start(bed).await;
        started.map(Some).with_context(|| bed.report())
    }

    /// Makes the pod of a member, and tells its host where the API is.
    pub(crate) async fn admit(
        &self,
        host: &Host,
        scope: &str,
        tools: &PostgresTools,
    ) -> Result<()> {
        let labels = json!({"application": "patroni", "cluster-name": scope});
        let pod = json!({
            "metadata": {"name": host.name(), "labels": labels},
            "status": {"podIP": host.address().to_string()},
        });
        let path = format!("{NAMESPACE}/pods");
        let at = self.host.at(Port::KubeApi);
        let made = http::request("POST", at, &path, Some(&pod), ASK).await?;
        ensure!(made.status == 201, "{}: {}", made.status, made.body);
        let file = host.dir().join(KUBECONFIG);
        fs_err::write(&file, kubeconfig(&at.to_string()))?;
        tools.give(&file)
    }

    /// What it answers to `GET` of objects in the namespace, such as `pods` or `endpoints/demo`.
    ///
    /// # Errors
    /// When there is no such object.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let at = self.host.at(Port::KubeApi);
        let reply = http::get(at, &format!("{NAMESPACE}/{path}")).await?;
        ensure!(reply.status == 200, "{path}: {}", reply.body);
        reply.json()
    }

    /// Makes an object of a kind, such as `configmaps`.
    ///
    /// # Errors
    /// When it exists already.
    pub async fn make(&self, kind: &str, object: &Value) -> Result<()> {
        let at = self.host.at(Port::KubeApi);
        let path = format!("{NAMESPACE}/{kind}");
        let made = http::request("POST", at, &path, Some(object), ASK).await?;
        ensure!(made.status == 201, "{}: {}", made.status, made.body);
        Ok(())
    }
}

/// The name of the file that tells a host where the API is.
pub(crate) const KUBECONFIG: &str = "kubeconfig";

fn kubeconfig(at: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: here
clusters:
- name: here
  cluster:
    server: http://{at}
contexts:
- name: here
  context:
    cluster: here
    user: me
users:
- name: me
  user: {{}}
"
    )
}

/// The server, which was built beside `pgherd`.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = match AgentProgram::pgherd()? {
        AgentProgram::Pgherd(path) | AgentProgram::Patroni(path) => path,
    };
    let folders = own.ancestors().skip(1).take(3).map(PathBuf::from);
    let folders = beside
        .parent()
        .map(PathBuf::from)
        .into_iter()
        .chain(folders);
    let mut found = folders.map(|folder| folder.join("pgherd-kube-api"));
    found
        .find(|path| path.is_file())
        .context("pgherd-kube-api is not built; run `cargo build --workspace --bins` first")
}
