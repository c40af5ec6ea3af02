//! The lease runs out: a primary stops in time, whatever else is going on.
//!
//! `ttl` is cut at its end: a fast stop begins [`demote_budget`] before the lease ends, becomes an
//! immediate one [`fence_margin`] before the end, and is complete when a rival may take the key.

use std::time::Duration;

use pgherd_domain::{
    LeaseSeen, Moment, PgState, Reason, Standing, StopMode, WatchdogSeen, Work, WorkKind,
};

use crate::memory::Bootstrap;
use crate::turn::Turn;

/// How long before the end of the lease a primary begins to stop: a quarter of ttl, 1 to 10 s.
pub fn demote_budget(ttl: Duration) -> Duration {
    (ttl / 4)
        .clamp(Duration::from_secs(1), Duration::from_secs(10))
        .min(ttl / 2)
}

/// How long before the end of the lease everything that is left of a primary is killed: a tenth of ttl,
/// 0.3 to 3 s.
pub fn fence_margin(ttl: Duration) -> Duration {
    (ttl / 10).clamp(Duration::from_millis(300), Duration::from_secs(3))
}

/// Until when a lease may be used: while a watchdog counts no longer than until it resets the host, so that a
/// stop comes before the reset.
pub fn serves_until(lease: &LeaseSeen, watchdog: &WatchdogSeen) -> Option<Moment> {
    let good_until = lease.good_until?;
    let resets_at = watchdog.resets_at();
    Some(resets_at.map_or(good_until, |resets_at| resets_at.min(good_until)))
}

impl Turn<'_> {
    /// Stops a primary whose lease is lost or about to end. `true` when that is what this turn does.
    pub(crate) fn demote_when_lease_ends(&mut self) -> bool {
        if self.spec.pause || !self.pg().runs_as_primary() || self.memory.bootstrap != Bootstrap::No
        {
            return false;
        }
        match self.seen.lease.standing {
            Standing::Lost => {
                let line = "demoted self because failed to update leader lock in DCS";
                self.stop_now(line);
                true
            }
            Standing::Held => {
                self.demote_before(serves_until(&self.seen.lease, &self.seen.watchdog))
            }
            Standing::NotHeld => false,
        }
    }

    fn demote_before(&mut self, serves_until: Option<Moment>) -> bool {
        let Some(until) = serves_until else {
            return false;
        };
        let span = self.seen.watchdog.span_of(self.spec.ttl);
        let begin = until.minus(demote_budget(span));
        let escalate_at = until.minus(fence_margin(span));
        let now = self.now();
        if now < begin {
            self.wake_at(begin);
            return false;
        }
        let line = "demoted self because DCS is not accessible and I was a leader";
        if now >= escalate_at {
            self.stop_now(line);
        } else {
            self.say(Reason::Says(line));
            self.preempt(Work::Stop {
                mode: StopMode::Fast,
                escalate_at: Some(escalate_at),
            });
        }
        true
    }

    /// Immediate shutdown, whatever runs. A stop that is already immediate is left alone.
    pub(crate) fn stop_now(&mut self, line: &'static str) {
        self.say(Reason::Says(line));
        self.memory.switching = None;
        let stopping = matches!(
            &self.seen.work.running,
            Some((
                Work::Stop {
                    mode: StopMode::Immediate,
                    ..
                },
                _,
                _
            ))
        );
        if !stopping {
            let stop = Work::Stop {
                mode: StopMode::Immediate,
                escalate_at: Some(self.now()),
            };
            if self.seen.work.kind() == Some(WorkKind::Stop) {
                self.actions.push(pgherd_domain::Action::CancelWork);
                self.actions.push(pgherd_domain::Action::Begin(stop));
            } else {
                self.preempt(stop);
            }
        }
        self.state = Some(PgState::Stopping);
        self.wake_in(Duration::from_millis(100));
    }
}
