//! Where the deadline file of a data directory lies.
//!
//! Not in the directory itself, which is replaced by a copy at times, but beside it. Where that folder is
//! not ours to write: in `/run/pgherd`, else in the temporary folder.

use std::path::{Path, PathBuf};

use crate::file::{DeadlineFile, FileError, Trust};
use crate::record::hash;

/// Opens the deadline file of `data_dir`: the one that exists, else a new one at the first place that takes it.
/// One that exists may belong to a fence that guards, so it comes first wherever it lies.
pub(crate) fn open(data_dir: &Path) -> Result<DeadlineFile, FileError> {
    let (places, trust) = (places(data_dir), Trust::of(data_dir));
    for path in places.iter().filter(|path| path.exists()) {
        match DeadlineFile::open(path, false, trust) {
            Ok(file) => return Ok(file),
            // A fence of another account may guard by it, and would not hear of an order elsewhere.
            Err(error) if error.is_denied() => return Err(error),
            Err(_) => {}
        }
    }
    let mut refused = None;
    for path in &places {
        if path.starts_with(RUN) {
            // Whether that worked the opening tells.
            std::fs::create_dir(RUN).ok();
        }
        match DeadlineFile::open(path, true, trust) {
            Ok(file) => return Ok(file),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| FileError::Strange {
        path: data_dir.to_owned(),
        what: "there is no place for one",
    }))
}

/// The deadline file of `data_dir`, if there is one that can be used.
pub(crate) fn find(data_dir: &Path) -> Option<DeadlineFile> {
    let trust = Trust::of(data_dir);
    let mut all = places(data_dir).into_iter();
    all.find_map(|path| DeadlineFile::open(&path, false, trust).ok())
}

const RUN: &str = "/run/pgherd";

fn places(data_dir: &Path) -> Vec<PathBuf> {
    let name = data_dir
        .file_name()
        .map_or_else(|| "data".into(), |name| name.to_string_lossy());
    let sum = hash(data_dir.as_os_str().as_encoded_bytes());
    let with_sum = format!("pgherd-{name}-{sum:016x}.fence");
    let beside = data_dir
        .parent()
        .map(|parent| parent.join(format!(".pgherd-{name}.fence")));
    beside
        .into_iter()
        .chain([
            Path::new(RUN).join(&with_sum),
            std::env::temp_dir().join(format!(".{with_sum}")),
        ])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lies_beside_the_data_directory_and_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("main");
        let made = open(&data_dir).unwrap();
        assert_eq!(made.path(), folder.path().join(".pgherd-main.fence"));
        assert!(made.lock().unwrap());
        let again = open(&data_dir).unwrap();
        assert!(!again.is_free(), "the same file, locked");
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let data_dir = folder.path().join("link-test");
        let path = folder.path().join(".pgherd-link-test.fence");
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(DeadlineFile::open(&path, true, Trust::of(&data_dir)).is_err());
        let elsewhere = open(&data_dir).unwrap();
        assert_ne!(elsewhere.path(), path);
        elsewhere.remove().unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}
