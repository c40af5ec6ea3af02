//! Where lines go: standard error, or a file when a folder is given.

use std::io::{self, Write as _};

use camino::Utf8PathBuf;
use pgherd_settings::Log;

use crate::rotation::RotatedFile;

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Sink {
    wanted: Place,
    file: Option<RotatedFile>,
}

/// What tells one place from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    folder: Option<Utf8PathBuf>,
    mode: Option<u32>,
    bytes_max: u64,
    kept: u32,
}

impl Place {
    fn of(settings: &Log) -> Self {
        Self {
            folder: settings.dir.clone(),
            mode: settings.mode,
            bytes_max: settings.file_size,
            kept: settings.file_num,
        }
    }
}

impl Sink {
    /// Opens what `settings` ask for; the text says why that is standard error all the same.
    pub(crate) fn open(settings: &Log) -> (Self, Option<String>) {
        let wanted = Place::of(settings);
        let opened = wanted.folder.as_ref().map(|folder| {
            RotatedFile::open(folder, wanted.mode, wanted.bytes_max, wanted.kept)
                .map_err(|error| format!("log to standard error, not to {folder}: {error}"))
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
