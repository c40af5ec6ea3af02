//! Where lines go: standard error, or a file when a folder is given.

use std::io::{self, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use pgherd_settings::Log;

use crate::rotation::RotatedFile;

/// The name that Patroni's users look for.
const NAME: &str = "patroni.log";

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Sink {
    wanted: Place,
    file: Option<RotatedFile>,
}

/// What tells one place from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: Option<Utf8PathBuf>,
    mode: Option<u32>,
    bytes_max: u64,
    kept: u32,
}

impl Place {
    fn of(settings: &Log) -> Self {
        Self {
            path: settings.dir.as_ref().map(|folder| folder.join(NAME)),
            mode: settings.mode,
            bytes_max: settings.file_size,
            kept: settings.file_num,
        }
    }
}

impl Sink {
    /// Opens what `settings` ask for; the text says why that is standard error all the same.
    pub(crate) fn open(settings: &Log) -> (Self, Option<String>) {
        Self::at(Place::of(settings))
    }

    /// Opens one file that is never rotated; standard error without one.
    pub(crate) fn single(path: Option<&Utf8Path>) -> (Self, Option<String>) {
        Self::at(Place {
            path: path.map(Utf8Path::to_owned),
            mode: None,
            bytes_max: u64::MAX,
            kept: 0,
        })
    }

    fn at(wanted: Place) -> (Self, Option<String>) {
        let opened = wanted.path.as_ref().map(|path| {
            RotatedFile::open(path, wanted.mode, wanted.bytes_max, wanted.kept)
                .map_err(|error| format!("log to standard error, not to {path}: {error}"))
        });
        let (file, trouble) = match opened {
            Some(Ok(file)) => (Some(file), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        (Self { wanted, file }, trouble)
    }

    /// Whether `settings` ask for another place.
    pub(crate) fn differs(&self, settings: &Log) -> bool {
        self.wanted != Place::of(settings)
    }

    /// Writes a line. One that the file does not take, on a full disk say, goes to standard error.
    pub(crate) fn write(&mut self, line: &str) {
        let is_written = self
            .file
            .as_mut()
            .is_some_and(|file| file.write(line).is_ok());
        if !is_written {
            // there is nobody else to tell
            io::stderr().write_all(line.as_bytes()).ok();
        }
    }
}
