//! The agent: observes, decides, guards and acts for one member.
//!
//! Read in this order: `agent` (the loop), `observe`, `think`, `act`, then the tasks beside the loop: `keeper`
//! (the lease), `fence` (the end of the lease), `worker` (the one long work), `inquiries` (questions to
//! others), `citus`; and `spec`, `settings`, `show` (what goes in and what is shown).

mod act;
mod agent;
mod citus;
mod fan;
mod fence;
mod inquiries;
mod keeper;
mod observe;
mod promises;
mod settings;
mod show;
mod spec;
mod tell;
mod think;
mod watchdog;
mod worker;

pub use agent::{Agent, Fatal, OnTurn, Ports};
pub use citus::CitusPorts;
pub use settings::{ReadLocal, SettingsSource};
pub use think::{Think, Thought, think};
