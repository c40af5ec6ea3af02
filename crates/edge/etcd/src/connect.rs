//! How connections to an endpoint are made: what the two APIs of etcd have each in its own way.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::fault::Fault;

/// Makes clients for endpoints.
pub trait Connect: fmt::Debug + Send + Sync {
    /// A client of one endpoint.
    type Client: Clone + Send + Sync;

    /// A client for the endpoint at `url`, `scheme://host:port`. Certificates are read again each time, so that renewed
    /// ones need no restart.
    ///
    /// # Errors
    /// Why there is none.
    fn connect(&self, url: &str) -> impl Future<Output = Result<Self::Client, Fault>> + Send;

    /// Whether another login may help where credentials were refused.
    fn logs_in(&self) -> bool;

    /// The lease's ttl, from which the deadlines follow.
    fn ttl(&self) -> Duration;
}
