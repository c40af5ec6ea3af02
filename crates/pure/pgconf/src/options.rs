//! What operators may add to our calls of PostgreSQL's tools (contract §8.2, §8.3, §10).

use pgherd_settings::ProgramOption;

/// A tool that takes an operator's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// initdb
    Initdb,
    /// pg_basebackup
    Basebackup,
    /// pg_rewind
    Rewind,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Initdb => "initdb",
            Self::Basebackup => "pg_basebackup",
            Self::Rewind => "pg_rewind",
        }
    }

    /// Options that are ours to set, or that would make the call do something else.
    const fn refused(self) -> &'static [&'static str] {
        match self {
            Self::Initdb => &["pgdata", "nosync", "pwfile", "sync-only", "version"],
            Self::Basebackup => &[
                "pgdata",
                "format",
                "wal-method",
                "xlog-method",
                "gzip",
                "version",
                "dbname",
                "host",
                "port",
                "username",
                "password",
            ],
            Self::Rewind => &[
                "target-pgdata",
                "source-pgdata",
                "source-server",
                "write-recovery-conf",
                "dry-run",
                "restore-target-wal",
                "config-file",
                "no-ensure-shutdown",
                "version",
                "help",
            ],
        }
    }
}

/// The options that are passed on, and what is said about the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowed {
    /// `--name` or `--name=value`.
    pub arguments: Vec<String>,
    /// One line for each option that is not passed on.
    pub warnings: Vec<String>,
}

impl Allowed {
    /// Whether the option `name` is among them.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The value of the option `name`; empty for a flag.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.arguments.iter().rev().find_map(|argument| {
            let rest = argument.strip_prefix("--")?.strip_prefix(name)?;
            rest.strip_prefix('=').or(rest.is_empty().then_some(""))
        })
    }
}

/// Sorts the operator's options for `program` of PostgreSQL `major`.
pub fn allowed(program: Program, options: &[ProgramOption], major: u32) -> Allowed {
    let mut sorted = Allowed::default();
    for option in options {
        let refused = program.refused().contains(&option.name.as_str())
            || (program == Program::Basebackup
                && option.name == "compress"
                && !compresses_on_server(option, major));
        if refused {
            sorted.warnings.push(format!(
                "option {} is not allowed for {} here and is left out",
                option.name,
                program.name()
            ));
        } else {
            sorted.arguments.push(option.argument());
        }
    }
    sorted
}

/// Only compression for the way keeps the copy usable as a data directory.
fn compresses_on_server(option: &ProgramOption, major: u32) -> bool {
    let value = option.value.as_deref().unwrap_or("");
    major >= 15 && value.starts_with("server-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &str, value: Option<&str>) -> ProgramOption {
        ProgramOption {
            name: name.into(),
            value: value.map(Into::into),
        }
    }

    #[test]
    fn refused_options_are_left_out_and_said() {
        let options = [
            option("data-checksums", None),
            option("pwfile", Some("/x")),
            option("encoding", Some("UTF8")),
        ];
        let sorted = allowed(Program::Initdb, &options, 15);
        assert_eq!(sorted.arguments, ["--data-checksums", "--encoding=UTF8"]);
        assert_eq!(sorted.warnings.len(), 1);
        assert!(sorted.warnings[0].contains("pwfile"), "{sorted:?}");
        assert_eq!(sorted.value("encoding"), Some("UTF8"));
        assert!(sorted.has("data-checksums") && !sorted.has("enc"));

        let options = [option("dry-run", None), option("debug", None)];
        let sorted = allowed(Program::Rewind, &options, 15);
        assert_eq!(sorted.arguments, ["--debug"]);
    }

    #[test]
    fn a_base_backup_is_compressed_by_the_server_or_not_at_all() {
        let on = |value, major| {
            let options = [option("compress", Some(value))];
            allowed(Program::Basebackup, &options, major)
                .arguments
                .len()
        };
        assert_eq!(on("server-zstd", 15), 1);
        assert_eq!(on("server-zstd", 14), 0);
        assert_eq!(on("gzip", 16), 0);
    }
}
