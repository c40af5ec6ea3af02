//! What the store is told: where etcd is, which cluster, how long things may take.

use std::time::Duration;

use pgherd_settings::Etcd;

/// Where etcd is, whose keys these are and how long things may take.
#[derive(Debug, Clone, PartialEq)]
pub struct EtcdOptions {
    /// Endpoints, user and certificates (contract §2.4, "DCS sections").
    pub etcd: Etcd,
    /// First part of every key; slashes around it do not matter (contract §4.1).
    pub namespace: String,
    /// The cluster's name, the second part of every key.
    pub scope: String,
    /// How long the lease lives without a renewal; etcd counts whole seconds, so it is rounded up.
    pub ttl: Duration,
    /// The longest that one operation may take (contract §2.2).
    pub retry_timeout: Duration,
}
