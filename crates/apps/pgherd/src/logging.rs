//! The log: one line per event on stderr, in Patroni's default form (contract §1.7).

use std::fmt;

use pgherd_domain::WallTime;
use pgherd_ports::{Clock, SystemClock};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging at `level` (Patroni's names); `PGHERD_LOG` may say more in tracing's own syntax.
pub(crate) fn start(level: &str, directives: Option<&str>) {
    let level = match level.to_ascii_uppercase().as_str() {
        "DEBUG" => "debug",
        "WARN" | "WARNING" => "warn",
        "ERROR" | "FATAL" | "CRITICAL" => "error",
        _ => "info",
    };
    let default = format!(
        "warn,pgherd={level}{}",
        OURS.map(|name| format!(",{name}={level}")).concat()
    );
    let filter = EnvFilter::new(directives.unwrap_or(&default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .event_format(PatroniForm)
        .init();
}

const OURS: [&str; 6] = [
    "pgherd_agent",
    "pgherd_etcd",
    "pgherd_postgres",
    "pgherd_peers",
    "pgherd_rest",
    "pgherd_ctl",
];

/// `2026-11-24 03:00:00,123 INFO: text`
struct PatroniForm;

impl<S, N> FormatEvent<S, N> for PatroniForm
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let mut line = Line::default();
        event.record(&mut line);
        writeln!(
            out,
            "{} {level}: {}{}",
            stamp(SystemClock.wall()),
            line.message,
            line.fields
        )
    }
}

fn stamp(wall: WallTime) -> String {
    let millis = wall.as_micros().rem_euclid(1_000_000) / 1_000;
    format!("{},{millis:03}", wall.format("%Y-%m-%d %H:%M:%S"))
}

/// An event's text and its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields
                .push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}
