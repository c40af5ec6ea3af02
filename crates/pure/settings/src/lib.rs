//! Settings: Patroni's YAML, environment and dynamic configuration, typed, with all faults told at once.
//!
//! Read in this order: `settings` and `sections` (the result).

mod address;
mod controlled;
mod secret;
mod sections;
mod settings;

pub use address::{HostPort, ListenHosts};
pub use controlled::Controlled;
pub use secret::Secret;
pub use sections::*;
pub use settings::{ChangingSettings, FixedSettings, PostgresPlace, Settings};
