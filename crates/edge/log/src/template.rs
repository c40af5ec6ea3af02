//! The form of a record: Python's `%(field)s` templates, or JSON with chosen fields (contract §1.7; Python library
//! reference, "LogRecord attributes").

use std::collections::BTreeMap;
use std::process;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pgherd_api::json::spaced;
use pgherd_settings::{Log, LogFormat, LogType};
use serde_json::{Map, Value};

use crate::record::Record;

/// How a record becomes a line.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    form: Form,
    date_format: Option<String>,
    zone: TimeZone,
}

#[derive(Debug, Clone)]
enum Form {
    Text(Vec<Piece>),
    Json {
        /// Field, and the name it is given.
        fields: Vec<(String, String)>,
        added: BTreeMap<String, Value>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Letters(String),
    /// A field with the least width of its text; to the left when that is asked for, filled with zeros likewise.
    Field {
        name: String,
        width: usize,
        left: bool,
        zeros: bool,
    },
}

impl Template {
    /// The form that `settings` ask for; times are those of `zone`.
    pub(crate) fn new(settings: &Log, zone: TimeZone) -> Self {
        let form = match (settings.kind, &settings.format) {
            (LogType::Plain, LogFormat::Template(text)) => Form::Text(pieces(text)),
            // a list of fields has a meaning for JSON only
            (LogType::Plain, LogFormat::Fields(_)) => Form::Text(pieces(&default())),
            (LogType::Json, LogFormat::Template(text)) => json(
                pieces(text)
                    .into_iter()
                    .filter_map(|piece| match piece {
                        Piece::Field { name, .. } => Some((name.clone(), name)),
                        Piece::Letters(_) => None,
                    })
                    .collect(),
                settings,
            ),
            (LogType::Json, LogFormat::Fields(fields)) => json(fields.clone(), settings),
        };
        Self {
            form,
            date_format: settings.date_format.clone(),
            zone,
        }
    }

    /// The line of a record, ended.
    pub(crate) fn line(&self, record: &Record) -> String {
        let mut out = String::new();
        match &self.form {
            Form::Text(pieces) => {
                for piece in pieces {
                    self.put(piece, record, &mut out);
                }
            }
            Form::Json { fields, added } => {
                let mut map: Map<String, Value> = fields
                    .iter()
                    .map(|(field, given)| (given.clone(), self.value(field, record)))
                    .collect();
                map.extend(added.clone());
                out = spaced(&map.into());
            }
        }
        out.push('\n');
        out
    }

    fn put(&self, piece: &Piece, record: &Record, out: &mut String) {
        match piece {
            Piece::Letters(text) => out.push_str(text),
            Piece::Field {
                name,
                width,
                left,
                zeros,
            } => {
                let text = match self.value(name, record) {
                    Value::String(text) => text,
                    Value::Null => String::new(),
                    other => other.to_string(),
                };
                match (left, zeros) {
                    (true, _) => out.push_str(&format!("{text:<width$}")),
                    (false, true) => out.push_str(&format!("{text:0>width$}")),
                    (false, false) => out.push_str(&format!("{text:>width$}")),
                }
            }
        }
    }

    /// An attribute of a record by Python's name for it; null when there is none of that name.
    fn value(&self, name: &str, record: &Record) -> Value {
        let micros = record.at.as_micros();
        let module = || record.target.rsplit("::").next().unwrap_or_default();
        let file_name = || record.file.rsplit('/').next().unwrap_or_default();
        match name {
            "asctime" => self.time(record).into(),
            "created" => Value::from(micros.div_euclid(1_000) as f64 / 1_000.0),
            "msecs" => (micros.rem_euclid(1_000_000) / 1_000).into(),
            "levelname" => record.level.into(),
            "levelno" => number(record.level).into(),
            "message" => record.message.clone().into(),
            "name" => record.target.replace("::", ".").into(),
            "module" | "funcName" => module().into(),
            "lineno" => record.line.into(),
            "filename" => file_name().into(),
            "pathname" => record.file.into(),
            "process" => process::id().into(),
            "processName" => "MainProcess".into(),
            "thread" | "threadName" => record.thread.clone().into(),
            _ => Value::Null,
        }
    }

    /// The time of a record: in the given form, else `2026-11-24 03:00:00,123`.
    fn time(&self, record: &Record) -> String {
        let micros = record.at.as_micros();
        let Ok(stamp) = Timestamp::from_microsecond(micros) else {
            return String::new();
        };
        let here = stamp.to_zoned(self.zone.clone());
        let written = |pattern: &str| jiff::fmt::strtime::format(pattern, &here).ok();
        // a pattern that is none leaves the usual form
        let given = self.date_format.as_deref().and_then(written);
        given.unwrap_or_else(|| {
            let millis = micros.rem_euclid(1_000_000) / 1_000;
            format!(
                "{},{millis:03}",
                written("%Y-%m-%d %H:%M:%S").unwrap_or_default()
            )
        })
    }
}

fn json(fields: Vec<(String, String)>, settings: &Log) -> Form {
    Form::Json {
        fields,
        added: settings.static_fields.clone(),
    }
}

fn default() -> String {
    match Log::default().format {
        LogFormat::Template(text) => text,
        LogFormat::Fields(_) => String::new(),
    }
}

/// Python's numbers of levels.
fn number(level: &str) -> u32 {
    match level {
        "DEBUG" => 10,
        "WARNING" => 30,
        "ERROR" => 40,
        "CRITICAL" => 50,
        _ => 20,
    }
}

/// Splits a template. What is no field of Python's form stays as it is.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut letters = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        letters.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if let Some(more) = behind.strip_prefix('%') {
            letters.push('%');
            rest = more;
        } else if let Some((field, more)) = field(behind) {
            if !letters.is_empty() {
                pieces.push(Piece::Letters(std::mem::take(&mut letters)));
            }
            pieces.push(field);
            rest = more;
        } else {
            letters.push('%');
            rest = behind;
        }
    }
    letters.push_str(rest);
    if !letters.is_empty() {
        pieces.push(Piece::Letters(letters));
    }
    pieces
}

/// `(name)` with flags, width and a letter for the kind, and what follows.
fn field(text: &str) -> Option<(Piece, &str)> {
    let (name, behind) = text.strip_prefix('(')?.split_once(')')?;
    let kind_at = behind.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (how, behind) = behind.split_at(kind_at);
    let is_known = how
        .chars()
        .all(|letter| letter.is_ascii_digit() || "-+ .#".contains(letter));
    let kind = behind.chars().next()?;
    if !is_known || !"sdifr".contains(kind) {
        return None;
    }
    let width = how.trim_start_matches(['-', '+', ' ', '#']);
    let width = width.split('.').next().unwrap_or_default();
    let piece = Piece::Field {
        name: name.to_owned(),
        width: width.parse().unwrap_or(0),
        left: how.starts_with('-'),
        zeros: width.starts_with('0'),
    };
    Some((piece, &behind[1..]))
}

#[cfg(test)]
mod tests {
    use pgherd_domain::WallTime;
    use serde_json::json;

    use super::*;

    fn record() -> Record {
        Record {
            at: WallTime::parse("2026-11-24T03:04:05.067+00:00").unwrap(),
            level: "INFO",
            target: "pgherd_agent::keeper",
            file: "crates/apps/agent/src/keeper.rs",
            line: 42,
            thread: "main".into(),
            message: "no \"action\"".into(),
        }
    }

    fn line(settings: &Log) -> String {
        Template::new(settings, TimeZone::UTC).line(&record())
    }

    fn plain(format: &str) -> String {
        line(&Log {
            format: LogFormat::Template(format.to_owned()),
            ..Log::default()
        })
    }

    #[test]
    fn templates_are_pythons() {
        assert_eq!(
            line(&Log::default()),
            "2026-11-24 03:04:05,067 INFO: no \"action\"\n"
        );
        for (format, text) in [
            ("%(levelname)-8s|%(levelname)8s|", "INFO    |    INFO|"),
            (
                "%(name)s %(module)s:%(lineno)05d",
                "pgherd_agent.keeper keeper:00042",
            ),
            ("%(filename)s %(levelno)d %(msecs)03d", "keeper.rs 20 067"),
            ("100%% %(message)s %(what)s.", "100% no \"action\" ."),
            ("50% %(message", "50% %(message"),
        ] {
            assert_eq!(plain(format), format!("{text}\n"), "{format}");
        }
    }

    #[test]
    fn a_date_format_replaces_the_whole_time() {
        let settings = Log {
            date_format: Some("%d.%m.%Y %H:%M".into()),
            ..Log::default()
        };
        assert_eq!(line(&settings), "24.11.2026 03:04 INFO: no \"action\"\n");
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let line = Template::new(&settings, zone).line(&record());
        assert!(line.starts_with("24.11.2026 05:04 "), "{line}");
    }

    #[test]
    fn json_has_the_fields_of_the_format_in_order_and_the_static_ones() {
        let mut settings = Log {
            kind: LogType::Json,
            static_fields: [("app".to_owned(), json!("herd"))].into(),
            ..Log::default()
        };
        assert_eq!(
            line(&settings),
            "{\"asctime\": \"2026-11-24 03:04:05,067\", \"levelname\": \"INFO\", \
             \"message\": \"no \\\"action\\\"\", \"app\": \"herd\"}\n"
        );
        let fields = [("message", "message"), ("lineno", "line")];
        settings.format = LogFormat::Fields(
            fields
                .map(|(field, name)| (field.to_owned(), name.to_owned()))
                .into(),
        );
        assert_eq!(
            line(&settings),
            "{\"message\": \"no \\\"action\\\"\", \"line\": 42, \"app\": \"herd\"}\n"
        );
    }
}
