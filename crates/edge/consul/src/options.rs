//! What the store is told: where Consul is, which cluster, how long things may take.

use std::time::Duration;

use pgherd_settings::Consul;

/// Where Consul is, whose keys these are and how long things may take.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsulOptions {
    /// The agent, and what it is to be told (contract §2.4, "DCS sections").
    pub consul: Consul,
    /// First part of every key; slashes around it do not matter (contract §4.1).
    pub namespace: String,
    /// The cluster's name, the second part of every key; behind a slash the group of a Citus cluster may follow.
    pub scope: String,
    /// How long the lease lives without a renewal.
    pub ttl: Duration,
    /// The longest that one operation may take (contract §2.2).
    pub retry_timeout: Duration,
}

impl ConsulOptions {
    /// What sessions and services are called by: the cluster, without the group of a Citus cluster behind a slash.
    pub(crate) fn cluster(&self) -> &str {
        let (cluster, _) = self.scope.split_once('/').unwrap_or((&self.scope, ""));
        cluster
    }
}
