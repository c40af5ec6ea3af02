//! The deadline file: opened with suspicion, because its folder may be another account's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::record::{LINE, Receipt, Record};

/// How often a torn line is read again at once: the other side writes it in microseconds.
const READS: usize = 20;

/// Why a deadline file can not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("{what} the deadline file {path}", path = path.display())]
    Refused {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else lies there.
    #[error(
        "{path} is not a deadline file of this account (a link, or somebody else's); look who made it, and remove it",
        path = .0.display()
    )]
    Strange(PathBuf),
}

impl FileError {
    /// Whether the file is another account's.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// What lies at the path of an open deadline file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtPath {
    /// That file.
    Same,
    /// Another one.
    Other,
    /// None.
    Nothing,
}

/// An open deadline file.
#[derive(Debug)]
pub(crate) struct DeadlineFile {
    file: File,
    path: PathBuf,
}

impl DeadlineFile {
    /// Opens the file at `path`, made when there is none and `create`.
    pub(crate) fn open(path: &Path, create: bool) -> Result<Self, FileError> {
        let refused = |source| FileError::Refused {
            what: "open",
            path: path.to_owned(),
            source,
        };
        // NOATIME: a read must not wait for the disk, and the update of an access time may.
        let with = |flags: OFlags| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(create)
                .mode(0o600)
                .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
                .open(path)
        };
        let file = with(OFlags::NOFOLLOW | OFlags::NOATIME)
            .or_else(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => with(OFlags::NOFOLLOW),
                _ => Err(error),
            })
            .map_err(refused)?;
        let found = file.metadata().map_err(refused)?;
        let me = geteuid();
        let mine = found.uid() == me.as_raw() || me.is_root();
        if !found.is_file() || found.nlink() > 1 || !mine {
            return Err(FileError::Strange(path.to_owned()));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The order in it; `None` when there is none that can be read.
    pub(crate) fn order(&self) -> Option<Record> {
        self.read_line(0, Record::decode)
    }

    /// Whether another version of this program wrote the order in it.
    pub(crate) fn is_foreign(&self) -> bool {
        let mut line = [0; LINE];
        let read = self.file.read_at(&mut line, 0);
        read.is_ok_and(|count| Record::is_foreign(&line[..count]))
    }

    /// The fence's receipt in it; `None` when there is none that can be read.
    pub(crate) fn receipt(&self) -> Option<Receipt> {
        self.read_line(LINE as u64, Receipt::decode)
    }

    fn read_line<T>(&self, at: u64, decode: fn(&[u8]) -> Option<T>) -> Option<T> {
        let mut line = [0; LINE];
        (0..READS).find_map(|_| match self.file.read_at(&mut line, at) {
            Ok(count) => decode(&line[..count]),
            Err(_) => None,
        })
    }

    /// Writes the order: one pwrite, all of it or an error.
    pub(crate) fn write_order(&self, record: &Record) -> Result<(), FileError> {
        self.write_line(&record.encode(), 0)
    }

    /// Writes the receipt.
    pub(crate) fn write_receipt(&self, receipt: &Receipt) -> Result<(), FileError> {
        self.write_line(&receipt.encode(), LINE as u64)
    }

    fn write_line(&self, line: &[u8], at: u64) -> Result<(), FileError> {
        self.file
            .write_all_at(line, at)
            .map_err(|source| FileError::Refused {
                what: "write",
                path: self.path.clone(),
                source,
            })
    }

    /// Locks it for this process until it is closed. `false`: another process has it.
    pub(crate) fn lock(&self) -> Result<bool, FileError> {
        let refused = |source| FileError::Refused {
            what: "lock",
            path: self.path.clone(),
            source,
        };
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(refused(source)),
        }
    }

    /// Whether no process has it locked.
    pub(crate) fn is_free(&self) -> bool {
        let free = matches!(self.lock(), Ok(true));
        if free {
            // Closing it unlocks it too, should this fail.
            self.file.unlock().ok();
        }
        free
    }

    /// What lies at its path now.
    pub(crate) fn at_path(&self) -> AtPath {
        let Ok(mine) = self.file.metadata() else {
            return AtPath::Same;
        };
        match std::fs::symlink_metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (mine.dev(), mine.ino()) => AtPath::Same,
            Ok(_) => AtPath::Other,
            Err(error) if error.kind() == io::ErrorKind::NotFound => AtPath::Nothing,
            // It can not be looked at, and that is no reason to leave it.
            Err(_) => AtPath::Same,
        }
    }

    /// Removes it from its folder; a fence that has it open still reads it.
    pub(crate) fn remove(&self) -> Result<(), FileError> {
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(FileError::Refused {
                what: "remove",
                path: self.path.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }
}
