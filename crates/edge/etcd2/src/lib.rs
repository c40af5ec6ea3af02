//! The DCS port on etcd's old API (v2), over HTTP (contract §4.6, "etcd v2").
//!
//! Patroni's section `etcd` means this API; servers have it only where that is switched on, and those from 3.6 on not at
//! all. `either` opens what that section means here: this store, or that on today's API.
//!
//! Read in this order: `store` (one cluster's prefix, and the port), then what a store does: `write` writes, `leader` and
//! `renew` hold the lease, `watch` wakes the loop. Below them `lease` is what this member knows of the lease, for etcd has
//! none here, `clocks` and `promised` keep it from ending early for us and for others, `keys` are single steps, `http` one request,
//! `answer` and `node` what came back. Which endpoint
//! is asked is decided in `pgherd_etcd`, for both APIs alike.

mod answer;
mod choice;
mod clocks;
mod either;
mod http;
mod keys;
mod leader;
mod lease;
mod login;
mod members;
mod node;
mod promised;
mod renew;
mod scouts;
mod store;
mod watch;
mod write;

pub use either::EitherEtcd;
pub use store::OldEtcd;
