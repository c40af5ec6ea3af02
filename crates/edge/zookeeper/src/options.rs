//! What the store is told: where ZooKeeper is, which cluster, how long things may take.

use std::time::Duration;

use pgherd_settings::ZooKeeper;

/// Where ZooKeeper is, whose keys these are and how long things may take.
#[derive(Debug, Clone, PartialEq)]
pub struct ZooKeeperOptions {
    /// Servers or Exhibitor, certificates, credentials and ACLs (contract §2.4, "DCS sections").
    pub zookeeper: ZooKeeper,
    /// First part of every key; slashes around it do not matter (contract §4.1).
    pub namespace: String,
    /// The cluster's name, the second part of every key.
    pub scope: String,
    /// How long a session lives without a sign of life. Servers have limits of their own; what they granted counts.
    pub ttl: Duration,
    /// The longest that one operation may take (contract §2.2).
    pub retry_timeout: Duration,
}
