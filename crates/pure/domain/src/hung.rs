//! A `restore_command` or `archive_command` that does not end.

use std::fmt;

/// A command of the operator's that PostgreSQL has been waiting for, for longer than such a command takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HungCommand {
    /// The setting it comes from: `restore_command` or `archive_command`.
    pub setting: &'static str,
    /// Its process.
    pub pid: i32,
    /// The segment or history file that it is about, where PostgreSQL says so.
    pub file: Option<String>,
}

impl fmt::Display for HungCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.setting, self.pid)?;
        match &self.file {
            Some(file) => write!(f, ", which does not end for {file}"),
            None => f.write_str(", which does not end"),
        }
    }
}
