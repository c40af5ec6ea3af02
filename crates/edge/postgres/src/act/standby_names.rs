//! `synchronous_standby_names`, which the agent owns in synchronous mode.

use std::time::Duration;

use pgherd_pgconf::StandbyNames;
use pgherd_ports::AdjustError;
use rustix::process::Signal;

use super::not_written;
use crate::configuration::FilesFor;
use crate::server::LocalServer;

const NAME: &str = "synchronous_standby_names";

const NEW_WAL: &str = "BEGIN; SET LOCAL synchronous_commit = local; \
                       SELECT pg_catalog.txid_current(); COMMIT";
const NEW_WAL_PATIENCE: Duration = Duration::from_secs(2);

impl LocalServer {
    /// Sets it, or gives it back to the operator; returns when the running server shows it.
    pub(super) async fn set_standby_names(&self, names: Option<&str>) -> Result<(), AdjustError> {
        let ours = match names {
            Some(names) => StandbyNames::Agents(names.to_owned()),
            None => StandbyNames::Users,
        };
        self.want(|wanted| wanted.names = Some(ours));
        let Some(postmaster) = self.postmaster().await else {
            return Err(AdjustError::NotAnswering("it does not run".to_owned()));
        };
        let files_for = if self.place.is_standby() {
            FilesFor::SameFollower
        } else {
            FilesFor::Primary
        };
        self.write_configuration(&files_for)
            .await
            .map_err(|error| not_written(&error))?;
        postmaster
            .signal(Signal::HUP)
            .map_err(|error| AdjustError::NotAnswering(error.to_string()))?;
        self.tell_reloaded().await;
        let held = fs_err::read_to_string(self.place.conf()).unwrap_or_default();
        let Some(value) = pgherd_pgconf::parse_settings(&held).remove(NAME) else {
            // Whatever the base configuration says holds now.
            return Ok(());
        };
        self.wait_until_runs_with(&postmaster, &[NAME], &[value])
            .await?;
        if !self.place.is_standby() {
            self.give_something_to_confirm(postmaster.file.pid).await;
        }
        Ok(())
    }

    /// Writes a transaction that waits for nobody. Commits that wait are released when a standby that counts now
    /// confirms something, which it would not do before there is something new (contract §6.2).
    async fn give_something_to_confirm(&self, postmaster: i32) {
        let door = self.door().await;
        let asking = self
            .heartbeat
            .ask_statement(door, postmaster, NEW_WAL, NEW_WAL_PATIENCE);
        if let Err(error) = asking.await {
            tracing::debug!("no transaction after the change of {NAME}: {error}");
        }
    }
}
