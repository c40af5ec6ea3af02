//! The brain: one pure function from what is seen to what is done, with its reasons.
//!
//! Read in this order: `decision` (what comes out), `memory` (what one turn leaves for the next), `turn`
//! (the order of questions) with `outcomes` (what came of the last turn), then the answers: `lease`,
//! `unreachable`, `working`, `bootstrap` with `clone_source`, `identity`, `recover`, `divergence`, `leaderless` with `order`,
//! `eligibility`, `failsafe`, `peers` and `votes`, `leading` with `switchover`,
//! `candidates` and `hand_over`, `following` with `cascade` and `wal_gone`, `standby`, `paused`, `operator` with `stop_before`, `shutdown`; and what every turn keeps in order: `sync_standby`
//! with `sync_names`, `sync_quorum`, `sync_zones` and `sync_silent`, `entry`, `slots` with `wanted_slots`, `logical_slots`,
//! `slot_parameters` and
//! `slot_budget`, `hung`, `publish`; and beside the turns, `citus`.

mod bootstrap;
mod candidates;
mod cascade;
pub mod citus;
mod clone_source;
mod decision;
mod divergence;
mod eligibility;
mod entry;
mod failsafe;
mod following;
mod hand_over;
mod hung;
mod identity;
mod leaderless;
mod leading;
mod lease;
mod logical_slots;
mod memory;
mod operator;
mod order;
mod outcomes;
mod paused;
mod peers;
mod publish;
mod quorum;
mod recover;
mod shutdown;
mod slot_budget;
mod slot_parameters;
mod slots;
mod standby;
mod stop_before;
mod switchover;
mod sync_names;
mod sync_quorum;
mod sync_silent;
mod sync_standby;
mod sync_zones;
mod turn;
mod unreachable;
mod votes;
mod wal_gone;
mod wanted_slots;
mod watchdog;
mod working;

#[cfg(test)]
mod tests;

pub use decision::Decision;
pub use lease::{demote_budget, fence_margin, serves_until};
pub use memory::Memory;
pub use sync_names::names_setting;
pub use turn::decide;
