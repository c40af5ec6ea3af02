//! A leader steps down on order (contract §5.8), without a race and without a lost record:
//! checkpoint, stop, see that the successor has the last record, hand the key over. Until the key has
//! been handed over every failure resumes on this server.

use std::time::Duration;

use pgherd_domain::documents::FailoverDoc;
use pgherd_domain::{Action, Lsn, MemberName, Moment, Reason, Revision, StopMode, Work, WorkKind};

use crate::memory::{SwitchPhase, Switching};
use crate::turn::Turn;

/// How long a stopped leader looks for a member that has its last record before it resumes.
pub(crate) const SUCCESSOR_MAX: Duration = Duration::from_secs(5);
/// How long clients may go on while the checkpoint before the stop is written.
const CHECKPOINT_MAX: Duration = Duration::from_secs(60);
/// How long consumers of logical slots may take to confirm what they were sent.
const CONSUMERS_MAX: Duration = Duration::from_secs(5);
/// How long clients go on, before a stop, for a candidate to catch up that may have lost its connection a moment ago
/// (it tries again every 5 s). One that feeds on the archive alone is never as far, and has this server stop then.
const CATCH_UP_MAX: Duration = Duration::from_secs(6);
/// How often a candidate is asked meanwhile.
const CATCH_UP_STEP: Duration = Duration::from_millis(100);

impl Turn<'_> {
    /// Begins or continues a switchover. `true` when that is what this turn does.
    pub(crate) fn switch_on_order(&mut self) -> bool {
        if let Some(switching) = self.memory.switching.clone() {
            return self.continue_switch(&switching);
        }
        let Some(failover) = self.view().and_then(|view| view.failover.as_ref()) else {
            return false;
        };
        let (order, revision) = (failover.value.clone(), failover.revision);
        if order
            .leader
            .as_ref()
            .is_some_and(|leader| *leader != self.spec.me)
            || order.member.as_ref() == Some(&self.spec.me)
            || !self.is_due(&order, revision)
        {
            return false;
        }
        if self.spec.pause && order.member.is_none() {
            self.call_off_order(
                revision,
                "Switchover is possible only to a specific candidate in a paused state",
            );
            return false;
        }
        let since = self.asked_for_order(revision);
        let Some(candidates) = self.judge_candidates(&order, since) else {
            let to = order.member;
            self.say(Reason::Switching {
                to,
                phase: "asking the candidates",
            });
            return true;
        };
        if candidates.is_empty() {
            self.call_off_order(revision, "no good candidates have been found");
            return false;
        }
        self.begin_switch(order.member, revision);
        true
    }

    /// Whether the order's moment has come; one that is long past is cleared.
    pub(crate) fn is_due(&mut self, order: &FailoverDoc, revision: Revision) -> bool {
        let Some(schedule) = &order.scheduled_at else {
            return true;
        };
        if self.spec.pause {
            return false;
        }
        let seconds = self.seen.wall.seconds_until(schedule.at);
        let late = (self.spec.loop_wait.as_secs_f64() * 1.5).floor();
        if seconds > 0.0 {
            #[expect(clippy::cast_possible_truncation, reason = "a figure for people")]
            let whole = seconds.round() as i64;
            let at = schedule.text.clone();
            self.say(Reason::Awaiting {
                what: "switchover",
                at,
                seconds: whole,
            });
            self.wake_in(Duration::from_secs_f64(seconds.min(3600.0)));
            return false;
        }
        if -seconds > late {
            self.call_off_order(revision, "its moment has passed");
            return false;
        }
        true
    }

    pub(crate) fn call_off_order(&mut self, expected: Revision, why: &str) {
        self.say(Reason::SwitchCalledOff(why.to_owned()));
        let doc = FailoverDoc::default();
        self.actions.push(Action::WriteFailover { doc, expected });
    }

    /// A leader that is still starting is told to step down (contract §5.11): it stops, and the key goes. `true`: that is
    /// what this turn does.
    pub(crate) fn hand_over_while_starting(&mut self) -> bool {
        let Some(failover) = self.view().and_then(|view| view.failover.as_ref()) else {
            return false;
        };
        let (order, revision) = (failover.value.clone(), failover.revision);
        let someone_elses = order
            .leader
            .as_ref()
            .is_some_and(|leader| *leader != self.spec.me);
        let asks_nothing = order.leader.is_none() && order.member.is_none();
        // A switchover loses nothing: it waits for the server to come up, unless a standby in `/sync` has all commits
        // already. Only a manual failover accepts what asynchronous standbys lack.
        let may_lose = order.is_switchover() && self.sync_in_force().is_none();
        // A server that a switchover is stopping takes no connections either.
        if self.spec.pause
            || may_lose
            || self.memory.switching.is_some()
            || asks_nothing
            || someone_elses
            || order.member.as_ref() == Some(&self.spec.me)
            || !self.is_due(&order, revision)
        {
            return false;
        }
        let since = self.asked_for_order(revision);
        let Some(candidates) = self.judge_candidates(&order, since) else {
            self.say(Reason::Switching {
                to: order.member,
                phase: "asking the candidates",
            });
            return true;
        };
        if candidates.is_empty() {
            self.call_off_order(revision, "no good candidates have been found");
            return false;
        }
        self.memory.give_up_key = true;
        self.stop_now(if order.is_switchover() {
            "switchover: demoting myself"
        } else {
            "manual failover: demoting myself"
        });
        true
    }

    fn begin_switch(&mut self, to: Option<MemberName>, order: Revision) {
        let phase = SwitchPhase::Checkpoint;
        let began = self.now();
        self.memory.switching = Some(Switching {
            to: to.clone(),
            began,
            order,
            phase,
            race: false,
        });
        self.say(Reason::Switching {
            to,
            phase: "writing a checkpoint while clients go on",
        });
        self.begin(Work::Checkpoint);
    }

    /// The key is mine, PostgreSQL runs, and a switchover goes on.
    fn continue_switch(&mut self, switching: &Switching) -> bool {
        let to = switching.to.clone();
        match switching.phase {
            SwitchPhase::Checkpoint => {
                let waited = self.now().since(switching.began);
                let running = self.seen.work.kind() == Some(WorkKind::Checkpoint);
                if running && waited < CHECKPOINT_MAX {
                    self.say(Reason::Switching {
                        to,
                        phase: "writing a checkpoint while clients go on",
                    });
                    self.keep_sync();
                    self.wake_in(Duration::from_secs(1));
                    return !self.withdrawn(switching);
                }
                let position = self.live().map(|live| live.flushed).unwrap_or_default();
                self.await_consumers(switching, self.now(), position)
            }
            SwitchPhase::Consumers { since, position } => {
                self.await_consumers(switching, since, position)
            }
            SwitchPhase::Confirming { since, asked, goal } => {
                self.confirm_candidates(switching, since, asked, goal)
            }
            SwitchPhase::Stopping { since } => {
                // The stop ended, or was never begun, and the server still runs.
                if self.seen.work.kind().is_none() && self.now().since(since) > SUCCESSOR_MAX {
                    self.memory.switching = None;
                    self.call_off_order(switching.order, "PostgreSQL could not be stopped");
                    return false;
                }
                self.say(Reason::Switching {
                    to,
                    phase: "stopping PostgreSQL",
                });
                self.begin_fast_stop();
                true
            }
            // It runs again: the switchover was given up, and the server resumed.
            SwitchPhase::HandingOver { .. } => {
                self.memory.switching = None;
                self.call_off_order(switching.order, "no member had the last record; resumed");
                false
            }
        }
    }

    /// Consumers of the operator's logical slots confirm what was written up to now, so that they have little
    /// to ask of the new primary; one that does not is not waited for long.
    fn await_consumers(&mut self, switching: &Switching, since: Moment, position: Lsn) -> bool {
        let late = self.unconfirmed(position);
        if late.is_empty() || self.now().since(since) >= CONSUMERS_MAX {
            let (now, goal) = (self.now(), self.live().map(|live| live.flushed));
            return self.confirm_candidates(switching, now, now, goal.unwrap_or_default());
        }
        if self.withdrawn(switching) {
            return false;
        }
        if let Some(switching) = &mut self.memory.switching {
            switching.phase = SwitchPhase::Consumers { since, position };
        }
        self.say(Reason::Switching {
            to: switching.to.clone(),
            phase: "waiting for the consumers of logical slots",
        });
        self.keep_sync();
        self.wake_in(Duration::from_millis(200));
        true
    }

    /// The order was taken back while clients still go on. `true` when the switchover ends with that.
    fn withdrawn(&mut self, switching: &Switching) -> bool {
        let stands = self
            .view()
            .and_then(|view| view.failover.as_ref())
            .is_some_and(|failover| failover.revision == switching.order);
        if !stands {
            self.memory.switching = None;
            self.say(Reason::SwitchCalledOff("the order was withdrawn".into()));
        }
        !stands
    }

    /// The last moment at which the order costs nothing: is there still somebody to take over, who is as far as this
    /// server was? Clients would wait for one that is not, and a switchover resumes when it takes too long.
    fn confirm_candidates(
        &mut self,
        switching: &Switching,
        since: Moment,
        asked: Moment,
        goal: Lsn,
    ) -> bool {
        if self.withdrawn(switching) {
            return false;
        }
        let order = self
            .view()
            .and_then(|view| view.failover.as_ref())
            .map(|failover| failover.value.clone())
            .unwrap_or_default();
        let waited = self.now().since(since);
        let (phase, asked) = match self.judge_candidates(&order, asked) {
            None => ("asking the candidates", asked),
            Some(candidates) if candidates.is_empty() => {
                self.memory.switching = None;
                self.call_off_order(switching.order, "no good candidates have been found");
                return false;
            }
            Some(candidates)
                if waited < CATCH_UP_MAX && !self.is_there(&candidates, asked, goal) =>
            {
                self.wake_in(CATCH_UP_STEP);
                let later = self.now().plus(Duration::from_millis(1));
                ("waiting for a candidate to catch up", later)
            }
            Some(_) => {
                self.say(Reason::Says(if order.is_switchover() {
                    "switchover: demoting myself"
                } else {
                    "manual failover: demoting myself"
                }));
                self.stop_for_switch(switching);
                return true;
            }
        };
        if let Some(switching) = &mut self.memory.switching {
            switching.phase = SwitchPhase::Confirming { since, asked, goal };
        }
        self.say(Reason::Switching {
            to: switching.to.clone(),
            phase,
        });
        self.keep_sync();
        true
    }

    fn stop_for_switch(&mut self, switching: &Switching) {
        let to = switching.to.clone();
        let since = self.now();
        if let Some(switching) = &mut self.memory.switching {
            switching.phase = SwitchPhase::Stopping { since };
        }
        self.say(Reason::Switching {
            to,
            phase: "stopping PostgreSQL",
        });
        self.begin_fast_stop();
    }

    fn begin_fast_stop(&mut self) {
        self.begin(Work::Stop {
            mode: StopMode::Fast,
            escalate_at: self.stop_deadline(),
        });
        self.wake_in(Duration::from_millis(100));
    }

    /// While PostgreSQL stops the candidates are asked again and again, so that the successor is known
    /// the moment the last record is written.
    pub(crate) fn keep_candidates_fresh(&mut self) {
        self.wake_in(Duration::from_millis(200));
    }
}
