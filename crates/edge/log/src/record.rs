//! One event, taken out of the thread that logs it.

use std::fmt;
use std::thread;

use pgherd_domain::WallTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) at: WallTime,
    /// DEBUG, INFO, WARNING, ERROR or CRITICAL.
    pub(crate) level: &'static str,
    /// Where it comes from, such as `pgherd_agent::keeper`.
    pub(crate) target: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) thread: String,
    /// The text with its fields.
    pub(crate) message: String,
}

impl Record {
    /// Takes an event.
    pub(crate) fn of(event: &Event<'_>, at: WallTime) -> Self {
        let metadata = event.metadata();
        let mut text = Text::default();
        event.record(&mut text);
        let level = match *metadata.level() {
            Level::ERROR if text.critical => "CRITICAL",
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        Self {
            at,
            level,
            target: metadata.target(),
            file: metadata.file().unwrap_or_default(),
            line: metadata.line().unwrap_or_default(),
            thread: thread::current().name().unwrap_or("MainThread").to_owned(),
            message: format!("{}{}", text.message, text.fields),
        }
    }

    /// A record of the log itself.
    pub(crate) fn own(at: WallTime, level: &'static str, message: String) -> Self {
        Self {
            at,
            level,
            target: module_path!(),
            file: file!(),
            line: line!(),
            thread: "log".to_owned(),
            message,
        }
    }
}

/// An event's text and its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
    critical: bool,
}

impl Visit for Text {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "critical" {
            self.critical = value;
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields
                .push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}
