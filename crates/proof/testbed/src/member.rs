//! One member: a host with an agent and the PostgreSQL it looks after.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio_postgres::Client;

use crate::herd::HerdOptions;
use crate::host::{Host, Port};
use crate::http;
use crate::kube_api::KUBECONFIG;
use crate::oracle::{Endpoint, connect};
use crate::postgres::{Login, PostgresTools};
use crate::processes::Process;
use crate::program::AgentProgram;
use crate::yaml;

/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// A member of a herd.
#[derive(Debug)]
pub struct Member {
    host: Host,
    config: PathBuf,
    program: AgentProgram,
    tools: PostgresTools,
    agent: Option<Process>,
}

impl Member {
    /// Writes the configuration of a member on `host`; nothing is started yet.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or files cannot be written.
    pub(crate) fn new(
        host: Host,
        scope: &str,
        store: &str,
        program: AgentProgram,
        options: &HerdOptions,
    ) -> Result<Self> {
        let tools = match &options.tools {
            Some(tools) => tools.clone(),
            None => PostgresTools::find()?,
        };
        let config = host.dir().join("pgherd.yml");
        fs_err::write(&config, yaml::render(&host, scope, store, &tools, options))?;
        tools.give(&config)?;
        // The agent makes, renames and removes the data directory, so its parent is the account's too.
        tools.give(host.dir())?;
        tools.private_dir(&host.dir().join("socket"))?;
        if options.watchdog {
            let device = host.dir().join("watchdog");
            fs_err::write(&device, "")?;
            tools.give(&device)?;
        }
        Ok(Self {
            host,
            config,
            program,
            tools,
            agent: None,
        })
    }

    /// Puts `lines` before the line `mark` of its configuration, as an operator with an editor would.
    ///
    /// # Errors
    /// When there is no such line, or the file can not be written.
    pub fn configure(&self, mark: &str, lines: &str) -> Result<()> {
        let text = fs_err::read_to_string(&self.config)?;
        let at = text
            .find(&format!("\n{mark}\n"))
            .with_context(|| format!("no line `{mark}` in the configuration"))?;
        let (before, after) = text.split_at(at + 1);
        fs_err::write(&self.config, format!("{before}{lines}{after}"))?;
        Ok(())
    }

    /// Its name in the cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        self.host.name()
    }

    /// The host it runs on.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Path of its configuration file.
    #[must_use]
    pub const fn config(&self) -> &PathBuf {
        &self.config
    }

    /// Path of the data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.host.dir().join("data")
    }

    /// The file that stands in for its watchdog, see [`HerdOptions::watchdog`].
    #[must_use]
    pub fn watchdog(&self) -> PathBuf {
        self.host.dir().join("watchdog")
    }

    /// The file that tells it where Kubernetes is; only in a herd on Kubernetes it is there.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.host.dir().join(KUBECONFIG)
    }

    /// Starts the agent; its log continues in `agent.log`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let mut argv = self.program.agent(&self.config.to_string_lossy());
        let kubeconfig = self.kubeconfig();
        if kubeconfig.exists() {
            let variable = format!("KUBECONFIG={}", kubeconfig.display());
            argv.splice(..0, ["env".to_owned(), variable]);
        }
        let account = self
            .tools
            .user
            .as_deref()
            .filter(|_| self.program.needs_account());
        self.agent = Some(self.host.start("agent", account, &argv)?);
        Ok(())
    }

    /// The program that [`Self::start`] starts from now on: an upgrade, or a migration.
    pub fn install(&mut self, program: AgentProgram) {
        self.program = program;
    }

    /// Sends a signal to the agent alone.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal_agent(&self, signal: Signal) -> Result<()> {
        self.agent
            .as_ref()
            .context("the agent was not started")?
            .signal(signal)
    }

    /// Process id of the agent.
    #[must_use]
    pub fn agent_pid(&self) -> Option<i32> {
        self.agent
            .as_ref()
            .map(|agent| agent.pid().as_raw_nonzero().get())
    }

    /// SIGKILL to the agent alone; returns when it is gone.
    ///
    /// # Errors
    /// When it was not started.
    pub async fn kill_agent(&mut self) -> Result<()> {
        let mut agent = self.agent.take().context("the agent was not started")?;
        agent.signal(Signal::KILL)?;
        agent.wait(GONE).await.map(drop)
    }

    /// Whether the agent has ended by itself since it was started.
    ///
    /// # Errors
    /// When it was not started.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.agent
            .as_mut()
            .context("the agent was not started")?
            .has_ended()
    }

    /// Asks the agent to end and waits for it; returns its exit code.
    ///
    /// # Errors
    /// When it still runs after `deadline`.
    pub async fn stop(&mut self, deadline: Duration) -> Result<i32> {
        let mut agent = self.agent.take().context("the agent was not started")?;
        agent.signal(Signal::TERM)?;
        agent.wait(deadline).await
    }

    /// Process id of the postmaster, from its lock file.
    ///
    /// # Errors
    /// When there is none.
    pub fn postmaster(&self) -> Result<Pid> {
        let lock = fs_err::read_to_string(self.data_dir().join("postmaster.pid"))?;
        let first = lock
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        first
            .and_then(Pid::from_raw)
            .context("postmaster.pid holds no pid")
    }

    /// A fast stop of PostgreSQL past the agent, as an operator's `pg_ctl stop`.
    ///
    /// # Errors
    /// When none runs.
    pub fn stop_server_by_hand(&self) -> Result<()> {
        Ok(kill_process(self.postmaster()?, Signal::INT)?)
    }

    /// SIGKILL to the postmaster, as the kernel's out-of-memory killer would.
    ///
    /// # Errors
    /// When none runs.
    pub fn kill_postmaster(&self) -> Result<()> {
        kill_process(self.postmaster()?, Signal::KILL).context("the postmaster is gone already")
    }

    /// Where PostgreSQL listens.
    #[must_use]
    pub fn sql(&self) -> SocketAddr {
        self.host.at(Port::Postgres)
    }

    /// Where the REST API listens.
    #[must_use]
    pub fn rest(&self) -> SocketAddr {
        self.host.at(Port::Rest)
    }

    /// Both addresses, for an oracle.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            name: self.name().to_owned(),
            sql: self.sql(),
            rest: Some(self.rest()),
        }
    }

    /// Status of a health check such as `/primary`; `None` when nobody answers.
    pub async fn health(&self, path: &str) -> Option<u16> {
        http::get(self.rest(), path)
            .await
            .ok()
            .map(|reply| reply.status)
    }

    /// The status document, `GET /patroni`.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn status(&self) -> Result<Value> {
        http::get(self.rest(), "/patroni").await?.json()
    }

    /// A document of its REST API.
    ///
    /// # Errors
    /// When it does not answer with JSON.
    pub async fn document(&self, path: &str) -> Result<Value> {
        http::get(self.rest(), path).await?.json()
    }

    /// A connection as superuser.
    ///
    /// # Errors
    /// When PostgreSQL does not take it.
    pub async fn connect(&self) -> Result<Client> {
        connect(self.sql(), &Login::superuser()).await
    }

    /// Runs statements that return nothing.
    ///
    /// # Errors
    /// When PostgreSQL refuses one.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        Ok(self.connect().await?.batch_execute(sql).await?)
    }

    /// One value of one row, as text.
    ///
    /// # Errors
    /// When the query fails or returns no text.
    pub async fn query(&self, sql: &str) -> Result<String> {
        self.query_in(&Login::superuser().database, sql).await
    }

    /// The same in another database.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn query_in(&self, database: &str, sql: &str) -> Result<String> {
        use tokio_postgres::SimpleQueryMessage;
        let login = Login {
            database: database.to_owned(),
            ..Login::superuser()
        };
        let client = connect(self.sql(), &login).await?;
        let messages = client.simple_query(sql).await?;
        for message in &messages {
            if let SimpleQueryMessage::Row(row) = message {
                return Ok(row.get(0).unwrap_or_default().to_owned());
            }
        }
        bail!("`{sql}` returned no row on {}", self.name())
    }

    /// Everything the agent has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs_err::read_to_string(self.host.dir().join("agent.log")).unwrap_or_default()
    }
}
