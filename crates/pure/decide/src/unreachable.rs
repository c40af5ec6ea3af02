//! The DCS does not answer: what is known goes on, and nothing new begins (contract §5.9).

use std::time::Duration;

use pgherd_domain::{PgRole, Reason, StartAs, StopMode, Work};

use crate::lease::demote_budget;
use crate::memory::Bootstrap;
use crate::turn::Turn;

impl Turn<'_> {
    /// The turn of a member that can not read the DCS. The end of the lease was looked after before.
    pub(crate) fn without_dcs(&mut self) {
        self.wake_in(Duration::from_secs(1).min(self.spec.loop_wait));
        self.say(Reason::Says("DCS is not accessible"));
        if let Some(trouble) = &self.seen.lease.trouble {
            self.say(Reason::Note(trouble.clone()));
        }
        if self.spec.pause || self.seen.work.running.is_some() {
            return;
        }
        if self.pg().is_running() {
            self.primary_without_lease_or_dcs();
        } else if self.pg().control().is_some() {
            self.start_without_dcs();
        }
    }

    /// A primary that this agent found running, and no DCS to say whose lease it is: it may not go on
    /// for longer than a lease would let it.
    fn primary_without_lease_or_dcs(&mut self) {
        let now = self.now();
        let without = self.pg().runs_as_primary()
            && !self.seen.lease.is_mine(now)
            && self.memory.bootstrap == Bootstrap::No;
        if !without {
            self.memory.primary_without_lease_since = None;
            return;
        }
        let since = *self.memory.primary_without_lease_since.get_or_insert(now);
        let budget = demote_budget(self.spec.ttl);
        if now.since(since) >= budget {
            self.because.clear();
            self.say(Reason::Says(
                "demoted self because DCS is not accessible and I was a leader",
            ));
            self.begin(Work::Stop {
                mode: StopMode::Fast,
                escalate_at: Some(now.plus(budget)),
            });
        } else {
            self.wake_at(since.plus(budget));
        }
    }

    /// PostgreSQL does not run: it is brought back as what it may be. Only a lease that is good for a
    /// while yet lets a primary start; everything else starts as a replica of the last known upstream,
    /// because losing sight of the DCS never changes who follows whom.
    fn start_without_dcs(&mut self) {
        let now = self.now();
        if !self.memory.backoff.left(now).is_zero() || self.memory.switching.is_some() {
            return;
        }
        let was_primary = self.memory.role == PgRole::Primary && !self.pg().standby_signal;
        let lease_left = self.seen.lease.is_mine(now)
            && self.seen.lease.left(now) > demote_budget(self.spec.ttl);
        if was_primary && lease_left {
            self.say(Reason::Says("starting primary after failure"));
            self.begin(Work::Start {
                start_as: StartAs::Primary,
                timeout: self.spec.primary_start_timeout,
            });
        } else if !self.seen.lease.is_mine(now) {
            let upstream = self.memory.last_upstream.clone();
            self.begin(self.start_replica(upstream));
        }
    }
}
