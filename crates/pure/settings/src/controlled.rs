//! Parameters that all members must agree on, so that a standby can always replay (contract §3.1).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::value::{self, SizeUnit};

/// The controlled parameters, validated. The same text on every member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controlled {
    /// Name to value, for `--name=value` on the postmaster's command line. Without
    /// `listen_addresses`, `port` and `cluster_name`, which each member forces from its own settings.
    pub command_line: BTreeMap<String, String>,
    /// `wal_keep_size` (PostgreSQL 13 and later): goes to the file.
    pub wal_keep_size: String,
}

impl Default for Controlled {
    fn default() -> Self {
        let command_line = [
            ("hot_standby", "on"),
            ("wal_level", "replica"),
            ("wal_log_hints", "on"),
            ("track_commit_timestamp", "off"),
            ("max_connections", "100"),
            ("max_wal_senders", "10"),
            ("max_replication_slots", "10"),
            ("max_prepared_transactions", "0"),
            ("max_locks_per_transaction", "64"),
            ("max_worker_processes", "8"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            command_line: command_line.into(),
            wal_keep_size: "128MB".to_owned(),
        }
    }
}

/// What a controlled parameter may be, with its default.
enum Rule {
    /// Each member forces its own: not a setting at all.
    Forced,
    /// Only on.
    AlwaysOn,
    /// A boolean.
    Flag,
    /// hot_standby, replica or logical.
    WalLevel,
    /// An integer of at least this.
    AtLeast(i64),
    /// A number of WAL segments, at least 1 (before PostgreSQL 13).
    KeepSegments,
    /// A size of at least 16 MB (PostgreSQL 13 and later).
    KeepSize,
}

/// Every controlled parameter with its default and what it may be (contract §3.1).
const RULES: [(&str, &str, Rule); 15] = [
    ("listen_addresses", "", Rule::Forced),
    ("port", "", Rule::Forced),
    ("cluster_name", "", Rule::Forced),
    ("hot_standby", "on", Rule::AlwaysOn),
    ("wal_level", "hot_standby", Rule::WalLevel),
    ("wal_log_hints", "on", Rule::Flag),
    ("track_commit_timestamp", "off", Rule::Flag),
    ("max_connections", "100", Rule::AtLeast(25)),
    ("max_wal_senders", "10", Rule::AtLeast(3)),
    ("max_replication_slots", "10", Rule::AtLeast(4)),
    ("max_prepared_transactions", "0", Rule::AtLeast(0)),
    ("max_locks_per_transaction", "64", Rule::AtLeast(32)),
    ("max_worker_processes", "8", Rule::AtLeast(2)),
    ("wal_keep_segments", "8", Rule::KeepSegments),
    ("wal_keep_size", "128MB", Rule::KeepSize),
];

/// Whether all members must agree on this parameter, or the agent forces it. Names in lower case.
pub fn is_controlled(name: &str) -> bool {
    RULES.iter().any(|(controlled, _, _)| *controlled == name)
}

/// What PostgreSQL itself takes of a controlled parameter that is a number, both ends included (contract §2.6): the
/// server would not start with anything else. Names in lower case.
pub(crate) fn range_of(name: &str) -> Option<(i64, i64)> {
    const BACKENDS_MAX: i64 = 262_143;
    match name {
        "max_connections" => Some((1, BACKENDS_MAX)),
        "max_wal_senders"
        | "max_replication_slots"
        | "max_prepared_transactions"
        | "max_worker_processes" => Some((0, BACKENDS_MAX)),
        "max_locks_per_transaction" => Some((10, i64::from(i32::MAX))),
        _ => None,
    }
}

impl Controlled {
    /// Reads the controlled ones among parameters of the dynamic configuration (names in lower case), and
    /// says in Patroni's words what did not pass.
    pub fn read(parameters: &BTreeMap<String, String>) -> (Self, Vec<String>) {
        let mut read = Self::default();
        let mut messages = Vec::new();
        let mut segments = None;
        for (name, default, rule) in &RULES {
            let Some(given) = parameters.get(*name) else {
                continue;
            };
            let max = range_of(name).map_or(i64::MAX, |(_, max)| max);
            match rule.read(given, max) {
                None if matches!(rule, Rule::Forced) => {}
                None => messages.push(format!(
                    "postgresql parameter {name}={given} failed validation, defaulting to {default}"
                )),
                Some(value) => match rule {
                    Rule::KeepSegments => segments = Some(value),
                    Rule::KeepSize => read.wal_keep_size = value,
                    Rule::Forced
                    | Rule::AlwaysOn
                    | Rule::Flag
                    | Rule::WalLevel
                    | Rule::AtLeast(_) => {
                        read.command_line.insert((*name).to_owned(), value);
                    }
                },
            }
        }
        if let Some(size) = segments
            && !parameters.contains_key("wal_keep_size")
        {
            read.wal_keep_size = size;
        }
        (read, messages)
    }

    /// `wal_keep_size` as the number of segments that PostgreSQL before 13 wants, at 16 MB each.
    pub fn wal_keep_segments(&self) -> i64 {
        let size = Value::String(self.wal_keep_size.clone());
        let size = value::bytes(&size, SizeUnit::Mebibyte).unwrap_or(0);
        (size / SizeUnit::Segment.bytes()).max(1)
    }
}

impl Rule {
    /// The value in the form that PostgreSQL is given; `None` when it does not pass, as a number above `max`.
    fn read(&self, given: &str, max: i64) -> Option<String> {
        let given = Value::String(given.to_owned());
        let on_off = |on: bool| if on { "on" } else { "off" }.to_owned();
        match self {
            Self::Forced => None,
            Self::AlwaysOn => value::flag(&given).filter(|on| *on).map(on_off),
            Self::Flag => value::flag(&given).map(on_off),
            Self::WalLevel => match value::scalar(&given)?.to_ascii_lowercase().as_str() {
                "hot_standby" | "replica" => Some("replica".to_owned()),
                "logical" => Some("logical".to_owned()),
                _ => None,
            },
            Self::AtLeast(min) => value::whole(&given)
                .filter(|number| (*min..=max).contains(number))
                .map(|number| number.to_string()),
            Self::KeepSegments => {
                let segments = value::whole(&given).filter(|segments| *segments >= 1)?;
                segments.checked_mul(16).map(|size| format!("{size}MB"))
            }
            Self::KeepSize => {
                let size = value::bytes(&given, SizeUnit::Mebibyte)?;
                (size >= SizeUnit::Segment.bytes()).then(|| value::show_bytes(size))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &[(&str, &str)]) -> (Controlled, Vec<String>) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Controlled::read(&parameters.iter().map(owned).collect())
    }

    #[test]
    fn values_that_pass_are_taken_in_postgresql_s_form() {
        let (read, messages) = read(&[
            ("wal_level", "hot_standby"),
            ("max_connections", "200"),
            ("wal_log_hints", "false"),
            ("track_commit_timestamp", "yes"),
            ("wal_keep_size", "2048"),
            ("port", "1234"),
            ("max_worker_processes", "0x10"),
        ]);
        assert_eq!(messages, [""; 0]);
        let value = |name: &str| read.command_line[name].as_str();
        assert_eq!(value("wal_level"), "replica");
        assert_eq!(value("max_connections"), "200");
        assert_eq!(value("wal_log_hints"), "off");
        assert_eq!(value("track_commit_timestamp"), "on");
        assert_eq!(value("max_worker_processes"), "16");
        assert_eq!(read.wal_keep_size, "2GB");
        assert!(
            !read.command_line.contains_key("port"),
            "each member forces its own"
        );
    }

    #[test]
    fn each_value_just_below_its_limit_fails_validation() {
        for (name, below, at, default) in [
            ("hot_standby", "off", "on", "on"),
            ("wal_level", "minimal", "logical", "hot_standby"),
            ("max_connections", "24", "25", "100"),
            ("max_wal_senders", "2", "3", "10"),
            ("max_replication_slots", "3", "4", "10"),
            ("max_prepared_transactions", "-1", "0", "0"),
            ("max_locks_per_transaction", "31", "32", "64"),
            ("max_worker_processes", "1", "2", "8"),
            ("wal_keep_segments", "0", "1", "8"),
            ("wal_keep_size", "15MB", "16MB", "128MB"),
        ] {
            let (refused, messages) = read(&[(name, below)]);
            assert_eq!(refused, Controlled::default(), "{name}={below}");
            assert_eq!(
                messages,
                [format!(
                    "postgresql parameter {name}={below} failed validation, defaulting to {default}"
                )]
            );
            let (taken, messages) = read(&[(name, at)]);
            assert!(messages.is_empty(), "{name}={at}");
            let taken_at = taken.command_line.get(name).cloned();
            let expected = if name.starts_with("wal_keep") {
                None
            } else {
                Some(at.to_owned())
            };
            assert_eq!(taken_at, expected, "{name}={at}");
        }
    }

    #[test]
    fn a_value_with_which_postgresql_would_not_start_fails_validation() {
        for (name, default, _) in &RULES {
            let Some((_, max)) = range_of(name) else {
                continue;
            };
            let (taken, messages) = read(&[(name, &max.to_string())]);
            assert_eq!(messages, [""; 0], "{name}");
            assert_eq!(taken.command_line[*name], max.to_string());
            let (refused, messages) = read(&[(name, &(max + 1).to_string())]);
            assert_eq!(messages.len(), 1, "{name}");
            assert_eq!(refused.command_line[*name], *default);
        }
    }

    #[test]
    fn kept_wal_is_converted_between_segments_and_size() {
        let (controlled, _) = read(&[("wal_keep_segments", "128")]);
        assert_eq!(controlled.wal_keep_size, "2048MB");
        assert_eq!(controlled.wal_keep_segments(), 128);
        let (controlled, _) = read(&[("wal_keep_segments", "128"), ("wal_keep_size", "1GB")]);
        assert_eq!(controlled.wal_keep_size, "1GB");
        assert_eq!(Controlled::default().wal_keep_segments(), 8);
    }
}
