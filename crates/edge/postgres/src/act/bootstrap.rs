//! Making a new cluster: initdb or the operator's method, the first start, roles and scripts (contract §8.2).

use camino::Utf8Path;
use pgherd_domain::{StartAs, StopMode, WorkError};
use pgherd_pgconf::{Program, allowed, command_line, split_command};
use pgherd_ports::{Progress, Wake};
use pgherd_settings::{CustomBootstrap, Settings};

use super::Doing as _;
use crate::aside::move_failed;
use crate::configuration::{FilesFor, recovery_among};
use crate::files::{read, remove, sibling};
use crate::pace::Pace;
use crate::process::{kill, running};
use crate::query::Heartbeat;
use crate::run::{command, output};
use crate::server::LocalServer;

impl LocalServer {
    /// Makes a cluster that runs as a primary. After a failure the data directory is called `.failed`.
    pub(super) async fn bootstrap(&self, progress: &Progress) -> Result<(), WorkError> {
        if self.running().await.is_some()
            || !self
                .place
                .is_empty()
                .doing("look into the data directory")?
        {
            return Err(WorkError::Failed(format!(
                "{} is not empty; a new cluster needs an empty data directory",
                self.place.data_dir()
            )));
        }
        let _silence = self.hooks.silence();
        let attempt = Attempt { server: Some(self) };
        match self.make_cluster(progress).await {
            Ok(()) => {
                attempt.succeeded();
                Ok(())
            }
            Err(error) => {
                drop(self.stop(StopMode::Immediate, None).await);
                attempt.succeeded();
                Err(self.set_failed_aside(&error))
            }
        }
    }

    fn set_failed_aside(&self, error: &WorkError) -> WorkError {
        if !self.place.data_dir().exists() {
            return WorkError::Failed(error.to_string());
        }
        WorkError::Failed(match move_failed(self.place.data_dir()) {
            Ok(moved) => format!("{error}; what there was is in {moved}"),
            Err(trouble) => format!("{error}; {} stays: {trouble}", self.place.data_dir()),
        })
    }

    async fn make_cluster(&self, progress: &Progress) -> Result<(), WorkError> {
        let settings = self.settings();
        let aside = self.aside();
        aside.discard_fresh().doing("clear the data directory")?;
        let timeout = settings.changing.postgresql.pg_ctl_timeout;
        match &settings.fixed.bootstrap.custom {
            None => {
                progress.say("running initdb");
                self.run_initdb(&settings).await?;
                self.append_hba(&settings)?;
                progress.say("starting the new cluster");
                self.start(&StartAs::Primary { valid_until: None }, timeout)
                    .await?;
            }
            Some(custom) => {
                progress.say(format!("running custom bootstrap {}", custom.name));
                self.run_custom(custom, &settings).await?;
                self.append_hba(&settings)?;
                self.start_restored(custom, &settings, progress).await?;
            }
        }
        progress.say("creating roles");
        self.after_bootstrap(&settings).await
    }

    async fn run_initdb(&self, settings: &Settings) -> Result<(), WorkError> {
        let options = allowed(
            Program::Initdb,
            &settings.fixed.bootstrap.initdb,
            self.place.major(),
        );
        for warning in &options.warnings {
            tracing::warn!("{warning}");
        }
        let files = self.place.files();
        let data_dir = self.place.data_dir();
        if let Some(above) = data_dir.parent() {
            files
                .make_folder(above)
                .doing("create the directory above the data directory")?;
        }
        files
            .make_folder(data_dir)
            .doing("create the data directory")?;
        let mut initdb = command(
            &self.place.tool(&self.place.names().initdb),
            self.place.owner(),
        );
        initdb.args(&options.arguments);
        let superuser = &settings.changing.postgresql.authentication.superuser;
        if let Some(user) = &superuser.username {
            initdb.arg(format!("--username={user}"));
        }
        let pwfile = sibling(&self.place.passfile(), ".initdb");
        if let Some(password) = &superuser.password {
            if let Some(folder) = pwfile.parent() {
                files
                    .make_folder(folder)
                    .doing("create the directory of the password file")?;
            }
            files
                .write_with_mode(&pwfile, &format!("{}\n", password.reveal()), 0o600)
                .doing("write the password file for initdb")?;
            initdb.arg(format!("--pwfile={pwfile}"));
        }
        initdb.arg(data_dir);
        let ran = output(initdb).await;
        remove(&pwfile).doing("remove the password file of initdb")?;
        ran.doing("initialize the data directory")?;
        Ok(())
    }

    async fn run_custom(
        &self,
        custom: &CustomBootstrap,
        settings: &Settings,
    ) -> Result<(), WorkError> {
        let what = format!("custom bootstrap {}", custom.name);
        let words = split_command(&custom.command).doing(&what)?;
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| WorkError::Failed(format!("{what}: no command")))?;
        let mut script = command(program, self.place.owner());
        script.args(arguments);
        if !custom.no_params {
            script
                .arg(format!("--scope={}", settings.fixed.scope))
                .arg(format!("--datadir={}", self.place.data_dir()));
        }
        for (key, value) in &custom.params {
            script.arg(format!("--{key}={value}"));
        }
        output(script).await.doing(&what)?;
        self.forget_foreign();
        Ok(())
    }

    /// Lines for pg_hba.conf, unless the operator's settings replace the whole file anyway.
    fn append_hba(&self, settings: &Settings) -> Result<(), WorkError> {
        let pg = &settings.changing.postgresql;
        let lines = &settings.fixed.bootstrap.pg_hba;
        let replaced = pg.pg_hba.all.is_some() || pg.parameters.contains_key("hba_file");
        if lines.is_empty() || replaced {
            return Ok(());
        }
        let path = self.place.config("pg_hba.conf");
        let initdbs = self.place.data_dir().join("pg_hba.conf");
        let held = match read(&path).doing("read pg_hba.conf")? {
            Some(held) => held,
            None => read(&initdbs)
                .doing("read pg_hba.conf")?
                .unwrap_or_default(),
        };
        let text = format!("{}\n\n{}\n", held.trim_end(), lines.join("\n"));
        self.place
            .files()
            .write(&path, &text)
            .doing("append to pg_hba.conf")?;
        Ok(())
    }

    /// The first start of what a custom method brought, until its recovery has ended, then a start as any
    /// primary's.
    async fn start_restored(
        &self,
        custom: &CustomBootstrap,
        settings: &Settings,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        let files_for = if custom.keep_existing_recovery_conf {
            let held = [
                self.place.conf(),
                self.place.data_dir().join("postgresql.auto.conf"),
            ]
            .iter()
            .filter_map(|path| read(path).ok().flatten())
            .flat_map(|text| recovery_among(&pgherd_pgconf::parse_settings(&text)))
            .collect();
            FilesFor::Recovery(held)
        } else {
            self.write_signals(false).doing("write the signal files")?;
            if !custom.recovery_conf.is_empty() {
                let signal = self.place.data_dir().join("recovery.signal");
                self.place
                    .files()
                    .write(&signal, "")
                    .doing("write recovery.signal")?;
            }
            FilesFor::Recovery(custom.recovery_conf.clone())
        };
        self.write_configuration(&files_for)
            .await
            .doing("write the configuration")?;
        let hba = self.place.config("pg_hba.conf");
        let own_hba = read(&hba).doing("read pg_hba.conf")?;
        self.open_locally(settings, &hba)?;
        let report = self.control.read(&self.place).await;
        let limits = report.doing("read what the custom bootstrap made")?.limits;
        let mut options = command_line(settings, Some(&limits));
        let action = custom.recovery_conf.get("recovery_target_action");
        if custom.keep_existing_recovery_conf || action.is_some_and(|it| it == "promote") {
            options.retain(|option| !option.starts_with("--hot_standby="));
            options.push("--hot_standby=off".to_owned());
        }
        progress.say("waiting for end of recovery after bootstrap");
        let timeout = settings.changing.postgresql.pg_ctl_timeout;
        self.launch(&options, timeout).await?;
        self.recovery_ended().await?;
        self.set_superuser(settings).await?;
        if let Some(text) = own_hba {
            self.place
                .files()
                .write(&hba, &text)
                .doing("put pg_hba.conf back")?;
        }
        self.stop(StopMode::Fast, None).await?;
        self.start(&StartAs::Primary { valid_until: None }, timeout)
            .await
    }

    /// Lets the superuser in from this host until its password is known to be the configured one.
    fn open_locally(&self, settings: &Settings, hba: &Utf8Path) -> Result<(), WorkError> {
        let parameters = &settings.changing.postgresql.parameters;
        if parameters.contains_key("hba_file") {
            return Ok(());
        }
        let logins = &settings.changing.postgresql.authentication;
        let mut text = String::new();
        for (login, database) in [
            (&logins.superuser, "all"),
            (&logins.replication, "replication"),
        ] {
            let user = login.username.as_deref().unwrap_or("all");
            let user = pgherd_pgconf::sql_identifier(user);
            text.push_str(&format!(
                "local {database} {user} trust\nhost {database} {user} 127.0.0.1/32 trust\n\
                 host {database} {user} ::1/128 trust\n"
            ));
        }
        self.place
            .files()
            .write(hba, &text)
            .doing("open pg_hba.conf for the bootstrap")?;
        Ok(())
    }

    async fn recovery_ended(&self) -> Result<(), WorkError> {
        let Some(postmaster) = self.postmaster().await else {
            return Err(WorkError::Failed(
                "PostgreSQL ended during its first recovery".to_owned(),
            ));
        };
        let line = Heartbeat::new(Wake::new());
        let ended = self.out_of_recovery(&line, &postmaster, Pace::millis(20, 500));
        // As long as it recovers it may take: restoring an archive takes hours. The operator can call it off.
        tokio::select! {
            () = ended => Ok(()),
            () = postmaster.gone() => Err(WorkError::Failed(
                "PostgreSQL ended during its first recovery; its log says why".to_owned(),
            )),
        }
    }
}

/// A bootstrap that is dropped half-way leaves nothing that looks like a cluster.
struct Attempt<'a> {
    server: Option<&'a LocalServer>,
}

impl Attempt<'_> {
    fn succeeded(mut self) {
        self.server = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Some(server) = self.server else {
            return;
        };
        let data_dir = server.place.data_dir();
        let running = running(data_dir, &server.place.names().postgres);
        let postmaster = running.map(|file| file.pid);
        let processes = server.family().members(postmaster);
        for pid in postmaster.into_iter().chain(processes) {
            kill(pid);
        }
        if data_dir.exists()
            && let Err(error) = move_failed(data_dir)
        {
            tracing::error!(%error, "set the data directory of a bootstrap aside that was called off");
        }
    }
}
