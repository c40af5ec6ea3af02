//! The simulator: the real agent on a simulated DCS, PostgreSQL, network and clocks. One seed is one
//! universe: the same seed gives the same bytes.
//!
//! Read in this order: `world` (time and state), `network`, `clock`, `store` (the DCS), `postgres`,
//! `peers`; then `herd` (the agents), `clients`, `invariants` (what must hold); then `scenario` (text files)
//! and `universe` (dice).

mod clients;
mod clock;
pub mod cost;
mod dice;
mod disk;
mod fence;
mod herd;
mod host;
mod invariants;
mod journal;
mod ledger;
mod network;
mod peers;
pub mod planted;
mod postgres;
mod process;
mod promises;
pub mod scenario;
mod store;
mod turns;
pub mod universe;
mod watchdog;
mod world;

pub use dice::{Dice, Span};
pub use invariants::Violation;
pub use journal::Entry;
pub use network::Place;
pub use world::World;
