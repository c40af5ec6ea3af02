//! One client: connects to where the compass points, writes rows, reconnects at once when anything breaks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::compass::Compass;
use super::health::Down;
use super::record::{Ack, Record};
use super::{Endpoint, OracleOptions, connect};
use crate::postgres::Login;

pub(crate) struct Writer {
    pub(crate) client: i32,
    pub(crate) compass: Compass,
    pub(crate) options: OracleOptions,
    pub(crate) direct: bool,
    pub(crate) down: Option<Down>,
    pub(crate) record: Arc<Mutex<Record>>,
    pub(crate) epoch: Instant,
    pub(crate) stop: watch::Receiver<bool>,
}

/// A connection to a server that takes writes.
struct Session {
    server: Endpoint,
    timeline: u32,
    client: Client,
    insert: Statement,
}

impl Writer {
    /// Writes until told to stop. Every row number is used once, so a row in doubt is never written again.
    pub(crate) async fn run(mut self) {
        let mut seq = 0;
        while !*self.stop.borrow_and_update() {
            let opened = timeout(self.options.patience * 2, self.open()).await;
            let error = match opened {
                Ok(Ok(session)) => self.write(&session, &mut seq).await.err(),
                Ok(Err(error)) => Some(error),
                Err(_) => Some(anyhow::anyhow!("no session in time")),
            };
            if let Some(error) = error {
                self.record().fault(format!("{error:#}"));
                sleep(self.options.retry).await;
            }
        }
    }

    async fn open(&self) -> Result<Session> {
        let server = self.compass.point().await?;
        let client = connect(server.sql, &Login::superuser()).await?;
        let timeline = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN \
                        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END";
        let row = client
            .query_one(timeline, &[])
            .await
            .context("cannot ask for the role")?;
        let timeline: Option<&str> = row.get(0);
        let timeline = u32::from_str_radix(timeline.context("not a primary")?, 16)?;
        let insert = client
            .prepare("INSERT INTO pgherd_oracle (client, seq) VALUES ($1, $2)")
            .await
            .context("cannot prepare the insert")?;
        Ok(Session {
            server,
            timeline,
            client,
            insert,
        })
    }

    async fn write(&mut self, session: &Session, seq: &mut i64) -> Result<()> {
        while !*self.stop.borrow_and_update() {
            self.refuse_down(&session.server)?;
            *seq += 1;
            let row = (self.client, *seq);
            let sent = self.epoch.elapsed();
            let values: [&(dyn ToSql + Sync); 2] = [&row.0, &row.1];
            let insert = session.client.execute(&session.insert, &values);
            let outcome = timeout(self.options.patience, insert).await;
            let acked = self.epoch.elapsed();
            match outcome {
                Ok(Ok(_)) => self.record().acknowledge(Ack {
                    row,
                    server: session.server.name.clone(),
                    timeline: session.timeline,
                    sent,
                    acked,
                    direct: self.direct,
                }),
                Ok(Err(error)) => {
                    self.record().leave_unknown(row);
                    return Err(error).context("insert");
                }
                Err(_) => {
                    self.record().leave_unknown(row);
                    bail!("insert: no answer within {:?}", self.options.patience);
                }
            }
            self.pause().await;
        }
        Ok(())
    }

    /// An error when health checks have called `server` down.
    fn refuse_down(&self, server: &Endpoint) -> Result<()> {
        let down = self.down.as_ref();
        let is_down = down.is_some_and(|down| down.borrow().contains(&server.name));
        ensure!(
            !is_down,
            "{} does not say that it leads any more",
            server.name
        );
        Ok(())
    }

    async fn pause(&self) {
        if self.options.pace > Duration::ZERO {
            sleep(self.options.pace).await;
        }
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
