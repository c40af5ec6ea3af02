//! One member's host: its power, its clocks, its agent as a process, its PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use pgherd_ports::Shown;
use tokio::sync::watch;

use crate::clock::Pendulum;
use crate::dice::Dice;
use crate::postgres::Server;

/// A host.
#[derive(Debug)]
pub(crate) struct Host {
    /// It has power.
    pub(crate) powered: bool,
    /// The agent's process exists.
    pub(crate) agent_runs: bool,
    /// The agent's process is stopped (SIGSTOP): it does nothing and learns nothing.
    pub(crate) frozen: bool,
    /// Since when an agent watches the lease here. `None` while it is frozen or gone, or has not finished
    /// a turn since; only a fence outside of the agent could stop a primary meanwhile.
    pub(crate) guarded_since: Option<Duration>,
    /// When the agent was last started or let go on.
    pub(crate) awake_since: Duration,
    pub(crate) pendulum: Pendulum,
    pub(crate) server: Server,
    /// What the agent's last turn showed; peers read it.
    pub(crate) shown: Option<watch::Receiver<Option<Arc<Shown>>>>,
    pub(crate) dice: Dice,
}

impl Host {
    pub(crate) fn new(pendulum: Pendulum, dice: Dice) -> Self {
        Self {
            powered: true,
            agent_runs: false,
            frozen: false,
            guarded_since: None,
            awake_since: Duration::ZERO,
            pendulum,
            server: Server::default(),
            shown: None,
            dice,
        }
    }
}
