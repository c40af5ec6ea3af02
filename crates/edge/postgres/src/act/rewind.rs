//! Winding the data directory back to where its history left the source's (contract §10).

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use pgherd_domain::{ControlState, Upstream, WorkError};
use pgherd_pgconf::{Program, Target, allowed, conninfo, copied};
use pgherd_ports::Progress;
use pgherd_settings::Settings;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::Doing as _;
use crate::configuration::FilesFor;
use crate::connect::{SqlError, ask, ask_value};
use crate::files::{Files, remove};
use crate::pace::Pace;
use crate::run::{RunError, command, watched};
use crate::server::LocalServer;

/// How long the source's first checkpoint on its timeline is waited for.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(30);
/// How long one answer of the source may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// Lies in a data directory that pg_rewind works on.
const REWINDING: &str = "pgherd.rewinding";
const TORN: &str = "pg_rewind was interrupted while it copied files; only a new copy is of use";

/// The timelines of the source: of its last checkpoint, and of the WAL it writes.
const TIMELINES: &str = "SELECT (SELECT timeline_id FROM pg_control_checkpoint()) = \
     ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int";

impl LocalServer {
    /// Runs pg_rewind and makes the result a follower of `source`.
    pub(super) async fn rewind(
        &self,
        source: &Upstream,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        if self.running().await.is_some() {
            return Err(WorkError::Failed(
                "PostgreSQL runs; pg_rewind needs it stopped".to_owned(),
            ));
        }
        self.refuse_torn()?;
        self.clear_orphans().await?;
        let settings = self.settings();
        self.await_checkpoint_on(source, progress).await?;
        let report = self.control.read(&self.place).await;
        let state = report.doing("read the control data")?.data.state;
        if !matches!(
            state,
            ControlState::ShutDown | ControlState::ShutDownInRecovery
        ) {
            progress.say("recovering before pg_rewind");
            self.recover_from_crash(progress).await?;
        }
        self.archive_ready_segments(progress).await;
        // pg_rewind reads restore_command from the configuration.
        let files_for = FilesFor::Follower(Some(source.clone()));
        self.write_configuration(&files_for)
            .await
            .doing("write the configuration before pg_rewind")?;
        self.write_passwords(source.ends())
            .await
            .doing("write the password file")?;
        let own = self.own_files().doing("read the configuration files")?;
        // A standby's signal would keep pg_rewind's own recovery from running; it is written again below.
        let was_standby = self.place.is_standby();
        self.write_signals(false)
            .doing("remove the signal files before pg_rewind")?;
        let mut traces = Traces::of(self.place.data_dir());
        let rewound = self
            .rewind_fetching(source, &settings, progress, &mut traces)
            .await;
        let torn = rewound.is_err() && traces.copying;
        traces.complete = rewound.is_ok();
        drop(traces);
        self.write_signals(was_standby || torn || rewound.is_ok())
            .doing("write the signal files")?;
        for (path, text) in own {
            self.place
                .files()
                .write(&path, &text)
                .doing("put the configuration files back")?;
        }
        if let Err(error) = rewound {
            return Err(self.judge(source, &error, torn).await);
        }
        let report = self.control.read(&self.place).await;
        let control = report.doing("read the control data")?.data;
        self.remove_given_up_timelines(&control)
            .doing("remove WAL that pg_rewind has left")?;
        if source.name.is_none() {
            self.forget_foreign();
        }
        self.want(|wanted| wanted.upstream = Some(Some(source.clone())));
        self.write_configuration(&files_for)
            .await
            .doing("write the configuration after pg_rewind")?;
        Ok(())
    }

    pub(super) async fn run_rewind(
        &self,
        source: &Upstream,
        settings: &Settings,
        progress: &Progress,
        traces: &mut Traces,
    ) -> Result<(), RunError> {
        let pg = &settings.changing.postgresql;
        let major = self.place.major();
        let options = allowed(Program::Rewind, &pg.rewind, major);
        for warning in &options.warnings {
            tracing::warn!("{warning}");
        }
        let passfile = self.place.passfile();
        let ports = source.ports();
        let target = Target {
            login: pg.authentication.for_rewind(),
            host: &source.host,
            port: &ports,
            database: &settings.fixed.place.database,
            passfile: Some(&passfile),
            krbsrvname: settings.fixed.place.krbsrvname.as_deref(),
            major,
        };
        let mut tool = command(
            &self.place.tool(&self.place.names().pg_rewind),
            self.place.owner(),
        );
        tool.args(["-D", self.place.data_dir().as_str(), "--progress"])
            .arg(format!(
                "--source-server={}",
                conninfo(&target, None, Some("read-write"))
            ))
            .args(&options.arguments)
            .env("PGPASSFILE", &passfile)
            .env("PGOPTIONS", "-c statement_timeout=0")
            .env("LC_ALL", "C");
        let config_inside = self.place.fixed().config_dir == *self.place.data_dir();
        if major >= 15 && !config_inside {
            tool.arg(format!("--config-file={}", self.place.conf()));
        }
        let restores = self.parameter("restore_command").await;
        if restores.is_ok_and(|it| !it.is_empty()) && (major >= 15 || config_inside) {
            tool.arg("--restore-target-wal");
        }
        progress.say(format!("running pg_rewind from {source}"));
        traces.write(&self.place.files());
        watched(tool, |line| match copied(line) {
            Some(done) => {
                traces.copying = true;
                progress.say(format!("rewinding: {done}"));
            }
            None => {
                traces.copying |= line.contains("need to copy");
                tracing::info!("pg_rewind: {line}");
            }
        })
        .await?;
        Ok(())
    }

    /// Up to 15 pg_rewind reads the source's timeline from its last checkpoint: before the first on a new
    /// timeline it would find nothing to do.
    async fn await_checkpoint_on(
        &self,
        source: &Upstream,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        let what = format!("look at {source} before pg_rewind");
        let client = self.source_client(source).await.doing(&what)?;
        let recovers = ask_value(&client, "SELECT pg_is_in_recovery()", ANSWER_PATIENCE).await;
        if recovers.doing(&what)? == "t" {
            return Err(WorkError::Failed(format!(
                "{source} is in recovery; only a primary can be rewound to"
            )));
        }
        let version = "SELECT current_setting('server_version_num')::int >= 160000";
        let version = ask_value(&client, version, ANSWER_PATIENCE).await;
        if version.doing(&what)? == "t" {
            return Ok(());
        }
        let deadline = Instant::now() + CHECKPOINT_PATIENCE;
        let mut pace = Pace::millis(50, 500);
        let mut allowed = true;
        loop {
            let same = ask_value(&client, TIMELINES, ANSWER_PATIENCE).await;
            if same.doing(&what)? == "t" {
                return Ok(());
            }
            progress.say(format!("Waiting for checkpoint on {source} before rewind"));
            if allowed {
                // Without the right to order one, its own next checkpoint is waited for.
                let ordered = ask(&client, "CHECKPOINT", CHECKPOINT_PATIENCE).await;
                allowed = ordered.is_ok();
            }
            if Instant::now() >= deadline {
                return Err(WorkError::Failed(format!(
                    "{source} has written no checkpoint on its timeline yet; pg_rewind needs one"
                )));
            }
            pace.wait().await;
        }
    }

    /// As the superuser, who may order checkpoints; else as the rewind user.
    async fn source_client(&self, source: &Upstream) -> Result<Client, SqlError> {
        let logins = self.settings().changing.postgresql.authentication.clone();
        let mut door = self.door_to(source, &logins.superuser);
        door.options = "-c search_path=pg_catalog -c statement_timeout=0";
        match door.open(None).await {
            Err(_) if logins.rewind.is_some() => {
                door.login = logins.for_rewind().clone();
                door.open(None).await
            }
            opened => opened,
        }
    }

    /// A directory that is half copied can be neither started nor rewound again. Otherwise a failure with a
    /// healthy source will happen again; with one that is away, or a full disk here, it need not.
    async fn judge(&self, source: &Upstream, error: &RunError, torn: bool) -> WorkError {
        let text = format!("pg_rewind from {source}: {error}");
        if torn {
            return WorkError::Hopeless(format!("{text}; {TORN}"));
        }
        let full = text.contains("No space left on device");
        match self.ask_upstream(source).await {
            Ok(seen) if !seen.in_recovery && !full => WorkError::Hopeless(text),
            Ok(_) | Err(_) => WorkError::Failed(text),
        }
    }

    /// An error when pg_rewind was interrupted in this data directory.
    pub(super) fn refuse_torn(&self) -> Result<(), WorkError> {
        if self.place.data_dir().join(REWINDING).exists() {
            return Err(WorkError::Hopeless(format!(
                "{}: {TORN}",
                self.place.data_dir()
            )));
        }
        Ok(())
    }
}

/// The file that lies in a data directory while pg_rewind works on it, and stays when it was interrupted
/// after it had begun to copy: then some files are the source's, with control data that do not show it.
pub(super) struct Traces {
    path: Utf8PathBuf,
    pub(super) copying: bool,
    complete: bool,
}

impl Traces {
    fn of(data_dir: &Utf8Path) -> Self {
        Self {
            path: data_dir.join(REWINDING),
            copying: false,
            complete: false,
        }
    }

    fn write(&self, files: &Files) {
        if let Err(error) = files.write(&self.path, "") {
            tracing::warn!(%error, "mark the data directory while pg_rewind runs");
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        let left = if self.complete || !self.copying {
            remove(&self.path)
        } else {
            // pg_rewind removes what the source does not have, this file too.
            fs_err::write(&self.path, "")
        };
        if let Err(error) = left {
            tracing::error!(%error, "mark how pg_rewind left the data directory");
        }
    }
}
