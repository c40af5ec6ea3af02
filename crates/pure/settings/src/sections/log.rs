//! `log`: the agent's own log (contract §1.7, §2.4).

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde_json::Value;

use crate::keys::LEVELS;
use crate::reader::Reader;

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

impl Log {
    /// Reads section `log`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let static_fields = reader
            .mapping("log.static_fields")
            .cloned()
            .unwrap_or_default();
        Self {
            kind: match reader.choice("log.type") {
                "json" => LogType::Json,
                _ => LogType::Plain,
            },
            level: level(reader.choice("log.level")),
            traceback_level: level(reader.choice("log.traceback_level")),
            format: format(reader),
            date_format: reader.given("log.dateformat"),
            static_fields: static_fields.into_iter().collect(),
            max_queue_size: reader.count("log.max_queue_size"),
            dir: reader.path("log.dir"),
            mode: reader
                .given_whole("log.mode")
                .and_then(|mode| u32::try_from(mode).ok()),
            file_size: u64::try_from(reader.bytes("log.file_size")).unwrap_or(0),
            file_num: reader.count("log.file_num"),
            loggers: loggers(reader),
            deduplicate_heartbeat_logs: reader.flag("log.deduplicate_heartbeat_logs"),
        }
    }
}

/// One name per level.
fn level(given: &str) -> String {
    match given {
        "WARN" => "WARNING",
        "FATAL" => "CRITICAL",
        given => given,
    }
    .to_owned()
}

fn format(reader: &mut Reader<'_>) -> LogFormat {
    let fields = match reader.raw("log.format") {
        Some(Value::Array(items)) if !items.is_empty() => {
            items.iter().map(field).collect::<Option<Vec<_>>>()
        }
        None | Some(Value::String(_)) => return LogFormat::Template(template(reader)),
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
        ) => None,
    };
    let given = reader.raw("log.format").map(Value::to_string);
    LogFormat::Fields(fields.unwrap_or_else(|| {
        let problem = format!(
            "`{}` does not fit; use a text, or a list of field names and `field: name`",
            given.unwrap_or_default()
        );
        reader.fault("log.format", problem);
        Vec::new()
    }))
}

/// A template; one without any field would make every line the same.
fn template(reader: &mut Reader<'_>) -> String {
    let given = reader.text("log.format");
    let has_field = given
        .split_once("%(")
        .is_some_and(|(_, rest)| rest.contains(')'));
    if has_field {
        return given;
    }
    let problem = "names no field, such as `%(message)s`, so that lines would say nothing; the usual form is used";
    reader.warn("log.format", problem);
    match Log::default().format {
        LogFormat::Template(usual) => usual,
        LogFormat::Fields(_) => given,
    }
}

/// Levels of single loggers; what is no level is left out.
fn loggers(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let mut given = reader.texts("log.loggers");
    given.retain(|name, level| {
        let is_level = level.parse::<u32>().is_ok()
            || LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
        if !is_level {
            let known = LEVELS.join(", ");
            let problem = format!(
                "has level `{level}` for {name}, which is none and is left out; use one of {known}"
            );
            reader.warn("log.loggers", problem);
        }
        is_level
    });
    given
}

/// A field of a JSON record: its name, or a mapping of it to the name it is given.
fn field(item: &Value) -> Option<(String, String)> {
    match item {
        Value::String(name) => Some((name.clone(), name.clone())),
        Value::Object(map) if map.len() == 1 => {
            let (name, given) = map.iter().next()?;
            Some((name.clone(), given.as_str()?.to_owned()))
        }
        _ => None,
    }
}
