//! Copying another server: beside the old data directory, which stays until the copy streams (contract §8.3).

use camino::{Utf8Path, Utf8PathBuf};
use pgherd_domain::{SlotParameters, Upstream, WorkError};
use pgherd_pgconf::{Allowed, Program, Target, allowed, conninfo, copied, split_command};
use pgherd_ports::Progress;
use pgherd_settings::{ReplicaMethod, Settings};
use tokio::task::spawn_blocking;

use super::Doing as _;
use crate::configuration::FilesFor;
use crate::run::{RunError, command, output, watched};
use crate::server::LocalServer;

/// How often one call tries a base backup.
const ATTEMPTS: usize = 2;

impl LocalServer {
    /// Tries every method in turn, or a base backup only. The server is not started.
    pub(super) async fn clone_from(
        &self,
        source: &Upstream,
        basebackup_only: bool,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        self.nobody_uses_the_directory().await?;
        let settings = self.settings();
        self.write_passwords(source.ends())
            .await
            .doing("write the password file")?;
        let mut troubles = Vec::new();
        let methods = if basebackup_only {
            vec![ReplicaMethod::basebackup()]
        } else {
            methods(&settings, Some(source))
        };
        for method in methods {
            let copied = if method.name == "basebackup" {
                self.copy_by_basebackup(source, &settings, progress).await
            } else {
                self.copy_by_script(&method, Some(source), &settings, progress)
                    .await
            };
            match copied {
                Ok(()) => {
                    tracing::info!("replica has been created using {}", method.name);
                    return self.settle_copy(Some(source)).await;
                }
                Err(error) => {
                    tracing::error!(
                        "Error creating replica using method {}: {error}",
                        method.name
                    );
                    troubles.push(format!("replica method {}: {error}", method.name));
                }
            }
        }
        Err(WorkError::Failed(troubles.join("; ")))
    }

    /// Tries every method that needs nobody to copy from, in turn. The server is not started.
    pub(super) async fn restore(&self, progress: &Progress) -> Result<(), WorkError> {
        self.nobody_uses_the_directory().await?;
        let settings = self.settings();
        self.write_passwords(std::iter::empty())
            .await
            .doing("write the password file")?;
        let mut troubles = Vec::new();
        let methods = methods(&settings, None);
        for method in methods.into_iter().filter(|method| method.no_leader) {
            match self
                .copy_by_script(&method, None, &settings, progress)
                .await
            {
                Ok(()) => {
                    tracing::info!("replica has been created using {}", method.name);
                    return self.settle_copy(None).await;
                }
                Err(error) => {
                    tracing::error!(
                        "Error creating replica using method {}: {error}",
                        method.name
                    );
                    troubles.push(format!("replica method {}: {error}", method.name));
                }
            }
        }
        if troubles.is_empty() {
            troubles.push(
                "no replica method is marked no_leader, and there is nobody to copy from"
                    .to_owned(),
            );
        }
        Err(WorkError::Failed(troubles.join("; ")))
    }

    /// A server whose directory is moved goes on in it, unseen, and keeps the port.
    async fn nobody_uses_the_directory(&self) -> Result<(), WorkError> {
        if self.running().await.is_some() {
            return Err(WorkError::Failed(
                "PostgreSQL runs; its data directory is not replaced under it".to_owned(),
            ));
        }
        self.clear_orphans().await
    }

    async fn copy_by_basebackup(
        &self,
        source: &Upstream,
        settings: &Settings,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        let options = &settings.changing.postgresql.basebackup;
        let options = allowed(Program::Basebackup, options, self.place.major());
        for warning in &options.warnings {
            tracing::warn!("{warning}");
        }
        let mut attempt = 1;
        loop {
            match self.basebackup(source, settings, &options, progress).await {
                Err(error) if attempt < ATTEMPTS => {
                    tracing::warn!(%error, "base backup failed, trying once more");
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn basebackup(
        &self,
        source: &Upstream,
        settings: &Settings,
        options: &Allowed,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        let aside = self.aside();
        let fresh = aside.fresh();
        let wal = options.value("waldir").map(Utf8PathBuf::from);
        let preparing = aside.clone();
        on_disk(move || {
            preparing.free_linked(wal.as_deref())?;
            preparing.prepare()
        })
        .await
        .doing("prepare a directory for the copy")?;
        progress.say(format!("copying from {source}"));
        let mut tool = command(
            &self.place.tool(&self.place.names().pg_basebackup),
            self.place.owner(),
        );
        tool.arg(format!("--pgdata={fresh}"))
            .args(["-X", "stream", "--progress", "--no-clean"])
            .arg(format!(
                "--dbname={}",
                self.source_conninfo(source, settings)
            ))
            .args(&options.arguments)
            .env("PGPASSFILE", self.place.passfile());
        if !options.has("checkpoint") {
            // The gentle default waits for the next checkpoint of the source: minutes.
            tool.arg("--checkpoint=fast");
        }
        if let Some(name) = &self.place.fixed().krbsrvname {
            tool.env("PGKRBSRVNAME", name);
        }
        let copying = watched(tool, |line| {
            if let Some(done) = copied(line) {
                progress.say(format!("copying {done}"));
            }
        })
        .await;
        if let Err(error) = copying {
            let cleaning = aside.clone();
            if let Err(error) = on_disk(move || cleaning.discard_fresh()).await {
                tracing::warn!(%error, "remove the unfinished copy");
            }
            return Err(error).doing(&format!("copy {source}"));
        }
        // Whoever starts what is there, even by hand, starts a standby.
        self.place
            .files()
            .write_with_mode(&fresh.join("standby.signal"), "", 0o600)
            .doing("write standby.signal")?;
        // Somebody may have started what was there while the copy was made.
        self.nobody_uses_the_directory().await?;
        on_disk(move || aside.install())
            .await
            .doing("move the copy into place")
    }

    async fn copy_by_script(
        &self,
        method: &ReplicaMethod,
        source: Option<&Upstream>,
        settings: &Settings,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        let words = split_command(&method.command).doing("read its command")?;
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| WorkError::Failed("it has no command".to_owned()))?;
        let aside = self.aside();
        if !method.keep_data {
            let setting = aside.clone();
            on_disk(move || setting.set_aside())
                .await
                .doing("set the old data directory aside")?;
        }
        progress.say(format!("running replica method {}", method.name));
        let mut script = command(program, self.place.owner());
        script
            .args(arguments)
            .env("PGPASSFILE", self.place.passfile());
        for (key, value) in &method.params {
            script.arg(format!("--{key}={value}"));
        }
        if !method.no_params {
            script
                .arg(format!("--scope={}", settings.fixed.scope))
                .arg("--role=replica")
                .arg(format!("--datadir={}", self.place.data_dir()))
                .arg(format!(
                    "--connstring={}",
                    source.map_or_else(String::new, |it| self.source_conninfo(it, settings))
                ));
        }
        let ran = output(script)
            .await
            .map_err(|error| WorkError::Failed(told(&method.command, &error)));
        if method.keep_data {
            return ran.map(drop);
        }
        let finishing = aside.clone();
        match ran {
            Ok(_) => on_disk(move || finishing.mark_unproven())
                .await
                .doing("mark the copy"),
            Err(error) => {
                on_disk(move || finishing.put_back())
                    .await
                    .doing("put the old data directory back")?;
                Err(error)
            }
        }
    }

    /// Files and signal for what is in place now: a follower of its source.
    async fn settle_copy(&self, source: Option<&Upstream>) -> Result<(), WorkError> {
        self.restore_files()
            .doing("restore configuration files from their backups")?;
        self.write_signals(true).doing("write standby.signal")?;
        if source.is_none_or(|source| source.name.is_none()) {
            self.forget_foreign();
        }
        self.want(|wanted| {
            wanted.upstream = Some(source.cloned());
            // The configuration came with the copy: what its former server was told is not for this one.
            wanted.stop_before = Some(None);
            wanted.slot_parameters = Some(SlotParameters::default());
        });
        self.write_configuration(&FilesFor::Follower(source.cloned()))
            .await
            .doing("write the configuration of the copy")?;
        Ok(())
    }

    fn source_conninfo(&self, source: &Upstream, settings: &Settings) -> String {
        let passfile = self.place.passfile();
        let ports = source.ports();
        let target = Target {
            login: &settings.changing.postgresql.authentication.replication,
            host: &source.host,
            port: &ports,
            database: &settings.fixed.place.database,
            passfile: Some(Utf8Path::new(&passfile)),
            krbsrvname: settings.fixed.place.krbsrvname.as_deref(),
            major: self.place.major(),
        };
        // Never under the member's name: the copy's WAL stream must not count as a synchronous standby.
        conninfo(&target, None, None).to_string()
    }
}

/// How a script failed, as people search for it in logs.
fn told(command: &str, error: &RunError) -> String {
    match error {
        RunError::Failed { status, tail, .. } => {
            let how = match status.code() {
                Some(code) => format!("{command} exited with code={code}"),
                None => format!("{command} ended with {status}"),
            };
            if tail.is_empty() {
                how
            } else {
                format!("{how}: {tail}")
            }
        }
        RunError::NotStarted { .. } => error.to_string(),
    }
}

/// The methods for this source: a standby cluster's first member has a list of its own, for the other cluster
/// as the source and for an archive alone.
fn methods(settings: &Settings, source: Option<&Upstream>) -> Vec<ReplicaMethod> {
    let all = &settings.changing.postgresql.create_replica_methods;
    let remote = settings.changing.cluster.standby_cluster.as_ref();
    let Some(remote) = remote.filter(|_| source.is_none_or(|source| source.name.is_none())) else {
        return all.clone();
    };
    let mut own = remote.create_replica_methods.clone();
    if own.is_empty() {
        own.push(ReplicaMethod::basebackup());
    }
    own
}

/// Directories may be large and disks slow: not on a thread that others wait for.
async fn on_disk(
    work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> std::io::Result<()> {
    spawn_blocking(work).await.map_err(std::io::Error::other)?
}
