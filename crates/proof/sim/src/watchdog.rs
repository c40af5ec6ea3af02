//! The simulated watchdog: a device that counts on its own, and takes the whole host down when nobody keeps it alive.

use std::fmt;
use std::time::Duration;

use pgherd_domain::{MemberName, WatchdogMode, WatchdogSeen};
use pgherd_ports::{Wake, Watchdog, WatchdogOrder, WatchdogWant};
use tokio::sync::watch;

use crate::network::Place;
use crate::postgres::{self, Ending};
use crate::process::Process;
use crate::world::{State, World};

/// The device of a host.
#[derive(Debug, Default)]
pub(crate) struct Device {
    /// There is one.
    pub(crate) exists: bool,
    /// When it resets the host, in virtual time.
    resets_at: Option<Duration>,
}

/// The device as an agent sees it.
pub(crate) struct SimWatchdog {
    process: Process,
    seen: watch::Sender<WatchdogSeen>,
    wake: Wake,
}

impl SimWatchdog {
    pub(crate) fn new(process: Process, wake: Wake) -> Self {
        let exists = process
            .world
            .look(|state| state.host(&process.me).device.exists);
        let seen = watch::Sender::new(if exists { WatchdogSeen::Off } else { none() });
        Self {
            process,
            seen,
            wake,
        }
    }

    /// Does what is wanted; `None`: nothing else is known by it.
    fn obey(&self, state: &mut State, order: &WatchdogOrder) -> Option<WatchdogSeen> {
        let now = state.now;
        let host = state.host_mut(&self.process.me);
        let shows = host.pendulum.moment(now);
        let idle = match order.plan.mode {
            WatchdogMode::Off => WatchdogSeen::Off,
            WatchdogMode::Automatic | WatchdogMode::Required => WatchdogSeen::Ready,
        };
        if !host.device.exists {
            return Some(none());
        }
        match order.want {
            WatchdogWant::Off => {
                let counted = host.device.resets_at.take().is_some();
                if counted {
                    state.tell(self.process.me.as_str(), "watchdog: off");
                }
                Some(idle)
            }
            WatchdogWant::Leave => host.device.resets_at.is_none().then_some(idle),
            WatchdogWant::Alive { good_until } => {
                let timeout = order.plan.timeout_at(shows, good_until)?;
                let resets_at = now + host.pendulum.stretch(timeout);
                let counted = host.device.resets_at.replace(resets_at).is_some();
                if !counted {
                    state.tell(self.process.me.as_str(), "watchdog: counts");
                }
                Some(WatchdogSeen::Counting {
                    resets_at: shows.plus(timeout),
                    timeout,
                })
            }
        }
    }
}

impl fmt::Debug for SimWatchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimWatchdog({:?})", self.process)
    }
}

impl Watchdog for SimWatchdog {
    fn set(&self, order: WatchdogOrder) {
        if !self.process.is_alive() {
            return;
        }
        let world = &self.process.world;
        let Some(now) = world.change(|state| self.obey(state, &order)) else {
            return;
        };
        let before = self.seen.send_replace(now.clone());
        if before != now && !(before.counts() && now.counts()) {
            self.wake.wake();
        }
    }

    fn seen(&self) -> WatchdogSeen {
        self.seen.borrow().clone()
    }

    fn changes(&self) -> watch::Receiver<WatchdogSeen> {
        self.seen.subscribe()
    }
}

fn none() -> WatchdogSeen {
    let why = "this host has none".to_owned();
    WatchdogSeen::Unusable { why }
}

/// Counts on a host, for ever.
pub(crate) async fn count(world: World, me: MemberName) {
    loop {
        let resets_at = world.until(|state| state.host(&me).device.resets_at).await;
        let left = world.look(|state| resets_at.saturating_sub(state.now));
        if !left.is_zero() {
            let kept_alive = world.until(|state| {
                let other = state.host(&me).device.resets_at != Some(resets_at);
                other.then_some(())
            });
            // Either way the loop looks again.
            drop(tokio::time::timeout(left, kept_alive).await);
            continue;
        }
        world.change(|state| reset(state, &me));
    }
}

/// Takes a host down, with all its processes. Its power is there again when somebody starts it.
fn reset(state: &mut State, me: &MemberName) {
    state.tell(me.as_str(), "watchdog: resets the host");
    postgres::kill(state, me, Ending::Killed);
    let host = state.host_mut(me);
    host.device.resets_at = None;
    host.powered = false;
    host.server.suspended = false;
    host.fenced_at = None;
    host.fence_frozen = false;
    host.agent_is_gone();
    state.network.power(&Place::Member(me.clone()), false);
}

/// Forgets what it counted: the host has lost its power.
pub(crate) fn power_is_gone(state: &mut State, me: &MemberName) {
    let host = state.host_mut(me);
    host.device.resets_at = None;
    host.fence_frozen = false;
}
