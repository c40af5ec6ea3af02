//! Recovering a crashed server in single-user mode, so that its control data tell where it ended
//! (contract §5.2c).

use camino::Utf8Path;
use pgherd_domain::WorkError;
use pgherd_pgconf::{command_line, parse_options_file};
use pgherd_ports::Progress;

use super::Doing as _;
use crate::files::{read, remove};
use crate::run::{command, output};
use crate::server::LocalServer;

impl LocalServer {
    /// Runs `postgres --single` until it has recovered. WAL stays: what was not archived is archived
    /// first, and nothing is taken for archived meanwhile.
    pub(super) async fn recover_from_crash(&self, progress: &Progress) -> Result<(), WorkError> {
        if self.running().await.is_some() {
            return Err(WorkError::Failed(
                "PostgreSQL runs; crash recovery is for one that does not".to_owned(),
            ));
        }
        self.refuse_torn()?;
        self.clear_orphans().await?;
        let data_dir = self.place.data_dir();
        if self.place.major() >= 15 && data_dir.join("backup_label").exists() {
            // 15 and later refuse: such a directory is a copy, which never crashed as a primary.
            tracing::info!("skip crash recovery: the data directory has a backup_label");
            return Ok(());
        }
        self.archive_ready_segments(progress).await;
        progress.say("recovering in single-user mode");
        self.empty_archive_status()
            .doing("empty pg_wal/archive_status")?;
        let signals = ["standby.signal", "recovery.signal"].map(|name| data_dir.join(name));
        let was_standby = self.place.is_standby();
        for signal in &signals {
            remove(signal).doing("remove the signal files")?;
        }
        let recovered = self.single_user(&self.last_options()).await;
        if was_standby {
            self.place
                .files()
                .write(&signals[0], "")
                .doing("put standby.signal back")?;
        }
        recovered
    }

    async fn single_user(&self, options: &[String]) -> Result<(), WorkError> {
        let mut postgres = command(
            &self.place.tool(&self.place.names().postgres),
            self.place.owner(),
        );
        postgres
            .args(["--single", "-D", self.place.data_dir().as_str()])
            .args(options)
            .args(["-c", "archive_mode=on", "-c", "archive_command=false"])
            .arg("template1")
            .env("LC_ALL", "C");
        output(postgres)
            .await
            .doing("recover in single-user mode")?;
        Ok(())
    }

    /// The options of the last start; those of the next when they are not known.
    fn last_options(&self) -> Vec<String> {
        let path = self.place.data_dir().join("postmaster.opts");
        let text = read(&path).ok().flatten().unwrap_or_default();
        let mut options = parse_options_file(&text);
        options.retain(|option| option.starts_with("--") && option.contains('='));
        if options.is_empty() {
            options = command_line(&self.settings(), None);
        }
        options
    }

    /// Without a status no segment counts as archived, so none is removed before pg_rewind has read it.
    fn empty_archive_status(&self) -> std::io::Result<()> {
        let folder = self.place.data_dir().join("pg_wal/archive_status");
        for name in names_in(&folder) {
            if name.ends_with(".done") || name.ends_with(".ready") {
                remove(&folder.join(name))?;
            }
        }
        Ok(())
    }
}

/// Names in a folder, sorted; none where there is no folder.
pub(super) fn names_in(folder: &Utf8Path) -> Vec<String> {
    let entries = folder.read_dir_utf8().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_owned()).collect();
    names.sort();
    names
}
