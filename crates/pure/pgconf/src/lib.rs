//! What PostgreSQL is told: its configuration files, recovery settings and command line, as text; and what
//! its tools say, read back.
//!
//! Read in this order: `quote` (how values are written), `parameters`, `recovery`, `conf`, `hba`, `hba_line` and `closed_hba`
//! (the files), `postmaster` (command line, pid file), `conninfo` and `pgpass` (connections), `options` (what
//! operators may add to our calls of initdb, pg_basebackup and pg_rewind), `control`, `progress` and `waldump` (what
//! tools say), `complaint` (what PostgreSQL says of settings it refuses), `shell` (operators' commands).

mod closed_hba;
mod complaint;
mod conf;
mod conninfo;
mod control;
mod hba;
mod hba_line;
mod options;
mod parameters;
mod pgpass;
mod postmaster;
mod progress;
mod quote;
mod recovery;
mod shell;
mod waldump;

pub use closed_hba::{Agents, CLOSED_MARK, closed_hba, including_hba};
pub use complaint::{Complaint, PLAIN_WORDS};
pub use conf::{HEADER, ServerConf, parse_settings, without_recovery};
pub use conninfo::{Conninfo, ConninfoError, Target, conninfo};
pub use control::{ControlError, ControlLimits, ControlReport};
pub use hba::{lines_for, list_file};
pub use options::{Allowed, Program, allowed};
pub use parameters::{RoleSection, StandbyNames, command_line, file_parameters, wanted_controlled};
pub use pgpass::{Password, pgpass};
pub use postmaster::{PidFile, ProcessStat, ServerStatus, boot_seconds, parse_options_file};
pub use progress::copied;
pub use quote::{setting_line, shell_word, sql_identifier, sql_literal};
pub use recovery::{RECOVERY_NAMES, Streaming, is_recovery_setting, recovery_settings};
pub use shell::{ShellError, split_command};
pub use waldump::{LocksSeen, TransactionsSeen};
