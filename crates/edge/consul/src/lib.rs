//! The DCS port on Consul, over its HTTP API (contract §4.6, "consul").
//!
//! Read in this order: `options` (what it is told), `store` (one cluster's prefix, and the port), then what a store
//! does: `write` writes, `leader` and `renew` hold the session, `watch` wakes the loop, `service` tells Consul's catalog
//! where the member is. Below them `kv` reads, `txn` changes keys in one step, `session` is the lease and `wish` what it is to be, `ask` repeats what
//! was not answered, and `http` holds the connections.

mod access;
mod ask;
mod fault;
mod http;
mod kv;
mod leader;
mod options;
mod pace;
mod renew;
mod service;
mod session;
mod store;
mod tls;
mod txn;
mod watch;
mod wish;
mod write;

pub use options::ConsulOptions;
pub use store::Consul;
