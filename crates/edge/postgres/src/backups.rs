//! Second copies of the configuration files: in the data directory, where the next copy of it finds them,
//! and in memory while pg_rewind replaces them (contract §3.4).

use std::io;

use camino::Utf8PathBuf;

use crate::files::{read, sibling};
use crate::server::LocalServer;

/// The files that are kept a second time in the data directory, besides postgresql.conf and its base.
const LISTS: [&str; 2] = ["pg_hba.conf", "pg_ident.conf"];

impl LocalServer {
    /// Copies of the files into the data directory, where the next copy of it finds them.
    pub(crate) fn back_files_up(&self) -> io::Result<()> {
        for (original, backup) in self.backups() {
            if let Some(text) = read(&original)? {
                self.place.files().write(&backup, &text)?;
            }
        }
        Ok(())
    }

    /// Puts files that a copy did not bring back from their backups; a missing pg_ident.conf is made empty.
    pub(crate) fn restore_files(&self) -> io::Result<()> {
        for (original, backup) in self.backups() {
            if original.exists() {
                continue;
            }
            let text = read(&backup)?;
            let is_ident = original.file_name() == Some("pg_ident.conf");
            if let Some(text) = text.or(is_ident.then(String::new)) {
                self.place.files().write(&original, &text)?;
            }
        }
        Ok(())
    }

    /// The text of every file that pg_rewind would replace by the source's.
    pub(crate) fn own_files(&self) -> io::Result<Vec<(Utf8PathBuf, String)>> {
        let mut own = Vec::new();
        for (original, _) in self.backups() {
            if original.starts_with(self.place.data_dir())
                && let Some(text) = read(&original)?
            {
                own.push((original, text));
            }
        }
        Ok(own)
    }

    fn backups(&self) -> Vec<(Utf8PathBuf, Utf8PathBuf)> {
        let mut originals = vec![self.place.conf(), self.place.base_conf()];
        originals.extend(LISTS.map(|name| self.place.config(name)));
        originals
            .into_iter()
            .map(|original| {
                let name = original.file_name().unwrap_or_default();
                let backup = sibling(&self.place.data_dir().join(name), ".backup");
                (original, backup)
            })
            .collect()
    }
}
