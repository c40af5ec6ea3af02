//! What is told: a level for all of ours, others for single parts under Patroni's names for them.

use pgherd_settings::Log;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Patroni's loggers and the parts of ours that do their work; the longest name that fits counts.
const PARTS: [(&str, &[&str]); 13] = [
    ("patroni", &["pgherd"]),
    ("patroni.api", &["pgherd_rest"]),
    ("patroni.ctl", &["pgherd_ctl"]),
    (
        "patroni.dcs",
        &[
            "pgherd_etcd",
            "pgherd_etcd2",
            "pgherd_consul",
            "pgherd_kubernetes",
            "pgherd_zookeeper",
        ],
    ),
    ("patroni.ha", &["pgherd_agent", "pgherd_decide"]),
    ("patroni.postgresql", &["pgherd_postgres"]),
    ("patroni.postmaster", &["pgherd_postgres"]),
    ("patroni.request", &["pgherd_peers"]),
    ("patroni.watchdog", &["pgherd_watchdog"]),
    ("patroni.log", &["pgherd_log"]),
    ("etcd", &["etcd_client", "tonic"]),
    ("urllib3", &["hyper", "hyper_util", "reqwest"]),
    ("psycopg", &["tokio_postgres"]),
];

/// Every part of ours. Libraries of others tell their warnings only.
const OURS: [&str; 17] = [
    "pgherd",
    "pgherd_agent",
    "pgherd_companions",
    "pgherd_consul",
    "pgherd_ctl",
    "pgherd_decide",
    "pgherd_etcd",
    "pgherd_etcd2",
    "pgherd_fence",
    "pgherd_guard",
    "pgherd_kubernetes",
    "pgherd_log",
    "pgherd_peers",
    "pgherd_postgres",
    "pgherd_rest",
    "pgherd_watchdog",
    "pgherd_zookeeper",
];

/// The level of each part. Names that mean nothing here are passed over, for they meant something in Patroni.
pub(crate) fn targets(settings: &Log, directives: Option<&str>) -> Targets {
    let level = filter(&settings.level);
    let mut targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(OURS.map(|name| (name, level)));
    for (name, level) in &settings.loggers {
        let level = filter(level);
        for part in parts(name) {
            targets = targets.with_target(part, level);
        }
        if name == "patroni" {
            targets = targets.with_targets(OURS.map(|name| (name, level)));
        }
    }
    match directives.and_then(|text| text.parse::<Targets>().ok()) {
        Some(more) => targets.with_targets(more),
        None => targets,
    }
}

fn parts(logger: &str) -> Vec<String> {
    let fits = |known: &str| {
        logger
            .strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if logger.starts_with("pgherd") {
        return vec![logger.replace('.', "::")];
    }
    let found = PARTS
        .iter()
        .filter(|(known, _)| fits(known) && (*known != "patroni" || logger == "patroni"))
        .max_by_key(|(known, _)| known.len());
    found.map_or_else(Vec::new, |(_, parts)| {
        parts.iter().map(|part| (*part).to_owned()).collect()
    })
}

/// Python's names, in any case, or its numbers.
fn filter(level: &str) -> LevelFilter {
    match level.parse::<u32>() {
        Ok(..=10) => return LevelFilter::DEBUG,
        Ok(11..=20) => return LevelFilter::INFO,
        Ok(21..=30) => return LevelFilter::WARN,
        Ok(31..) => return LevelFilter::ERROR,
        Err(_) => {}
    }
    match level.to_ascii_uppercase().as_str() {
        "DEBUG" => LevelFilter::DEBUG,
        "WARN" | "WARNING" => LevelFilter::WARN,
        "ERROR" | "FATAL" | "CRITICAL" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_logger_of_patroni_sets_the_level_of_our_part() {
        let loggers = [
            ("patroni.dcs.etcd3", "debug"),
            ("patroni.postmaster", "WARNING"),
            ("urllib3", "ERROR"),
            ("pgherd_agent.keeper", "DEBUG"),
            ("boto3", "DEBUG"),
            ("psycopg", "10"),
        ];
        let settings = Log {
            loggers: loggers
                .map(|(name, level)| (name.to_owned(), level.to_owned()))
                .into(),
            ..Log::default()
        };
        let targets = targets(&settings, Some("tonic=trace"));
        for (target, level, told) in [
            ("pgherd_etcd::watch", Level::DEBUG, true),
            ("pgherd_postgres::act", Level::INFO, false),
            ("pgherd_postgres::act", Level::WARN, true),
            ("pgherd_agent::keeper", Level::DEBUG, true),
            ("pgherd_agent::observe", Level::DEBUG, false),
            ("pgherd_rest", Level::INFO, true),
            ("hyper::client", Level::WARN, false),
            ("rustls", Level::INFO, false),
            ("rustls", Level::WARN, true),
            ("tonic::transport", Level::TRACE, true),
            ("tokio_postgres", Level::DEBUG, true),
        ] {
            assert_eq!(
                targets.would_enable(target, &level),
                told,
                "{target} {level}"
            );
        }
    }
}
