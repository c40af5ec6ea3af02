//! Where everything of one server is: its directories, its files, the tools, the account.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use pgherd_settings::{PostgresPlace, ProgramNames};

use crate::files::Files;
use crate::launcher::Launcher;
use crate::owner::Owner;

/// The fixed surroundings of one server; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    fixed: PostgresPlace,
    owner: Owner,
    major: u32,
    launcher: Launcher,
}

impl Place {
    /// `major` is the version of the installed programs.
    pub(crate) const fn new(fixed: PostgresPlace, owner: Owner, major: u32) -> Self {
        Self {
            fixed,
            owner,
            major,
            launcher: Launcher::Session,
        }
    }

    /// What starts the postmaster.
    pub(crate) const fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    /// Starts postmasters with `launcher` from now on.
    pub(crate) fn launch_with(&mut self, launcher: Launcher) {
        self.launcher = launcher;
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> &Utf8Path {
        &self.fixed.data_dir
    }

    /// The account that PostgreSQL runs as.
    pub(crate) const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Major version of the installed programs.
    pub(crate) const fn major(&self) -> u32 {
        self.major
    }

    /// The names of the programs.
    pub(crate) const fn names(&self) -> &ProgramNames {
        &self.fixed.bin_name
    }

    /// The settings that this is made of.
    pub(crate) const fn fixed(&self) -> &PostgresPlace {
        &self.fixed
    }

    /// The path of a program.
    pub(crate) fn tool(&self, name: &str) -> String {
        self.fixed.program(name).into_string()
    }

    /// The generated postgresql.conf.
    pub(crate) fn conf(&self) -> Utf8PathBuf {
        self.config_file(".conf")
    }

    /// The base configuration that it includes.
    pub(crate) fn base_conf(&self) -> Utf8PathBuf {
        self.config_file(".base.conf")
    }

    /// A file of the configuration directory that is not named by `config_base_name`.
    pub(crate) fn config(&self, name: &str) -> Utf8PathBuf {
        self.fixed.config_dir.join(name)
    }

    fn config_file(&self, suffix: &str) -> Utf8PathBuf {
        let name = format!("{}{suffix}", self.fixed.config_base_name);
        self.fixed.config_dir.join(name)
    }

    /// The password file that the agent writes (contract §2.4: `~/pgpass`).
    pub(crate) fn passfile(&self) -> Utf8PathBuf {
        let usual = || self.owner.home.join("pgpass");
        self.fixed.pgpass.clone().unwrap_or_else(usual)
    }

    /// Writes files for this server.
    pub(crate) fn files(&self) -> Files {
        Files::new(self.owner.clone(), self.data_dir())
    }

    /// Whether a signal file makes the next start a standby's.
    pub(crate) fn is_standby(&self) -> bool {
        ["standby.signal", "recovery.signal"]
            .iter()
            .any(|name| self.data_dir().join(name).exists())
    }

    /// Whether there is no cluster: absent, or nothing but dot files, lost+found and what a copy that was
    /// called off left (contract §5.1, step 9).
    pub(crate) fn is_empty(&self) -> std::io::Result<bool> {
        let entries = match fs::read_dir(self.data_dir()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            let passed_over = name.starts_with('.')
                || name == "lost+found"
                || name.starts_with(crate::aside::INSIDE_PREFIX);
            if !passed_over {
                return Ok(false);
            }
        }
        Ok(!self.data_dir().join("global/pg_control").exists())
    }
}
