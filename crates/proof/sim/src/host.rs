//! One member's host: its power, its clocks, its agent as a process, its PostgreSQL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::{MemberName, Moment};
use pgherd_ports::{Desk, Shown};
use tokio::sync::watch;

use crate::clock::Pendulum;
use crate::dice::Dice;
use crate::postgres::Server;
use crate::watchdog::Device;

/// A host.
#[derive(Debug)]
pub(crate) struct Host {
    /// It has power.
    pub(crate) powered: bool,
    /// Counts the processes that the agent has been.
    pub(crate) life: u64,
    /// The agent's process exists.
    pub(crate) agent_runs: bool,
    /// The agent's process is stopped (SIGSTOP): it does nothing and learns nothing.
    pub(crate) frozen: bool,
    /// When the fence beside PostgreSQL stops a primary, on this host's clock; never when `None`.
    pub(crate) fenced_at: Option<Moment>,
    /// The fence's process is stopped (SIGSTOP).
    pub(crate) fence_frozen: bool,
    /// The watchdog, where there is one.
    pub(crate) device: Device,
    /// The agent last heard that the cluster is paused.
    pub(crate) knows_pause: bool,
    /// Until when its lease would have lived if the DCS had not broken its word (revoked it, or lost the
    /// key). No agent can know of that before it hears of it.
    pub(crate) excused_until: Duration,
    pub(crate) pendulum: Pendulum,
    pub(crate) server: Server,
    /// What the agent's last turn showed; peers read it.
    pub(crate) shown: Option<watch::Receiver<Option<Arc<Shown>>>>,
    /// Where the agent answers what other members ask of it.
    pub(crate) desk: Option<Desk>,
    /// What the member promised, as its disk keeps it.
    pub(crate) promises: BTreeMap<MemberName, Moment>,
    pub(crate) dice: Dice,
    /// Dice of the disk that keeps promises.
    pub(crate) promise_dice: Dice,
}

impl Host {
    pub(crate) fn new(pendulum: Pendulum, dice: Dice) -> Self {
        Self {
            powered: true,
            life: 0,
            agent_runs: false,
            frozen: false,
            fenced_at: None,
            fence_frozen: false,
            device: Device::default(),
            knows_pause: false,
            excused_until: Duration::ZERO,
            pendulum,
            server: Server::default(),
            shown: None,
            desk: None,
            promises: BTreeMap::new(),
            promise_dice: dice.of("promises"),
            dice,
        }
    }
}
