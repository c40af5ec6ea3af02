//! The fence port: what stops a primary whose lease ends, should the agent not be able to.

use std::fmt;
use std::time::Duration;

use pgherd_domain::Moment;

/// Guards the local server beside the agent, and outlives it.
pub trait Fence: Send + Sync + fmt::Debug {
    /// A primary that runs at `deadline` is stopped, so that all is over `margin` later. `None`: nothing is.
    /// Returns at once, and what was said last counts. A replica is never touched.
    fn set(&self, deadline: Option<Moment>, margin: Duration);

    /// Why nothing guards beside the agent; `None`: it does. What is mended within a moment is no trouble.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// No fence beside the agent: the agent's own is all there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFence;

impl Fence for NoFence {
    fn set(&self, _: Option<Moment>, _: Duration) {}
}
