//! Stopping PostgreSQL: told, then told to hurry, then killed.

use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::{Moment, StopMode, WorkError};
use rustix::process::Signal;

use super::Doing as _;
use super::launch::KILL_PATIENCE;
use crate::control::has_shut_down;
use crate::pace::Pace;
use crate::process::Postmaster;
use crate::server::LocalServer;

/// How long standbys have to fetch the last record of a server that has shut down. Longer than a switchover
/// looks for a successor.
const FAREWELL: Duration = Duration::from_secs(6);
/// How long an immediate shutdown may take before what is left is killed.
const IMMEDIATE_PATIENCE: Duration = Duration::from_secs(2);

impl LocalServer {
    /// Stops the server, and tells the operator: `before_stop` goes before a fast stop. An immediate one is
    /// the last moment of a lease or an emergency, and waits for nobody.
    pub(super) async fn stop(
        &self,
        mode: StopMode,
        escalate_at: Option<Moment>,
    ) -> Result<(), WorkError> {
        let runs = self.postmaster().await.is_some();
        if runs && mode == StopMode::Fast {
            self.before_stop(escalate_at).await;
        }
        let stopped = self.stop_silently(mode, escalate_at).await;
        if runs && stopped.is_ok() {
            self.tell_stopped().await;
        }
        stopped
    }

    /// Stops the server. A fast stop takes as long as it takes, or until `escalate_at`.
    pub(super) async fn stop_silently(
        &self,
        mode: StopMode,
        escalate_at: Option<Moment>,
    ) -> Result<(), WorkError> {
        let Some(postmaster) = self.postmaster().await else {
            return self.kill_leftovers().await;
        };
        if mode == StopMode::Fast {
            postmaster
                .signal(Signal::INT)
                .doing("tell PostgreSQL to stop")?;
            let escalation = async {
                match escalate_at {
                    Some(moment) => self.clock.sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = postmaster.gone() => return Ok(()),
                () = escalation => tracing::warn!("PostgreSQL stops too slowly; stop it immediately"),
                () = self.waits_in_vain(&postmaster) => tracing::warn!(
                    "PostgreSQL has shut down and waits for a standby that does not answer; end it"
                ),
            }
        }
        self.end_at_once(&postmaster, IMMEDIATE_PATIENCE).await
    }

    /// Returns when the server has shut down in good order and its postmaster has waited for standbys long
    /// enough: up to `wal_sender_timeout` for one that is cut off. An archiver is never cut short: what it has
    /// not archived nobody else will.
    async fn waits_in_vain(&self, postmaster: &Postmaster) {
        let mut pace = Pace::millis(20, 200);
        while !has_shut_down(&self.place).await || self.family().archives(postmaster.file.pid) {
            pace.wait().await;
        }
        tokio::time::sleep(FAREWELL).await;
    }

    /// Immediate shutdown, and SIGKILL for what is left after `patience`.
    pub(super) async fn end_at_once(
        &self,
        postmaster: &Arc<Postmaster>,
        patience: Duration,
    ) -> Result<(), WorkError> {
        postmaster
            .signal(Signal::QUIT)
            .doing("tell PostgreSQL to stop immediately")?;
        if !postmaster.gone_within(patience).await {
            tracing::warn!("PostgreSQL does not stop; kill it");
        }
        let family = self.family();
        let killed = family.kill(Some(postmaster), KILL_PATIENCE);
        killed.await.map_err(|left| {
            WorkError::Failed(format!(
                "{} processes of PostgreSQL do not end, not even killed",
                left.len()
            ))
        })
    }
}
