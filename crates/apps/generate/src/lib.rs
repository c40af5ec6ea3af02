//! Writes a configuration file: a sample, or that of a running PostgreSQL (contract §2.8).
//!
//! Read in this order: `host` (what this machine tells), `document` (what goes into which section), `running`
//! (what a running server tells), `page` (how it looks).

mod document;
mod host;
mod page;
mod running;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use running::RunningError;

use crate::host::Host;

/// What the file starts from: the environment's settings, and what must be filled in by hand.
const FIXME: &str = "#FIXME";

/// Why no file was written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A variable of the environment does not fit.
    #[error("{0}")]
    Environment(String),
    /// The running server could not be read.
    #[error(transparent)]
    Running(#[from] RunningError),
    /// The file can not be written.
    #[error("write {to}")]
    Write {
        /// Which file.
        to: String,
        /// What the system said.
        source: io::Error,
    },
    /// No asynchronous runtime.
    #[error("start the runtime")]
    Runtime(#[source] io::Error),
}

/// Writes a sample: everything that a member needs, with `#FIXME` where only the operator knows. `PATRONI_*`
/// variables are taken in. Without `to` it goes to standard output.
///
/// # Errors
/// When a variable does not fit or the file can not be written.
pub fn sample(to: Option<&str>, env: &BTreeMap<String, String>) -> Result<(), GenerateError> {
    let given = given(env)?;
    let document = document::sample(&given, &Host::look());
    write(to, &page::render(&document))
}

/// Writes the configuration of a running server, read over a superuser's connection: through `dsn`, else the PG
/// variables of the environment. Without `to` it goes to standard output.
///
/// # Errors
/// When the server can not be read, a variable does not fit, or the file can not be written.
pub fn of_running(
    to: Option<&str>,
    dsn: Option<&str>,
    env: &BTreeMap<String, String>,
) -> Result<(), GenerateError> {
    let given = given(env)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(GenerateError::Runtime)?;
    let server = runtime.block_on(running::read(dsn, env))?;
    let document = document::running(&given, &Host::look(), &server);
    write(to, &page::render(&document))
}

fn given(env: &BTreeMap<String, String>) -> Result<Map<String, Value>, GenerateError> {
    pgherd_settings::of_environment(env)
        .map_err(|faults| GenerateError::Environment(faults.to_string()))
}

/// The file holds passwords: only its owner may read it.
fn write(to: Option<&str>, text: &str) -> Result<(), GenerateError> {
    let failed = |source| GenerateError::Write {
        to: to.unwrap_or("standard output").to_owned(),
        source,
    };
    let Some(path) = to.map(PathBuf::from) else {
        return io::stdout().write_all(text.as_bytes()).map_err(failed);
    };
    if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
        fs_err::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options.options_mut().mode(0o600);
    let mut file = options.open(&path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}
