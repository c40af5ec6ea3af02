//! The ports that Citus needs besides (contract §20): other groups, and the coordinator's catalogue of nodes.

use std::fmt;

use async_trait::async_trait;
use pgherd_domain::{CitusEvent, ClusterView, DistNode, NodeChange};
use pgherd_settings::Store;
use std::time::Duration;
use tokio::sync::oneshot;

use crate::DcsError;

/// The groups of a Citus cluster in the DCS, to be read. Every call ends within the store's own deadline.
#[async_trait]
pub trait Groups: Send + Sync + fmt::Debug {
    /// The groups there are, in order.
    async fn list(&self) -> Result<Vec<u32>, DcsError>;

    /// Reads one of them.
    async fn load(&self, group: u32) -> Result<ClusterView, DcsError>;

    /// The settings of the store as they were just read again, see [`crate::Dcs::configure`].
    fn configure(&self, store: &Store);
}

/// The catalogue of nodes, `pg_dist_node` of the local server, through one session. After an error the session is over, and
/// what was open in it is rolled back; the next call begins a new one.
#[async_trait]
pub trait NodeCatalogue: Send + Sync + fmt::Debug {
    /// The primaries and secondaries that are listed.
    async fn nodes(&self, patience: Duration) -> Result<Vec<DistNode>, String>;

    /// Opens a transaction. The server itself rolls it back when nothing is heard for `left_open`, should the agent be
    /// frozen.
    async fn begin(&self, left_open: Duration) -> Result<(), String>;

    /// Makes one change. Statements in its way are ended after `cooldown`.
    async fn change(
        &self,
        change: &NodeChange,
        cooldown: Duration,
        patience: Duration,
    ) -> Result<(), String>;

    /// Ends the transaction; what was changed holds.
    async fn commit(&self, patience: Duration) -> Result<(), String>;

    /// Ends the session; what was not committed does not hold. Never fails, and waits for nobody.
    async fn close(&self);
}

/// A worker's message with the way back: it is answered when the message was carried out, or was of no use.
#[derive(Debug)]
pub struct CitusAsked {
    /// The message.
    pub event: CitusEvent,
    /// Told when nothing more will come of it.
    pub done: oneshot::Sender<()>,
}
