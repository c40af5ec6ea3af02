//! The ports: what the agent needs of the outside world.
//!
//! Each is a trait with two implementations: the real one in a crate of its own beside this, and the
//! simulated one in `crates/proof/sim`. What both must do is written here, and `contract` checks the DCS.

mod citus;
mod clock;
pub mod contract;
mod dcs;
mod desk;
mod fence;
pub mod keyspace;
mod peers;
mod postgres;
mod promise;
mod promise_file;
mod votes;
mod wake;
mod watchdog;

pub use citus::{CitusAsked, Groups, NodeCatalogue};
pub use clock::{Clock, SystemClock};
pub use dcs::{
    Acquisition, Condition, Dcs, DcsError, HandOver, Key, Leading, OperatorDcs, Renewal, Written,
};
pub use desk::{Asked, Desk, PleaRefused, Shown};
pub use fence::{Fence, NoFence};
pub use peers::{PeerError, Peers};
pub use postgres::{AdjustError, LocalPostgres, Progress};
pub use promise::{NoPromises, PromiseBook, PromiseStore, Unpromised};
pub use promise_file::PromiseFile;
pub use votes::{VoteBook, VoteRefused};
pub use wake::Wake;
pub use watchdog::{NoWatchdog, Watchdog, WatchdogOrder, WatchdogWant};
