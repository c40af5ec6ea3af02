//! The DCS port on ZooKeeper (contract §4.6, "zookeeper" and "exhibitor").
//!
//! Read in this order: `options` (what it is told), `store` (one cluster's prefix, and the port), `reign` (how a
//! transaction proves who leads), then what a store does: `view` reads, `write` writes (by `attempt`), `leader` and `hand_over`
//! move the leader key, `renew` and `ttl` keep the lease, `watch` wakes the loop. Below them `lease` is the session
//! that the keys hang on, `ensemble` asks one server after the other, and `link` is one connection, in the words of
//! `request` and `wire`. Why it is its own client and not a ready one:
//! [docs/decisions/2026-11-27-zookeeper.md](../../../../docs/decisions/2026-11-27-zookeeper.md).

mod answer;
mod attempt;
mod ensemble;
mod exhibitor;
mod fault;
mod hand_over;
mod leader;
mod lease;
mod link;
mod login;
mod options;
mod pace;
mod paths;
mod reign;
mod renew;
mod request;
mod store;
mod ttl;
mod view;
mod watch;
mod wire;
mod write;

pub use options::ZooKeeperOptions;
pub use store::ZooKeeper;
