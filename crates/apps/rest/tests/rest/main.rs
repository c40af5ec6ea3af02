//! The server over real sockets: what it answers, to whom, and what it does with orders.
#![expect(
    clippy::unwrap_used,
    reason = "what can not be set up is a failure of the test"
)]

mod access;
mod checks;
mod config;
mod failsafe;
mod life;
mod orders;
mod rows;
mod stand;
mod store;
mod tls;
mod vote;
