//! The DCS port on etcd v3, over gRPC (contract §4.6, "etcd3").
//!
//! Read in this order: `options` (what it is told), `store` (one cluster's prefix, and the port), then what a
//! store does: `write` writes, `leader` and `renew` hold the lease, `watch` wakes the loop. Below
//! them `pool` asks several endpoints at once and `endpoint` holds one connection.

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
mod watch;
mod write;

pub use options::EtcdOptions;
pub use store::Etcd;
