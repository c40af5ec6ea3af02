//! The DCS port on etcd v3, over gRPC (contract §4.6, "etcd3").
//!
//! Read in this order: `options` (what it is told), `store` (one cluster's prefix, and the port), then what a
//! store does: `write` writes, `leader` and `renew` hold the lease, `watch` wakes the loop. Below
//! them `pool` asks several endpoints at once and `endpoint` holds one connection. `api` tells which of etcd's two APIs a
//! cluster is in, and `shared` is what the store on the old one uses as well.

mod api;
mod connect;
mod discovery;
mod endpoint;
mod fault;
mod leader;
mod lease;
mod members;
mod old_keys;
mod options;
mod pace;
mod pool;
mod race;
mod renew;
mod store;
mod terms;
mod tls;
mod user;
mod watch;
mod write;

pub use api::{Api, Traces};
pub use options::EtcdOptions;
pub use store::Etcd;

/// What the stores on both APIs do in the same way: which endpoint is asked, when, and over which connection.
pub mod shared {
    pub use crate::connect::Connect;
    pub use crate::discovery::refresh as discover;
    pub use crate::endpoint::Endpoint;
    pub use crate::fault::Fault;
    pub use crate::members::usable;
    pub use crate::pace::{Pace, connecting, hedge, penalty};
    pub use crate::pool::{Pool, Tries};
    pub use crate::tls::http_builder;
    pub use crate::user::User;
}
