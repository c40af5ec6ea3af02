//! What guards a primary beside its agent: the fence, and the watchdog where the settings want one
//! (contract §5.6, §11).

use std::time::Duration;

use pgherd_domain::{Action, Reason, Veto, WatchdogMode, WatchdogSeen};

use crate::lease::{demote_budget, serves_until};
use crate::turn::Turn;

impl Turn<'_> {
    /// Nobody begins to lead without a fence, or without a watchdog where one is required. Who leads already
    /// goes on without a fence: the agent still stops it in time, and an outage is certain, while the loss of
    /// the agent is not.
    pub(crate) fn unguarded_veto(&self) -> Option<Veto> {
        let fence = self.seen.unfenced.clone().filter(|_| !self.spec.pause);
        let no_fence = fence.map(|why| Veto::NoFence { why });
        no_fence.or_else(|| self.watchdog_veto())
    }

    /// The watchdog is required, and does not work.
    pub(crate) fn watchdog_veto(&self) -> Option<Veto> {
        let required = self.spec.watchdog == WatchdogMode::Required && !self.spec.pause;
        let why = self.seen.watchdog.trouble().filter(|_| required)?;
        let why = why.to_owned();
        Some(Veto::NoWatchdog { why })
    }

    /// Gives the key up, because nothing but its agent would stop this member. `true`: it does.
    pub(crate) fn releases_unguarded(&mut self) -> bool {
        let Some(veto) = self.unguarded_veto() else {
            return false;
        };
        if matches!(veto, Veto::NoWatchdog { .. }) {
            let line = "Not promoting self because watchdog could not be activated";
            self.say(Reason::Says(line));
        }
        self.say(Reason::NotRacing(veto));
        self.actions.push(Action::ReleaseLeader { optime: None });
        true
    }

    /// Lets the watchdog count before this member becomes a primary. `false`: it does not yet, and the turn has
    /// said so. One that is not required and does not work holds nobody up.
    pub(crate) fn watchdog_counts(&mut self) -> bool {
        let required = self.spec.watchdog == WatchdogMode::Required;
        if self.spec.pause || self.spec.watchdog == WatchdogMode::Off {
            return true;
        }
        let counts = match &self.seen.watchdog {
            WatchdogSeen::Counting { .. } => true,
            WatchdogSeen::Ready => false,
            WatchdogSeen::Off | WatchdogSeen::Unusable { .. } if !required => return true,
            // The settings were changed, or a pause has ended, a moment ago.
            WatchdogSeen::Off | WatchdogSeen::Unusable { .. } => false,
        };
        // Said in every turn of the way, so that it goes on counting until there is a primary.
        self.actions.push(Action::ArmWatchdog);
        if !counts {
            self.say(Reason::Says("activating the watchdog"));
            self.wake_in(Duration::from_millis(200));
        }
        counts
    }

    /// Whether a lease that nobody renews lets a primary start and serve for a while, before it has to stop again.
    /// One that a watchdog will guard ends earlier, and how much is known only when it counts: then half of ttl is
    /// taken for gone, so that nothing is started that is to be stopped at once.
    pub(crate) fn lease_lets_start(&self) -> bool {
        let watchdog = &self.seen.watchdog;
        let until = serves_until(&self.seen.lease, watchdog);
        let left = until.map_or(Duration::ZERO, |until| until.since(self.now()));
        let budget = demote_budget(watchdog.span_of(self.spec.ttl));
        let used = self.spec.watchdog != WatchdogMode::Off && !self.spec.pause;
        let unknown = match watchdog {
            WatchdogSeen::Ready if used => self.spec.ttl / 2,
            WatchdogSeen::Off
            | WatchdogSeen::Ready
            | WatchdogSeen::Counting { .. }
            | WatchdogSeen::Unusable { .. } => Duration::ZERO,
        };
        left > budget + unknown
    }

    /// A primary whose settings want no leader without a watchdog, and that has none, stops (contract §5.6).
    /// `true`: it does.
    pub(crate) fn demotes_without_watchdog(&mut self) -> bool {
        let Some(veto) = self.watchdog_veto() else {
            return false;
        };
        self.stop_now("Demoting self because watchdog could not be activated");
        self.say(Reason::NotRacing(veto));
        true
    }
}
