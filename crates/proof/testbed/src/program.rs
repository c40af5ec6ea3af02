//! Which agent a member runs: ours, or Patroni for a comparison.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Where `scripts/setup.sh test` puts programs of others that read our interface.
const READERS: &str = "/var/tmp/pgherd-readers-4.1.5";

/// A program of others that reads our interface, such as `check_patroni`; `None` where the set-up could not get it.
#[must_use]
pub fn reader(program: &str) -> Option<PathBuf> {
    let readers = Path::new(READERS);
    let found = readers.join("bin").join(program);
    (readers.join("complete").exists() && found.is_file()).then_some(found)
}

/// Where `scripts/setup.sh test` puts Consul.
const CONSUL: &str = "/var/tmp/pgherd-consul-1.8.7";

/// The `consul` that the set-up unpacked; `None`, and a line that says so, where it could not get it.
#[must_use]
pub fn consul() -> Option<PathBuf> {
    let folder = Path::new(CONSUL);
    let found = folder.join("usr/bin/consul");
    if folder.join("complete").exists() && found.is_file() {
        return Some(found);
    }
    println!("skipped: Consul is not there (scripts/setup.sh test gets it)");
    None
}

/// The program beside PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentProgram {
    /// `pgherd`, at this path.
    Pgherd(PathBuf),
    /// `patroni`, at this path; `patronictl` is beside it.
    Patroni(PathBuf),
}

impl AgentProgram {
    /// The `pgherd` that belongs to this test or benchmark: `PGHERD_BIN`, else the one built into the same target
    /// directory, the same profile first.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn pgherd() -> Result<Self> {
        if let Some(path) = std::env::var_os("PGHERD_BIN").map(PathBuf::from) {
            if path.exists() {
                return Ok(Self::Pgherd(path));
            }
            bail!("PGHERD_BIN names {}, which does not exist", path.display());
        }
        let own = std::env::current_exe()?;
        let near = own
            .ancestors()
            .skip(1)
            .take(3)
            .map(|dir| dir.join("pgherd"));
        let target = own
            .ancestors()
            .find(|dir| dir.file_name().is_some_and(|name| name == "target"));
        let profiles = ["debug", "release"];
        let far = target
            .iter()
            .flat_map(|dir| profiles.map(|name| dir.join(name).join("pgherd")));
        near.chain(far)
            .find(|path| path.is_file())
            .map(Self::Pgherd)
            .context("the pgherd binary is not built; run `cargo build -p pgherd` first")
    }

    /// The Patroni that `scripts/setup.sh test` installs for tests of compatibility; `None` where it could not.
    #[must_use]
    pub fn patroni() -> Option<Self> {
        reader("patroni").map(Self::Patroni)
    }

    /// The same, if it has this Python module, without which it does not speak to some store.
    #[must_use]
    pub fn patroni_with(module: &str) -> Option<Self> {
        let folders = fs_err::read_dir(Path::new(READERS).join("lib")).ok()?;
        let mut folders = folders.filter_map(Result::ok);
        let has = |folder: &Path| folder.join("site-packages").join(module).is_dir();
        let there = folders.any(|folder| has(&folder.path()));
        Self::patroni().filter(|_| there)
    }

    /// Command line of the agent for a configuration file.
    #[must_use]
    pub(crate) fn agent(&self, config: &str) -> Vec<String> {
        match self {
            Self::Pgherd(path) => {
                vec![
                    path.display().to_string(),
                    "agent".to_owned(),
                    config.to_owned(),
                ]
            }
            Self::Patroni(path) => vec![path.display().to_string(), config.to_owned()],
        }
    }

    /// Command line of the control program, verbs excluded.
    #[must_use]
    pub(crate) fn ctl(&self, config: &str) -> Vec<String> {
        let program = match self {
            Self::Pgherd(path) => path.clone(),
            Self::Patroni(path) => path.with_file_name("patronictl"),
        };
        vec![
            program.display().to_string(),
            "-c".to_owned(),
            config.to_owned(),
        ]
    }

    /// Ours drops root itself; Patroni has to be started as the server's account.
    #[must_use]
    pub(crate) const fn needs_account(&self) -> bool {
        matches!(self, Self::Patroni(_))
    }

    /// Name for tables and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pgherd(_) => "pgherd",
            Self::Patroni(_) => "patroni",
        }
    }
}
