//! Stopping PostgreSQL: told, then told to hurry, then killed.

use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::{Moment, StopMode, WorkError};
use rustix::process::Signal;

use super::Doing as _;
use super::launch::KILL_PATIENCE;
use crate::process::Postmaster;
use crate::server::LocalServer;

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
            }
        }
        self.end_at_once(&postmaster, IMMEDIATE_PATIENCE).await
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
