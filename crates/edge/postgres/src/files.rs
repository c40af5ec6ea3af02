//! Files: written whole or not at all, only when they change, for the right account, with the modes of
//! contract §3.4.

use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::{Gid, Uid};

use crate::owner::Owner;

/// Where files go and whose they are.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    owner: Owner,
    data_dir: Utf8PathBuf,
}

impl Files {
    /// For the files of the server in `data_dir`.
    pub(crate) fn new(owner: Owner, data_dir: &Utf8Path) -> Self {
        Self {
            owner,
            data_dir: data_dir.to_owned(),
        }
    }

    /// Writes `text` to `path` unless that is what it holds. `true`: it changed. The file is new on disk
    /// as a whole or not at all.
    pub(crate) fn write(&self, path: &Utf8Path, text: &str) -> io::Result<bool> {
        self.write_with_mode(path, text, self.mode_of(path))
    }

    /// The same with a mode of its own, such as 0600 for passwords.
    pub(crate) fn write_with_mode(
        &self,
        path: &Utf8Path,
        text: &str,
        mode: u32,
    ) -> io::Result<bool> {
        // Through a link the file it points to is replaced, not the link.
        let path = path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned());
        if let Ok(found) = fs::metadata(&path)
            && found.permissions().mode() & 0o7777 == mode
            && fs::read(&path).is_ok_and(|held| held == text.as_bytes())
        {
            return Ok(false);
        }
        let fresh = sibling(&path, ".pgherd-new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&fresh)?;
        file.write_all(text.as_bytes())?;
        // The mode given at creation was cut by the umask.
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        self.give(&fresh)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        sync_folder_of(&path)?;
        Ok(true)
    }

    /// Creates `path` with whatever is missing above it; what it creates belongs to the owner and is closed
    /// to others.
    pub(crate) fn make_folder(&self, path: &Utf8Path) -> io::Result<()> {
        self.make_folder_with_mode(path, 0o700)
    }

    /// The same, open as `mode` says.
    pub(crate) fn make_folder_with_mode(&self, path: &Utf8Path, mode: u32) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.make_folder_with_mode(above, mode)?;
        }
        fs::create_dir(path)?;
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        self.give(path)
    }

    /// Gives `path` itself to the owner.
    pub(crate) fn give(&self, path: &Utf8Path) -> io::Result<()> {
        if !self.owner.becomes {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(self.owner.uid), Gid::from_raw(self.owner.gid));
        rustix::fs::chown(path.as_std_path(), Some(uid), Some(gid)).map_err(io::Error::from)
    }

    /// Inside the data directory as its own mode says; elsewhere as the umask says.
    fn mode_of(&self, path: &Utf8Path) -> u32 {
        if !path.starts_with(&self.data_dir) {
            return 0o666 & !umask();
        }
        let group = fs::metadata(&self.data_dir).is_ok_and(|found| found.mode() & 0o070 != 0);
        if group { 0o640 } else { 0o600 }
    }
}

/// `path` with `suffix` behind its name.
pub(crate) fn sibling(path: &Utf8Path, suffix: &str) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}{suffix}"))
}

/// Makes renames in the folder of `path` last.
pub(crate) fn sync_folder_of(path: &Utf8Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_str().is_empty() => fs::File::open(folder)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}

/// Removes a file; what is not there is removed.
pub(crate) fn remove(path: &Utf8Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The text of a file; `None` when there is none.
pub(crate) fn read(path: &Utf8Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Our umask, which can be read without setting it only here.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(0o022)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Utf8Path) -> Files {
        let owner = Owner {
            uid: 0,
            gid: 0,
            name: String::new(),
            home: "/".into(),
            becomes: false,
        };
        Files::new(owner, folder)
    }

    #[test]
    fn a_file_is_written_only_when_it_changes_and_is_closed_like_its_directory() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let mode = |path: &Utf8Path| fs::metadata(path).unwrap().mode() & 0o777;
        let set = |mode| {
            fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let path = folder.join("postgresql.conf");
        set(0o700);
        assert!(files(folder).write(&path, "a").unwrap());
        assert!(!files(folder).write(&path, "a").unwrap());
        assert_eq!(mode(&path), 0o600);
        set(0o750);
        assert!(files(folder).write(&path, "a").unwrap(), "the mode follows");
        assert_eq!(mode(&path), 0o640);
        assert!(!sibling(&path, ".pgherd-new").exists());
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let (real, link) = (folder.join("real"), folder.join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        files(folder).write(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert!(link.is_symlink());
    }
}
