//! Clients that remember every acknowledged row: outages, lost rows and second writers are read off their record.
//!
//! Read in this order: `record` (what is remembered and the questions to it), `compass` (who leads), `health` (who is to
//! be left), `writer` (one client's loop).

mod compass;
mod health;
mod record;
mod writer;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use crate::postgres::Login;
use compass::Compass;
use health::Down;
use record::Record;
pub use record::{Ack, Audit, Gap};
use writer::Writer;

/// Longest time to connect. A host that is gone answers nothing at all.
const CONNECT: Duration = Duration::from_secs(1);

/// One server with, perhaps, an agent beside it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name in reports.
    pub name: String,
    /// Where PostgreSQL listens.
    pub sql: SocketAddr,
    /// Where its agent's REST API listens.
    pub rest: Option<SocketAddr>,
}

/// Where writers send their rows.
#[derive(Debug, Clone)]
pub enum Aim {
    /// Always to this server.
    Fixed(Endpoint),
    /// To whichever server's `/primary` says 200.
    Leader(Vec<Endpoint>),
}

/// How clients behave.
#[derive(Debug, Clone)]
pub struct OracleOptions {
    /// Clients that write at the same time.
    pub writers: usize,
    /// Pause of a client between two rows.
    pub pace: Duration,
    /// Pause before a client tries again after an error.
    pub retry: Duration,
    /// Longest time a client waits for one row; then it gives the connection up.
    pub patience: Duration,
    /// How long a server's agent may not say that it leads before clients that follow the leader give up their
    /// connections to it, as behind a proxy that closes the sessions of a server that is down. `None`: a connection is
    /// kept for as long as it works.
    pub leave_after: Option<Duration>,
}

impl Default for OracleOptions {
    /// Four clients, a row each 5 ms, back within 10 ms, giving a silent server up after a second, no proxy.
    fn default() -> Self {
        Self {
            writers: 4,
            pace: Duration::from_millis(5),
            retry: Duration::from_millis(10),
            patience: Duration::from_secs(1),
            leave_after: None,
        }
    }
}

/// Running clients and their record. Dropping it stops them.
#[derive(Debug)]
pub struct Oracle {
    record: Arc<Mutex<Record>>,
    epoch: Instant,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    checks: Vec<JoinHandle<()>>,
    next_client: i32,
}

/// What a client is for.
enum Role {
    /// It writes to the leader, and leaves a server that is down.
    Follows(Option<Down>),
    /// It writes to one server whoever leads.
    Stays,
}

impl Oracle {
    /// Makes the table on `primary`; no client writes yet.
    ///
    /// # Errors
    /// When `primary` does not take it.
    pub async fn prepare(primary: SocketAddr) -> Result<Self> {
        let client = connect(primary, &Login::superuser()).await?;
        client
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS pgherd_oracle \
                 (client int, seq bigint, PRIMARY KEY (client, seq)); TRUNCATE pgherd_oracle",
            )
            .await
            .context("cannot make the oracle's table")?;
        Ok(Self {
            record: Arc::default(),
            epoch: Instant::now(),
            stop: watch::channel(false).0,
            tasks: Vec::new(),
            checks: Vec::new(),
            next_client: 0,
        })
    }

    /// Starts clients that write to `aim` until [`Self::stop`].
    pub fn write(&mut self, aim: &Aim, options: &OracleOptions) {
        let compass = match aim {
            Aim::Fixed(server) => Compass::fixed(server.clone()),
            Aim::Leader(servers) => Compass::leader(servers.clone()),
        };
        let down = match (aim, options.leave_after) {
            (Aim::Leader(servers), Some(limit)) => {
                let (down, task) = health::check(servers.clone(), limit);
                self.checks.push(task);
                Some(down)
            }
            _ => None,
        };
        for _ in 0..options.writers {
            self.spawn(&compass, options, Role::Follows(down.clone()));
        }
    }

    /// Starts one slow client per server that writes there whoever leads, to catch a second writer.
    ///
    /// What these clients write to a primary that is cut off may be lost, so the audit counts it apart.
    pub fn watch_each(&mut self, servers: &[Endpoint]) {
        let options = OracleOptions {
            pace: Duration::from_millis(50),
            retry: Duration::from_millis(50),
            ..OracleOptions::default()
        };
        for server in servers {
            self.spawn(&Compass::fixed(server.clone()), &options, Role::Stays);
        }
    }

    fn spawn(&mut self, compass: &Compass, options: &OracleOptions, role: Role) {
        let writer = Writer {
            client: self.next_client,
            compass: compass.clone(),
            options: options.clone(),
            direct: matches!(role, Role::Stays),
            down: match role {
                Role::Follows(down) => down,
                Role::Stays => None,
            },
            record: Arc::clone(&self.record),
            epoch: self.epoch,
            stop: self.stop.subscribe(),
        };
        self.next_client += 1;
        self.tasks.push(tokio::spawn(writer.run()));
    }

    /// Time since the oracle was made; all its times count from there.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The moment the oracle was made.
    #[must_use]
    pub const fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Rows acknowledged so far to clients that follow their aim.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.record().acks().filter(|ack| !ack.direct).count()
    }

    /// The longest time without an acknowledged row between `from` and now.
    #[must_use]
    pub fn longest_gap(&self, from: Duration) -> Gap {
        let now = self.now();
        self.record().longest_gap(from, now)
    }

    /// The first row acknowledged after `from`, if any.
    #[must_use]
    pub fn first_ack_after(&self, from: Duration) -> Option<Ack> {
        self.record()
            .acks()
            .filter(|ack| ack.acked > from)
            .min_by_key(|ack| ack.acked)
            .cloned()
    }

    /// Rows that two servers took at overlapping times, as a sentence; `None` when there was one writer at a time.
    #[must_use]
    pub fn two_writers(&self) -> Option<String> {
        self.record().two_writers()
    }

    /// What ended clients' attempts, with how often, for a failure report.
    #[must_use]
    pub fn faults(&self) -> String {
        let record = self.record();
        record
            .faults
            .iter()
            .map(|(fault, times)| format!("{times:>6} x {fault}\n"))
            .collect()
    }

    /// For how long two servers took rows at overlapping times; zero when there was one writer at a time.
    #[must_use]
    pub fn time_of_two_writers(&self) -> Duration {
        self.record().time_of_two_writers()
    }

    /// Stops all clients, each after the row it is waiting for.
    pub async fn stop(&mut self) {
        self.stop.send_replace(true);
        join_all(self.tasks.drain(..)).await;
    }

    /// Compares the record with the rows on `primary`. Stop the clients first.
    ///
    /// # Errors
    /// When `primary` cannot be read.
    pub async fn audit(&self, primary: SocketAddr) -> Result<Audit> {
        let client = connect(primary, &Login::superuser()).await?;
        let rows = client
            .query("SELECT client, seq FROM pgherd_oracle", &[])
            .await?;
        let present = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(self.record().audit(&present))
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        for task in self.tasks.iter().chain(&self.checks) {
            task.abort();
        }
    }
}

/// Connects within a second and drives the connection in the background.
///
/// # Errors
/// When the server does not take the connection in time.
pub async fn connect(server: SocketAddr, login: &Login) -> Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(server.ip().to_string())
        .port(server.port())
        .user(&login.user)
        .password(&login.password)
        .dbname(&login.database)
        .application_name("pgherd-testbed")
        .connect_timeout(CONNECT);
    let (client, connection) = tokio::time::timeout(CONNECT, config.connect(NoTls))
        .await
        .with_context(|| format!("{server} did not take a connection within {CONNECT:?}"))?
        .with_context(|| format!("cannot connect to {server}"))?;
    // The task ends with the connection; its error reaches the client's next query as well.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}
