//! From what is seen to what is done: the decision, and what the guard lets pass of it.

use pgherd_decide::{Decision, Memory, decide};
use pgherd_domain::{Action, ClusterSpec, Observation};
use pgherd_guard::{Note, check};

/// One turn's thought.
#[derive(Debug, Clone, PartialEq)]
pub struct Thought {
    /// What was decided, and why.
    pub decision: Decision,
    /// What of it is carried out, in this order.
    pub actions: Vec<Action>,
    /// What the guard held back.
    pub notes: Vec<Note>,
}

/// How an agent thinks. Always [`think`], but in the simulator, which plants bugs here to see whether it
/// would find them.
pub type Think = Box<dyn Fn(&ClusterSpec, Memory, &Observation) -> Thought + Send + Sync>;

/// Decides, and has the decision checked.
pub fn think(spec: &ClusterSpec, memory: Memory, seen: &Observation) -> Thought {
    let decision = decide(spec, memory, seen);
    let (actions, notes) = check(spec, seen, decision.actions.clone());
    Thought {
        decision,
        actions,
        notes,
    }
}
