//! Other members' REST APIs, asked over HTTP: the peers port of the agent, and the client that the command
//! line uses.
//!
//! Read in this order: `trust` (whose certificates are believed), `client` (one request), `peers` (the port).

mod client;
mod peers;
mod trust;

pub use client::{Method, Reply, RestClient, SendError, endpoint, public_client};
pub use peers::HttpPeers;
pub use trust::{SetupError, Trust};
