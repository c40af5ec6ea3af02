//! Reading the local files: one, or all `*.yml` of a folder in the order of their names (contract §1.2).

use std::collections::BTreeMap;
use std::path::Path;

use pgherd_settings::{Loaded, load};

/// Reads `config` (when given) and lays the environment over it. The error lists every fault.
pub(crate) fn read(config: Option<&str>, env: &BTreeMap<String, String>) -> Result<Loaded, String> {
    let files = match config {
        Some(path) => texts(Path::new(path))?,
        None => Vec::new(),
    };
    load(&files, env).map_err(|faults| faults.to_string())
}

fn texts(path: &Path) -> Result<Vec<(String, String)>, String> {
    let read = |path: &Path| {
        fs_err::read_to_string(path)
            .map(|text| (path.display().to_string(), text))
            .map_err(|error| error.to_string())
    };
    if !path.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let mut paths = Vec::new();
    for entry in fs_err::read_dir(path).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let yaml = path
            .extension()
            .is_some_and(|ending| ending == "yml" || ending == "yaml");
        if yaml && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(format!(
            "{}: the folder holds no *.yml file",
            path.display()
        ));
    }
    paths.iter().map(|path| read(path)).collect()
}

/// The process's own environment. Read once, here.
pub(crate) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
