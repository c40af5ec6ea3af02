//! The wire contract of REST and the tables of the command line, as plain functions and documents.
//!
//! Read in this order: `json`, `query`, `wanted`, `role` (the small words); `member` (what one member
//! shows), `health`, `status`, `cluster`, `peer` (what REST says); `orders` and `config` (what REST and the
//! command line take in); `yaml`, `diff`, `table`, `listing`, `explain` (what the command line prints).
#![warn(clippy::wildcard_enum_match_arm)]

/// The version of Patroni whose interface this is; published in member keys and user agents.
pub const COMPATIBLE_VERSION: &str = "4.1.5";

pub mod citus;
pub mod cluster;
pub mod config;
pub mod diff;
pub mod explain;
pub mod failsafe;
pub mod health;
pub mod json;
pub mod listing;
pub mod member;
pub mod metrics;
pub mod orders;
pub mod peer;
pub mod query;
pub mod role;
pub mod status;
pub mod table;
pub mod wanted;
pub mod when;
pub mod yaml;
