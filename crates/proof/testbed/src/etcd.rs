//! A real etcd cluster, one member per host.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::bad_line::{BadLine, Degraded};
use crate::bed::Testbed;
use crate::host::{Host, Port};
use crate::http;
use crate::processes::Process;
use crate::wait::wait_for;

/// A quorum answers well within this, also on a busy machine.
const READY: Duration = Duration::from_secs(20);
/// One question to one member; a member that is gone must not keep the others' answers waiting.
const ASK: Duration = Duration::from_secs(1);

/// An etcd cluster that can be stopped, killed and started again.
#[derive(Debug)]
pub struct Etcd {
    hosts: Vec<Host>,
    token: String,
    old_api: bool,
    running: Vec<Option<Process>>,
}

impl Etcd {
    /// Starts `size` members on hosts `etcd1`, `etcd2` and so on, and waits until they answer.
    ///
    /// # Errors
    /// When etcd is not installed or finds no quorum.
    pub async fn start(bed: &Testbed, size: usize) -> Result<Self> {
        Self::start_named(bed, "etcd", size).await
    }

    /// The same on hosts called `name1`, `name2` and so on: for a second cluster on one bed.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_named(bed: &Testbed, name: &str, size: usize) -> Result<Self> {
        Self::start_with(bed, name, size, false).await
    }

    /// The same, with or without etcd's API v2.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(bed: &Testbed, name: &str, size: usize, old_api: bool) -> Result<Self> {
        let hosts = bed.hosts(name, size)?;
        let running = hosts.iter().map(|_| None).collect();
        let mut etcd = Self {
            hosts,
            token: format!("{}-{name}", bed.id()),
            old_api,
            running,
        };
        etcd.start_all()?;
        etcd.wait_ready().await?;
        Ok(etcd)
    }

    /// Client addresses, `ADDRESS:PORT`.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.hosts
            .iter()
            .map(|host| host.at(Port::EtcdClient).to_string())
            .collect()
    }

    /// The hosts, to cut or freeze them.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Starts every member that was stopped or killed; data directories are kept.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start_all(&mut self) -> Result<()> {
        for index in 0..self.hosts.len() {
            self.start_one(index)?;
        }
        Ok(())
    }

    /// Starts member `index` (from 0) if it does not run.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start_one(&mut self, index: usize) -> Result<()> {
        let host = self.hosts.get(index).context("no such etcd member")?;
        if self.running[index].is_none() {
            let argv = self.command_line(host);
            self.running[index] = Some(host.start("etcd", None, &argv)?);
        }
        Ok(())
    }

    /// SIGKILL to every member.
    ///
    /// # Errors
    /// When one survives.
    pub fn kill_all(&mut self) -> Result<()> {
        for (host, process) in self.hosts.iter().zip(&mut self.running) {
            host.kill_all()?;
            *process = None;
        }
        Ok(())
    }

    /// SIGKILL to member `index` (from 0).
    ///
    /// # Errors
    /// When it survives.
    pub fn kill_one(&mut self, index: usize) -> Result<()> {
        let host = self.hosts.get(index).context("no such etcd member")?;
        host.kill_all()?;
        self.running[index] = None;
        Ok(())
    }

    /// Index (from 0) of the member that leads etcd, from its own status.
    ///
    /// # Errors
    /// When none says that it leads.
    pub async fn leader_index(&self) -> Result<usize> {
        let ask = Value::Object(serde_json::Map::new());
        for (index, host) in self.hosts.iter().enumerate() {
            let at = host.at(Port::EtcdClient);
            let status = "/v3/maintenance/status";
            let Ok(reply) = http::request("POST", at, status, Some(&ask), ASK).await else {
                continue;
            };
            let said = reply.json()?;
            if said["leader"].is_string() && said["leader"] == said["header"]["member_id"] {
                return Ok(index);
            }
        }
        bail!("no member of etcd says that it leads")
    }

    /// SIGKILL to the member that leads etcd; returns its index, for [`Self::start_one`].
    ///
    /// # Errors
    /// When none leads within 20 s.
    pub async fn kill_leader(&mut self) -> Result<usize> {
        let leader = wait_for("a leader of etcd", READY, async || {
            self.leader_index().await
        })
        .await?;
        self.kill_one(leader)?;
        Ok(leader)
    }

    /// Makes the line from clients to every member bad, until what this returns is dropped.
    ///
    /// # Errors
    /// When hosts are loopback addresses, or the kernel has no packet queues.
    pub fn bad_line(&self, line: BadLine) -> Result<Vec<Degraded>> {
        let hosts = self.hosts.iter();
        hosts
            .map(|host| host.bad_line(Port::EtcdClient, line))
            .collect()
    }

    /// Deletes every key that begins with `prefix`.
    ///
    /// # Errors
    /// When etcd does not.
    pub async fn erase(&self, prefix: &str) -> Result<()> {
        self.etcdctl(&["del", "--prefix", prefix]).await.map(drop)
    }

    /// The value of a key; empty when there is none.
    ///
    /// # Errors
    /// When etcd does not tell.
    pub async fn value(&self, key: &str) -> Result<String> {
        let value = self.etcdctl(&["get", "--print-value-only", key]).await?;
        Ok(value.trim().to_owned())
    }

    /// What API v2 answers for a key: its node, also when that is a folder.
    ///
    /// # Errors
    /// When there is no such key, or no such API.
    pub async fn old_node(&self, key: &str) -> Result<Value> {
        let host = self.hosts.first().context("etcd has no host")?;
        let path = format!("/v2/keys{key}?recursive=true&quorum=true");
        let reply = http::get(host.at(Port::EtcdClient), &path).await?;
        ensure!(reply.status == 200, "{path}: {}", reply.body);
        let mut answer = reply.json()?;
        Ok(answer["node"].take())
    }

    /// The names of all keys that begin with `prefix`, one a line.
    ///
    /// # Errors
    /// When etcd does not tell.
    pub async fn keys(&self, prefix: &str) -> Result<String> {
        let words = ["get", "--prefix", "--keys-only", prefix];
        let keys = self.etcdctl(&words).await?;
        Ok(keys.trim().to_owned())
    }

    async fn etcdctl(&self, words: &[&str]) -> Result<String> {
        let host = self.hosts.first().context("etcd has no host")?;
        let end = format!("--endpoints={}", self.endpoints().join(","));
        let mut argv = vec!["env", "ETCDCTL_API=3", "etcdctl", &end];
        argv.extend(words);
        host.run(None, &argv).await
    }

    /// Waits until every member that was started answers with a quorum behind it.
    ///
    /// # Errors
    /// When that takes longer than 20 s.
    pub async fn wait_ready(&self) -> Result<()> {
        for (host, process) in self.hosts.iter().zip(&self.running) {
            if process.is_none() {
                continue;
            }
            wait_for(
                &format!("{} to be healthy", host.name()),
                READY,
                async || {
                    let reply = http::get(host.at(Port::EtcdClient), "/health").await?;
                    ensure!(
                        reply.status == 200 && reply.body.contains("true"),
                        reply.body
                    );
                    Ok(())
                },
            )
            .await?;
        }
        Ok(())
    }

    fn command_line(&self, host: &Host) -> Vec<String> {
        let url = |host: &Host, port| format!("http://{}", host.at(port));
        let (client, peer) = (url(host, Port::EtcdClient), url(host, Port::EtcdPeer));
        let members: Vec<String> = self
            .hosts
            .iter()
            .map(|host| format!("{}={}", host.name(), url(host, Port::EtcdPeer)))
            .collect();
        let data = host.dir().join("data").to_string_lossy().into_owned();
        let options = [
            ("--name", host.name()),
            ("--data-dir", &data),
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &members.join(",")),
            ("--initial-cluster-token", &self.token),
            ("--initial-cluster-state", "new"),
            ("--heartbeat-interval", "100"),
            ("--election-timeout", "1000"),
            ("--log-level", "warn"),
        ];
        let mut argv = vec!["etcd".to_owned()];
        argv.extend(
            options
                .iter()
                .flat_map(|(key, value)| [key.to_string(), value.to_string()]),
        );
        if self.old_api {
            argv.push("--enable-v2=true".to_owned());
        }
        argv
    }
}
