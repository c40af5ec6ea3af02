//! One member's host: its power, its clocks, its agent as a process, its PostgreSQL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::{MemberName, Moment};
use pgherd_ports::{Desk, Shown};
use serde_json::Value;
use tokio::sync::watch;

use crate::clock::Pendulum;
use crate::dice::{Dice, Span};
use crate::postgres::Server;
use crate::process::Crash;
use crate::watchdog::Device;

/// A host.
#[derive(Debug)]
pub(crate) struct Host {
    /// It has power.
    pub(crate) powered: bool,
    /// It belongs to another cluster, which this one may follow: no agent of ours, no client, no invariant.
    pub(crate) outside: bool,
    /// Counts the processes that the agent has been.
    pub(crate) life: u64,
    /// The agent's process exists.
    pub(crate) agent_runs: bool,
    /// The agent's process is stopped (SIGSTOP): it does nothing and learns nothing.
    pub(crate) frozen: bool,
    /// Fault: the agent's turns do not end any more, while its other tasks go on.
    pub(crate) stuck: bool,
    /// Fault: the agent's process ends at one of its next writes.
    pub(crate) crash: Option<Crash>,
    /// Fault: the agent's statements take so long at least; commits of clients do not.
    pub(crate) slow_sql: Duration,
    /// How much later than it should a planted bug lets the lease end.
    pub(crate) planted_delay: Duration,
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
    /// The copy of the dynamic configuration on its disk.
    pub(crate) kept_dynamic: Option<Value>,
    pub(crate) dice: Dice,
    /// Dice of the disk that keeps promises.
    pub(crate) promise_dice: Dice,
}

impl Host {
    pub(crate) fn new(pendulum: Pendulum, dice: Dice) -> Self {
        Self {
            powered: true,
            outside: false,
            life: 0,
            agent_runs: false,
            frozen: false,
            stuck: false,
            crash: None,
            planted_delay: Duration::ZERO,
            slow_sql: Duration::ZERO,
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
            kept_dynamic: None,
            promise_dice: dice.of("promises"),
            dice,
        }
    }

    /// The agent's process does not exist any more.
    pub(crate) fn agent_is_gone(&mut self) {
        self.life += 1;
        self.agent_runs = false;
        self.frozen = false;
        self.stuck = false;
        self.crash = None;
        self.shown = None;
        self.desk = None;
    }

    /// How long something takes this time that waits for the disk.
    pub(crate) fn takes(&mut self, usually: Span) -> Duration {
        self.dice.within(usually) * self.server.disk.slowness
    }
}
