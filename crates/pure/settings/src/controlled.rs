//! Parameters that all members must agree on, so that a standby can always replay (contract §3.1).

use std::collections::BTreeMap;

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
