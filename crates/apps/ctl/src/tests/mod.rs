//! Commands against a store in memory and members that are small HTTP servers.

mod clusters;
mod config;
mod dialogue;
pub(crate) mod fake;
mod looks;
mod members;
mod waits;
