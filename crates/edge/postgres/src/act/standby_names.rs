//! `synchronous_standby_names`, which the agent owns in synchronous mode.

use pgherd_pgconf::StandbyNames;
use pgherd_ports::AdjustError;
use rustix::process::Signal;

use super::not_written;
use crate::configuration::FilesFor;
use crate::server::LocalServer;

const NAME: &str = "synchronous_standby_names";

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
            .await
    }
}
