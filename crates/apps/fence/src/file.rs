//! The deadline file: opened with suspicion, because its folder may be another account's.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
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
    /// Something else lies there, or others may write it.
    #[error(
        "{path} is not a deadline file that can be trusted: {what}; look who made it, and remove it",
        path = path.display()
    )]
    Strange {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Whose deadline files are believed: root's, this account's, and the data directory's owner's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trust {
    me: u32,
    owner: Option<u32>,
}

impl Trust {
    /// For the server on `data_dir`, which need not exist yet.
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self {
            me: geteuid().as_raw(),
            owner: std::fs::metadata(data_dir).ok().map(|found| found.uid()),
        }
    }

    /// What is wrong with `found`.
    fn fault(self, found: &Metadata) -> Option<&'static str> {
        let owner = found.uid();
        if !found.is_file() {
            Some("it is no plain file")
        } else if found.nlink() > 1 {
            Some("it has a second name")
        } else if owner != 0 && owner != self.me && Some(owner) != self.owner {
            Some("it is another account's")
        } else if found.mode() & 0o022 != 0 {
            Some("others may write it")
        } else {
            None
        }
    }
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
    pub(crate) fn open(path: &Path, create: bool, trust: Trust) -> Result<Self, FileError> {
        let refused = |source| FileError::Refused {
            what: "open",
            path: path.to_owned(),
            source,
        };
        // NOATIME: a read must not wait for the disk, and the update of an access time may. NONBLOCK: nor for
        // somebody at the other end of what is no file at all.
        let with = |flags: OFlags| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(create)
                .mode(0o600)
                .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
                .open(path)
        };
        let file = with(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME)
            .or_else(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => with(OFlags::NOFOLLOW | OFlags::NONBLOCK),
                _ => Err(error),
            })
            .map_err(refused)?;
        let found = file.metadata().map_err(refused)?;
        if let Some(what) = trust.fault(&found) {
            let path = path.to_owned();
            return Err(FileError::Strange { path, what });
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

    /// Whether something stands where the order belongs, and it is none.
    pub(crate) fn holds_garbage(&self) -> bool {
        let mut line = [0; LINE];
        let read = self.file.read_at(&mut line, 0);
        read.is_ok_and(|count| count > 0) && self.order().is_none()
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    /// What becomes of a file that `spoil` has done something to, beside a data directory of account 1.
    fn opened(spoil: impl FnOnce(&Path)) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let (path, data_dir) = (folder.path().join("deadline"), folder.path().join("data"));
        std::fs::create_dir(&data_dir).unwrap();
        if geteuid().is_root() {
            chown(&data_dir, Some(1), None).unwrap();
        }
        let trust = Trust::of(&data_dir);
        drop(DeadlineFile::open(&path, true, trust).unwrap());
        spoil(&path);
        let opened = DeadlineFile::open(&path, false, trust);
        opened.map(drop).map_err(|error| error.to_string())
    }

    fn with_mode(mode: u32) -> Result<(), String> {
        opened(|path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        })
    }

    fn owned_by(account: u32) -> Result<(), String> {
        opened(|path| chown(path, Some(account), None).unwrap())
    }

    #[test]
    fn only_what_nobody_else_may_write_is_a_deadline_file() {
        assert_eq!(with_mode(0o600), Ok(()));
        assert_eq!(with_mode(0o644), Ok(()), "reading does no harm");
        for mode in [0o620, 0o602, 0o666] {
            assert!(with_mode(mode).unwrap_err().contains("others may write it"));
        }
        if geteuid().is_root() {
            assert_eq!(owned_by(0), Ok(()));
            assert_eq!(owned_by(1), Ok(()), "the data directory's owner");
            assert!(owned_by(65_534).unwrap_err().contains("another account's"));
        }
    }

    #[test]
    fn only_a_plain_file_with_one_name_is_a_deadline_file() {
        let linked = opened(|path| {
            std::fs::hard_link(path, path.with_extension("too")).unwrap();
        });
        assert!(linked.unwrap_err().contains("a second name"));
        let replaced = |make: fn(&Path)| {
            opened(|path| {
                std::fs::remove_file(path).unwrap();
                make(path);
            })
        };
        assert!(replaced(|path| symlink("/etc/passwd", path).unwrap()).is_err());
        assert!(replaced(|path| std::fs::create_dir(path).unwrap()).is_err());
        let pipe = |path: &Path| mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(replaced(pipe).unwrap_err().contains("no plain file"));
    }
}
