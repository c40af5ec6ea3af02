//! `log`: the agent's own log (contract §1.7, §2.4).

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde_json::Value;

/// How the agent logs.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// Lines of text, or one JSON object per line.
    pub kind: LogType,
    /// DEBUG, INFO, WARNING, ERROR or CRITICAL (WARN and FATAL are spelled out).
    pub level: String,
    /// DEBUG or ERROR: the level at which stack traces appear.
    pub traceback_level: String,
    /// The form of a record.
    pub format: LogFormat,
    /// `strftime` form of the time, when set.
    pub date_format: Option<String>,
    /// Fields merged into each JSON record.
    pub static_fields: BTreeMap<String, Value>,
    /// Records that may wait to be written.
    pub max_queue_size: u32,
    /// Directory of `patroni.log`; stderr when absent.
    pub dir: Option<Utf8PathBuf>,
    /// Mode of the log file; 0666 less the umask when absent.
    pub mode: Option<u32>,
    /// Bytes after which the file is rotated.
    pub file_size: u64,
    /// Rotated files that are kept.
    pub file_num: u32,
    /// Level per logger name.
    pub loggers: BTreeMap<String, String>,
    /// Drop a heartbeat line equal to the one before.
    pub deduplicate_heartbeat_logs: bool,
}

/// Lines of text, or one JSON object per line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogType {
    /// Text by the format.
    #[default]
    Plain,
    /// One JSON object per record.
    Json,
}

/// The form of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// Python's `%(field)s` template, kept as text.
    Template(String),
    /// Fields of a JSON record with the names they are given, in order.
    Fields(Vec<(String, String)>),
}

impl Default for Log {
    fn default() -> Self {
        Self {
            kind: LogType::Plain,
            level: "INFO".to_owned(),
            traceback_level: "ERROR".to_owned(),
            format: LogFormat::Template("%(asctime)s %(levelname)s: %(message)s".to_owned()),
            date_format: None,
            static_fields: BTreeMap::new(),
            max_queue_size: 1000,
            dir: None,
            mode: None,
            file_size: 25_000_000,
            file_num: 4,
            loggers: BTreeMap::new(),
            deduplicate_heartbeat_logs: false,
        }
    }
}
