//! Following another server, without a restart.

use std::time::Duration;

use pgherd_domain::Upstream;
use pgherd_ports::AdjustError;
use rustix::process::{Pid, Signal, kill_process};

use super::not_written;
use crate::configuration::FilesFor;
use crate::pace::Pace;
use crate::process::Postmaster;
use crate::server::LocalServer;

/// How long the running server may take to show a new value.
const SHOW_PATIENCE: Duration = Duration::from_secs(2);

/// How long a WAL receiver may go on that is to end.
const LEAVE_PATIENCE: Duration = Duration::from_millis(200);

impl LocalServer {
    /// Streams from `upstream` from now on. The WAL receiver reconnects by itself after the reload.
    pub(super) async fn follow(&self, upstream: Option<&Upstream>) -> Result<(), AdjustError> {
        let Some(postmaster) = self.postmaster().await else {
            return Err(AdjustError::NotAnswering("it does not run".to_owned()));
        };
        self.want(|wanted| wanted.upstream = Some(upstream.cloned()));
        let files_for = FilesFor::Follower(upstream.cloned());
        let changed = self
            .write_configuration(&files_for)
            .await
            .map_err(|error| not_written(&error))?;
        let held = fs_err::read_to_string(self.place.conf()).unwrap_or_default();
        let held = pgherd_pgconf::parse_settings(&held);
        let names = ["primary_conninfo", "primary_slot_name"];
        let wanted = names.map(|name| held.get(name).cloned().unwrap_or_default());
        if !changed && self.runs_with(&postmaster, &names, &wanted).await? {
            return Ok(());
        }
        postmaster
            .signal(Signal::HUP)
            .map_err(|error| AdjustError::NotAnswering(error.to_string()))?;
        self.tell_reloaded().await;
        self.wait_until_runs_with(&postmaster, &names, &wanted)
            .await?;
        if upstream.is_none() {
            self.end_receiver(&postmaster).await;
        }
        Ok(())
    }

    /// The startup process ends the WAL receiver when it next looks for WAL. While its replay waits it does not look: then the
    /// receiver would go on to confirm what comes.
    async fn end_receiver(&self, postmaster: &Postmaster) {
        let running = async {
            let mut pace = Pace::millis(3, 50);
            while self.receiver_of(postmaster).await.is_some() {
                pace.wait().await;
            }
        };
        if tokio::time::timeout(LEAVE_PATIENCE, running).await.is_ok() {
            return;
        }
        if let Some(pid) = self.receiver_of(postmaster).await.and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::warn!(%error, "end the WAL receiver");
        }
    }

    /// The process id of the WAL receiver, where one runs.
    async fn receiver_of(&self, postmaster: &Postmaster) -> Option<i32> {
        let asking = self.heartbeat.ask_statement(
            self.door().await,
            postmaster.file.pid,
            "SELECT COALESCE((SELECT pid FROM pg_stat_get_wal_receiver()), 0)::text",
            SHOW_PATIENCE,
        );
        asking.await.ok()?.parse().ok().filter(|pid| *pid > 0)
    }

    /// Waits until the running server shows these values.
    pub(super) async fn wait_until_runs_with(
        &self,
        postmaster: &Postmaster,
        names: &[&str],
        wanted: &[String],
    ) -> Result<(), AdjustError> {
        let showing = async {
            let mut pace = Pace::millis(3, 50);
            while !self.runs_with(postmaster, names, wanted).await? {
                pace.wait().await;
            }
            Ok(())
        };
        let shown = tokio::time::timeout(SHOW_PATIENCE, showing).await;
        shown.unwrap_or_else(|_| {
            Err(AdjustError::NotAnswering(format!(
                "{} did not change within {SHOW_PATIENCE:?} of the reload",
                names.join(", ")
            )))
        })
    }

    async fn runs_with(
        &self,
        postmaster: &Postmaster,
        names: &[&str],
        wanted: &[String],
    ) -> Result<bool, AdjustError> {
        let shown: Vec<String> = names
            .iter()
            .map(|name| format!("current_setting('{name}')"))
            .collect();
        let statement = format!("SELECT json_build_array({})", shown.join(", "));
        let asking = self.heartbeat.ask_statement(
            self.door().await,
            postmaster.file.pid,
            &statement,
            SHOW_PATIENCE,
        );
        let running: Vec<String> = serde_json::from_str(&asking.await?).unwrap_or_default();
        Ok(running == wanted)
    }
}
