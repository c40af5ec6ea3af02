//! The DCS does not answer: what is known goes on, and nothing new begins (contract §5.9).

use std::time::Duration;

use pgherd_domain::{Action, Fact, PgRole, Reason, StartAs, StopMode, Work, WorkKind};

use crate::lease::demote_budget;
use crate::turn::Turn;

/// The line of a leader whom all others promised not to race (contract §5.9).
pub(crate) const CONFIRMED: &str =
    "continue to run as a leader because failsafe mode is enabled and all members are accessible";

impl Turn<'_> {
    /// The turn of a member that can not read the DCS. The end of the lease was looked after before.
    pub(crate) fn without_dcs(&mut self) {
        self.wake_in(Duration::from_secs(1).min(self.spec.loop_wait));
        if self.seen.failsafe.confirmed && self.pg().runs_as_primary() {
            self.say(Reason::Says(CONFIRMED));
        } else {
            self.say(Reason::Says("DCS is not accessible"));
        }
        if let Fact::Unknown { why, last, .. } = &self.seen.dcs {
            let waiting = if last.is_none() {
                format!(
                    "waiting on {}: Can not get cluster from dcs: ",
                    self.spec.store
                )
            } else {
                String::new()
            };
            self.say(Reason::Note(format!("{waiting}{why}")));
        }
        let work = self.seen.work.kind();
        if work.is_some_and(|kind| kind != WorkKind::Checkpoint) {
            return self.call_off_without_lease();
        }
        if self.spec.pause {
            return;
        }
        if self.pg().is_running() {
            self.primary_without_lease_or_dcs();
        } else if self.pg().control().is_some() {
            self.start_without_dcs();
        }
    }

    /// What would make a primary goes on only as long as the lease does.
    fn call_off_without_lease(&mut self) {
        let Some((work, _, _)) = &self.seen.work.running else {
            return;
        };
        let makes_primary = match work {
            Work::PrePromote
            | Work::Promote { .. }
            | Work::Start {
                start_as: StartAs::Primary { .. },
                ..
            } => true,
            Work::Restart { start_as, .. } => {
                matches!(start_as, StartAs::Primary { .. }) && !self.spec.pause
            }
            Work::Bootstrap
            | Work::Clone { .. }
            | Work::Restore
            | Work::Start { .. }
            | Work::Stop { .. }
            | Work::Checkpoint
            | Work::CrashRecovery
            | Work::Rewind { .. }
            | Work::CopySlots { .. }
            | Work::StopBefore { .. } => false,
        };
        if makes_primary && !self.seen.lease.is_mine(self.now()) {
            self.say(Reason::LostLockDuring(work.kind()));
            self.actions.push(Action::CancelWork);
        }
    }

    /// A primary that this agent found running, and no DCS to say whose lease it is: it may not go on
    /// for longer than a lease would let it.
    fn primary_without_lease_or_dcs(&mut self) {
        if !self.runs_without_lease() {
            return;
        }
        if self.stop_after_grace("demoted self because DCS is not accessible and I was a leader") {
            self.because.rotate_right(1);
        }
    }

    /// A primary without a lease may go on for as long as a lease lets it at its end, and then stops in
    /// good order. `true` when it stops now.
    pub(crate) fn stop_after_grace(&mut self, line: &'static str) -> bool {
        let now = self.now();
        let budget = demote_budget(self.spec.ttl);
        let since = *self.memory.primary_without_lease_since.get_or_insert(now);
        if now.since(since) < budget {
            self.wake_at(since.plus(budget));
            return false;
        }
        self.say(Reason::Says(line));
        self.begin(Work::Stop {
            mode: StopMode::Fast,
            escalate_at: Some(now.plus(budget)),
        });
        true
    }

    /// PostgreSQL does not run: it is brought back as what it may be. Only a lease that is good for a
    /// while yet lets a primary start; everything else starts as a replica of the last known upstream,
    /// because losing sight of the DCS never changes who follows whom.
    fn start_without_dcs(&mut self) {
        let now = self.now();
        let left = self.memory.backoff.left(now);
        if !left.is_zero() {
            return self.wake_in(left);
        }
        let mine = self.seen.lease.is_mine(now) && !self.memory.key_in_doubt;
        if self.memory.switching.is_some() {
            if mine {
                return;
            }
            self.memory.switching = None;
        }
        let was_primary = self.memory.role == PgRole::Primary
            && !self.pg().standby_signal
            && self
                .control()
                .is_some_and(|control| control.state.was_primary());
        if !(mine && was_primary) {
            let upstream = self.memory.last_upstream.clone();
            self.close_if_unconfirmed();
            self.begin(self.start_replica(upstream));
        } else if self.lease_lets_start() && self.watchdog_counts() {
            self.close_if_unconfirmed();
            self.say(Reason::Says("starting primary after failure"));
            self.begin(Work::Start {
                start_as: self.start_as_primary(),
                timeout: self.spec.primary_start_timeout,
            });
        }
    }
}
