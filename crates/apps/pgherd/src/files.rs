//! The settings from the local files and the environment (contract §1.2).

use std::collections::BTreeMap;
use std::path::Path;

use pgherd_settings::{Loaded, load};

/// Reads `config` (when given) and lays the environment over it. The error lists every fault.
pub(crate) fn read(config: Option<&str>, env: &BTreeMap<String, String>) -> Result<Loaded, String> {
    let files = match config {
        Some(path) => pgherd_ctl::files::read(Path::new(path))?,
        None => Vec::new(),
    };
    load(&files, env).map_err(|faults| faults.to_string())
}

/// The process's own environment. Read once, here.
pub(crate) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
