//! A file that gives way to a new one when it is full: `patroni.log`, then `patroni.log.1` and so on.

use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

/// A log file, and how much of it is kept.
#[derive(Debug)]
pub(crate) struct RotatedFile {
    path: Utf8PathBuf,
    mode: Option<u32>,
    /// 0: the file grows without end.
    bytes_max: u64,
    /// Old files that are kept; 0: the file grows without end.
    kept: u32,
    file: fs::File,
    bytes: u64,
}

impl RotatedFile {
    /// Opens the file; its folder is made when it is not there.
    pub(crate) fn open(
        path: &Utf8Path,
        mode: Option<u32>,
        bytes_max: u64,
        kept: u32,
    ) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| *folder != "") {
            fs::create_dir_all(folder)?;
        }
        let (file, bytes) = appended(path, mode)?;
        Ok(Self {
            path: path.to_owned(),
            mode,
            bytes_max,
            kept,
            file,
            bytes,
        })
    }

    /// Writes a line; first begins another file when it would not fit.
    pub(crate) fn write(&mut self, line: &str) -> io::Result<()> {
        let more = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let is_full = self.bytes > 0 && self.bytes.saturating_add(more) > self.bytes_max;
        if self.kept > 0 && self.bytes_max > 0 && is_full {
            self.rotate()?;
        }
        self.file.write_all(line.as_bytes())?;
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let old = |number: u32| Utf8PathBuf::from(format!("{}.{number}", self.path));
        for number in (1..self.kept).rev() {
            if old(number).exists() {
                fs::rename(old(number), old(number + 1))?;
            }
        }
        fs::rename(&self.path, old(1))?;
        (self.file, self.bytes) = appended(&self.path, self.mode)?;
        Ok(())
    }
}

fn appended(path: &Utf8Path, mode: Option<u32>) -> io::Result<(fs::File, u64)> {
    let file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)?;
    if let Some(mode) = mode {
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    let bytes = file.metadata()?.size();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "patroni.log";

    fn texts(folder: &Utf8Path) -> Vec<String> {
        let names = [
            "patroni.log",
            "patroni.log.1",
            "patroni.log.2",
            "patroni.log.3",
        ];
        names
            .map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default())
            .into()
    }

    #[test]
    fn a_full_file_gives_way_and_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("log")).unwrap();
        let mut file = RotatedFile::open(&path.join(NAME), Some(0o640), 4, 2).unwrap();
        for line in ["a\n", "b\n", "c\n", "d\n", "e\n", "long line\n", "g\n"] {
            file.write(line).unwrap();
        }
        assert_eq!(texts(&path), ["g\n", "long line\n", "e\n", ""]);
        let mode = fs::metadata(path.join(NAME)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o640);
        // another start goes on where the last one ended
        let mut file = RotatedFile::open(&path.join(NAME), None, 4, 2).unwrap();
        file.write("h\n").unwrap();
        assert_eq!(texts(&path)[0], "g\nh\n");
    }

    #[test]
    fn without_old_files_or_a_size_nothing_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        for (bytes_max, kept) in [(2, 0), (0, 2)] {
            let mut file = RotatedFile::open(&path.join(NAME), None, bytes_max, kept).unwrap();
            for line in ["a\n", "b\n"] {
                file.write(line).unwrap();
            }
            assert_eq!(texts(&path)[..2], ["a\nb\n", ""]);
            fs::remove_file(path.join(NAME)).unwrap();
        }
    }
}
