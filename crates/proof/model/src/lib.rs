//! A model of how pgherd keeps one writer and loses nothing: the lease, the fence, the promotion, `/sync` and
//! promises, with three members. stateright goes through all its states.
//!
//! Read in this order: `state` (what there is), `step` (what may happen), `rules` (what each thing that may happen
//! asks for and does), `promise` (what must hold). Time is counted in ticks: a lease lives [`state::TTL`] of them.
//! What the model leaves out the simulator has (`docs/simulator.md`); what the simulator only samples the model
//! goes through completely.

mod promise;
mod rules;
mod state;
mod step;

pub use promise::{LOST, NO_LEADER, TWO_WRITERS};
pub use rules::{Bounds, Herd, Without};
pub use state::{Member, Role, State};
pub use step::Step;
