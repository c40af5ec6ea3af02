//! A real Consul cluster, one server per host.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bed::Testbed;
use crate::host::{Host, Port};
use crate::http;
use crate::processes::Process;
use crate::program;
use crate::wait::wait_for;

/// A quorum answers well within this, also on a busy machine.
const READY: Duration = Duration::from_secs(30);

/// Consul's servers on hosts `consul1`, `consul2` and so on.
#[derive(Debug)]
pub struct Consul {
    hosts: Vec<Host>,
    _running: Vec<Process>,
}

impl Consul {
    /// Starts `size` servers and waits until they answer with a quorum behind them.
    ///
    /// # Errors
    /// When Consul is not there, or finds no quorum.
    pub async fn start(bed: &Testbed, size: usize) -> Result<Self> {
        let program = program::consul().context("Consul is not there")?;
        let program = program.to_string_lossy().into_owned();
        let hosts = bed.hosts("consul", size)?;
        let mut running = Vec::new();
        for host in &hosts {
            let file = host.dir().join("consul.json");
            fs_err::write(&file, configuration(host, &hosts).to_string())?;
            let file = format!("-config-file={}", file.display());
            let argv = [program.clone(), "agent".to_owned(), file];
            running.push(host.start("consul", None, &argv)?);
        }
        let consul = Self {
            hosts,
            _running: running,
        };
        consul.wait_ready().await?;
        Ok(consul)
    }

    /// Addresses of the HTTP API, `ADDRESS:PORT`.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        let hosts = self.hosts.iter();
        hosts
            .map(|host| host.at(Port::ConsulHttp).to_string())
            .collect()
    }

    /// What Consul answers to `GET /v1/PATH`.
    ///
    /// # Errors
    /// When it does not, or not with JSON.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let host = self.hosts.first().context("Consul has no host")?;
        http::get(host.at(Port::ConsulHttp), &format!("/v1/{path}"))
            .await?
            .json()
    }

    async fn wait_ready(&self) -> Result<()> {
        for host in &self.hosts {
            wait_for(&format!("{} to be ready", host.name()), READY, async || {
                let at = host.at(Port::ConsulHttp);
                let reply = http::get(at, "/v1/kv/none?consistent").await?;
                ensure!(reply.status == 404, reply.body);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

/// Elections as quick as they get; nothing but what is asked here listens.
fn configuration(host: &Host, hosts: &[Host]) -> Value {
    let address = host.at(Port::ConsulHttp).ip().to_string();
    let others: Vec<String> = hosts
        .iter()
        .map(|other| other.at(Port::ConsulSerf).to_string())
        .collect();
    json!({
        "server": true,
        "bootstrap_expect": hosts.len(),
        "node_name": host.name(),
        "data_dir": host.dir().join("data").to_string_lossy(),
        "bind_addr": address,
        "client_addr": address,
        "retry_join": others,
        "retry_interval": "1s",
        "disable_update_check": true,
        "log_level": "warn",
        "performance": {"raft_multiplier": 1},
        "ports": {
            "http": host.at(Port::ConsulHttp).port(),
            "server": host.at(Port::ConsulServer).port(),
            "serf_lan": host.at(Port::ConsulSerf).port(),
            "serf_wan": -1,
            "dns": -1,
            "grpc": -1,
        },
    })
}
