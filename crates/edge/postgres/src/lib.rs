//! The PostgreSQL port: one local server, its processes, files and queries.
//!
//! Read in this order: `server` (the port), `place` and `owner` (where and whose), `setup` (what is checked
//! before anything is touched); `process`, `control`, `query`, `live` and `observe` (looking); `files`,
//! `configuration` with `parameters`, `passwords` and `backups`, and `aside` (what lies on disk); `run`, `launcher` and `connect` (child processes and SQL); `act`
//! (one file for each thing done); `citus` (its catalogue of nodes); `hooks` (the operator's callbacks and hooks).

mod act;
mod aside;
mod backups;
mod changes;
mod citus;
mod configuration;
mod connect;
mod control;
mod dynamic;
mod files;
mod hooks;
mod hung;
mod launcher;
mod live;
mod observe;
mod owner;
mod pace;
mod parameters;
mod passwords;
mod place;
mod process;
mod query;
mod run;
mod server;
mod setup;
mod standbys;
mod tls;

pub use citus::CitusCatalogue;
pub use dynamic::kept_dynamic;
pub use launcher::Launcher;
pub use owner::OwnerError;
pub use server::LocalServer;
pub use setup::{SetupError, check_setup, check_setup_but_port};
pub use tls::{TlsError, client_config};
