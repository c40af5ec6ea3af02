//! Starting PostgreSQL, as a primary or as a replica.

use std::time::Duration;

use pgherd_domain::{PgRole, StartAs, WorkError};
use pgherd_pgconf::command_line;
use tokio::time::timeout as within;

use super::Doing as _;
use crate::configuration::FilesFor;
use crate::server::LocalServer;

impl LocalServer {
    /// Starts the server, and tells the operator's callbacks.
    pub(super) async fn start(
        &self,
        start_as: &StartAs,
        timeout: Duration,
    ) -> Result<(), WorkError> {
        let started = self.start_silently(start_as, timeout).await;
        match (&started, start_as) {
            (Ok(()), start_as) => self.tell_started(self.role_after(start_as)).await,
            (Err(WorkError::Failed(_) | WorkError::Hopeless(_)), StartAs::Primary { .. })
                if self.held().is_none() =>
            {
                self.tell_lost().await;
            }
            (Err(_), _) => {}
        }
        started
    }

    /// What callbacks are told of a server that was started so. The leader of a standby cluster follows no member, but
    /// the other cluster, or an archive alone.
    pub(super) fn role_after(&self, start_as: &StartAs) -> PgRole {
        match start_as {
            StartAs::Primary { .. } => PgRole::Primary,
            StartAs::Replica { upstream } => {
                let follows = self.settings().changing.cluster.standby_cluster.is_some();
                let no_member = upstream.as_ref().is_none_or(|it| it.name.is_none());
                if follows && no_member && self.hooks.leads() {
                    PgRole::StandbyLeader
                } else {
                    PgRole::Replica
                }
            }
        }
    }

    /// Writes the files for the role, starts the postmaster and waits until it takes connections. A server
    /// that is still starting when the time is up goes on. A primary is not started after its lease.
    pub(super) async fn start_silently(
        &self,
        start_as: &StartAs,
        timeout: Duration,
    ) -> Result<(), WorkError> {
        if let Some(postmaster) = self.postmaster().await {
            // A start that was called off left it starting.
            let pid = postmaster.file.pid;
            return tokio::select! {
                () = postmaster.gone() => Err(WorkError::Failed(format!("PostgreSQL (process {pid}) ended while starting up"))),
                ready = within(timeout, self.ready()) => ready.map_err(|_| {
                    WorkError::Failed(format!("PostgreSQL (process {pid}) is still starting up and goes on"))
                }),
            };
        }
        self.refuse_torn()?;
        self.clear_orphans().await?;
        let (files_for, standby) = match start_as {
            StartAs::Primary { .. } => (FilesFor::Primary, false),
            StartAs::Replica { upstream } => (FilesFor::Follower(upstream.clone()), true),
        };
        if standby {
            self.archive_end_of_primary().await;
        }
        self.want(|wanted| {
            wanted.upstream = match start_as {
                StartAs::Primary { .. } => None,
                StartAs::Replica { upstream } => Some(upstream.clone()),
            };
            if matches!(start_as, StartAs::Primary { .. }) {
                wanted.stop_before = Some(None);
            }
        });
        self.write_signals(standby)
            .doing("write the signal files for the start")?;
        self.write_configuration(&files_for)
            .await
            .doing("write the configuration for the start")?;
        let limits = match self.control.read(&self.place).await {
            Ok(report) if standby => {
                self.drop_last_placeholders(&report.data)
                    .doing("remove history files of numbers that no timeline bears")?;
                // An agent that ended while pg_rewind ran did not see to it.
                self.remove_given_up_timelines(&report.data)
                    .doing("remove WAL that pg_rewind has left")?;
                Some(report.limits)
            }
            Ok(_) => None,
            Err(error) => {
                return Err(WorkError::Hopeless(format!(
                    "the data directory {} holds no cluster that can be started: {error}",
                    self.place.data_dir()
                )));
            }
        };
        let mut options = command_line(&self.settings(), limits.as_ref());
        options.extend(self.entry_option().await?);
        if let StartAs::Primary {
            valid_until: Some(valid_until),
        } = start_as
            && self.now() >= *valid_until
        {
            return Err(WorkError::LeaseEnded);
        }
        self.launch(&options, timeout).await?;
        if let Err(error) = self.back_files_up() {
            tracing::warn!(%error, "back up the configuration files");
        }
        Ok(())
    }
}
