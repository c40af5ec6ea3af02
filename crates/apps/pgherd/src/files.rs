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

/// The file that counts: the one given, unless it is not there and the environment holds settings, as in a container that
/// mounts none; then those count alone (contract §2.1). What is so at the start stays so: a file that goes later is a fault
/// of the reload.
pub(crate) fn that_counts<'a>(
    given: Option<&'a str>,
    env: &BTreeMap<String, String>,
) -> Option<&'a str> {
    let is_set =
        |(name, value): (&String, &String)| name.starts_with("PATRONI_") && !value.is_empty();
    let is_there = |path: &&str| {
        let found = fs_err::metadata(path);
        !found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    given.filter(|path| is_there(path) || !env.iter().any(is_set))
}

/// The process's own environment. Read once, here.
///
/// # Errors
/// Variables of ours that are no UTF-8: to leave one out would mean something else than was said.
pub(crate) fn environment() -> Result<BTreeMap<String, String>, String> {
    let mut environment = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => {
                environment.insert(name, value);
            }
            (Ok(name), Err(_)) if name.starts_with("PATRONI_") => {
                faults.push(format!("{name}  is not UTF-8; set it in that encoding"));
            }
            _ => {}
        }
    }
    match faults.is_empty() {
        true => Ok(environment),
        false => Err(faults.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_gives_way_to_the_environment_when_that_says_something() {
        let nothing = BTreeMap::new();
        let env = |value: &str| BTreeMap::from([("PATRONI_SCOPE".to_owned(), value.to_owned())]);
        let (gone, there) = ("/nowhere/patroni.yml", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(that_counts(Some(gone), &env("herd")), None);
        assert_eq!(that_counts(Some(gone), &env("")), Some(gone));
        assert_eq!(that_counts(Some(gone), &nothing), Some(gone));
        assert_eq!(that_counts(Some(there), &env("herd")), Some(there));
        assert_eq!(that_counts(None, &env("herd")), None);
    }
}
