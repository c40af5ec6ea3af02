//! The watchdog port: the device that resets the host when nobody can stop a primary any more.

use std::fmt;

use pgherd_domain::{Moment, WatchdogPlan, WatchdogSeen};
use tokio::sync::watch;

/// What the device is to do from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchdogOrder {
    /// The device and its figures.
    pub plan: WatchdogPlan,
    /// What is wanted of it.
    pub want: WatchdogWant,
}

/// What is wanted of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchdogWant {
    /// It does not count: no primary runs here, or the cluster is paused.
    Off,
    /// It goes on as it is: a primary runs, and nothing says that its lease is good.
    Leave,
    /// It counts, and is kept alive once for a lease that is good until then.
    Alive {
        /// The end of the lease.
        good_until: Moment,
    },
}

/// The watchdog of this host.
pub trait Watchdog: Send + Sync + fmt::Debug {
    /// Says what is wanted from now on. Returns at once: the device may hang. What was said last counts.
    fn set(&self, order: WatchdogOrder);

    /// What is known of the device now. Whenever that becomes something else the loop is woken.
    fn seen(&self) -> WatchdogSeen;

    /// Tells of every change, also of the moment of the reset.
    fn changes(&self) -> watch::Receiver<WatchdogSeen>;
}

/// No watchdog.
#[derive(Debug)]
pub struct NoWatchdog(watch::Sender<WatchdogSeen>);

impl Default for NoWatchdog {
    fn default() -> Self {
        Self(watch::Sender::new(WatchdogSeen::Unusable {
            why: "this host has none".to_owned(),
        }))
    }
}

impl Watchdog for NoWatchdog {
    fn set(&self, _: WatchdogOrder) {}

    fn seen(&self) -> WatchdogSeen {
        self.0.borrow().clone()
    }

    fn changes(&self) -> watch::Receiver<WatchdogSeen> {
        self.0.subscribe()
    }
}
