//! A long work goes on (contract §5.10): it is watched, and called off when its ground is gone.

use std::time::Duration;

use pgherd_domain::{Action, PgState, Reason, StartAs, Work, WorkKind};

use crate::memory::{Bootstrap, SwitchPhase};
use crate::turn::Turn;

impl Turn<'_> {
    /// `true` when the work that runs is all there is to say this turn.
    pub(crate) fn working(&mut self) -> bool {
        let Some((work, since, _)) = &self.seen.work.running else {
            return false;
        };
        let kind = work.kind();
        let leading = self.i_lead();
        self.state = state_of(work);
        match work {
            // A checkpoint holds nobody up: the turn goes on beside it.
            Work::Checkpoint => {
                self.state = None;
                return false;
            }
            Work::PrePromote
            | Work::Promote { .. }
            | Work::Start {
                start_as: StartAs::Primary { .. },
                ..
            } if !leading => {
                self.call_off(kind);
            }
            Work::Restart {
                start_as: StartAs::Primary { .. },
                ..
            } if !leading && !self.spec.pause => {
                self.call_off(kind);
            }
            Work::Clone { source, .. } | Work::Rewind { source } if self.is_gone(source) => {
                self.say(Reason::Note(format!("called off {kind}: {source} is gone")));
                self.actions.push(Action::CancelWork);
            }
            Work::Stop { .. } => self.watch_stop(leading),
            Work::Start {
                start_as: StartAs::Primary { .. },
                ..
            } if self.is_starting() && self.hand_over_while_starting() => {}
            Work::Bootstrap
            | Work::Clone { .. }
            | Work::Restore
            | Work::Rewind { .. }
            | Work::Start { .. }
            | Work::Restart { .. }
            | Work::PrePromote
            | Work::Promote { .. }
            | Work::CopySlots { .. }
            | Work::StopBefore { .. }
            | Work::CrashRecovery => self.tell_progress(kind, leading),
        }
        // Progress is shown about once a second.
        let shown = since.plus(Duration::from_secs(self.now().since(*since).as_secs() + 1));
        self.wake_at(shown);
        true
    }

    /// The postmaster runs and takes no connections yet.
    pub(crate) fn is_starting(&self) -> bool {
        self.pg().is_running() && !self.pg().accepting
    }

    fn tell_progress(&mut self, kind: WorkKind, leading: bool) {
        if leading && kind == WorkKind::Promote && self.spec.pause {
            return self.say(Reason::Says("waiting to become primary after promote..."));
        }
        self.say(Reason::WorkInProgress { kind, leading });
        let leaderless = self.view().is_some_and(|view| view.leader.is_none());
        if leaderless && self.memory.bootstrap == Bootstrap::No {
            self.say(Reason::Says("not healthy enough for leader race"));
        }
    }

    fn watch_stop(&mut self, leading: bool) {
        match &self.memory.switching {
            Some(_) if leading && self.has_shut_down() => self.switch_after_stop(),
            Some(switching) if matches!(switching.phase, SwitchPhase::Stopping { .. }) => {
                let to = switching.to.clone();
                self.say(Reason::Switching {
                    to,
                    phase: "stopping PostgreSQL",
                });
                self.keep_candidates_fresh();
            }
            Some(_) | None => {
                self.say(Reason::WorkInProgress {
                    kind: WorkKind::Stop,
                    leading,
                });
            }
        }
    }

    /// See [`pgherd_domain::PostgresSeen::has_shut_down`].
    pub(crate) fn has_shut_down(&self) -> bool {
        self.pg().has_shut_down()
    }

    fn call_off(&mut self, kind: WorkKind) {
        let promotes = matches!(kind, WorkKind::PrePromote | WorkKind::Promote);
        self.say(if promotes && !self.pg().runs_as_primary() {
            Reason::Says("lost leader before promote")
        } else {
            Reason::LostLockDuring(kind)
        });
        if self.pg().runs_as_primary() && !self.spec.pause {
            // What was to become a primary, or is one already, goes with the work.
            return self
                .stop_now("demoting self because I do not have the lock and I was a leader");
        }
        self.actions.push(Action::CancelWork);
        self.wake_in(Duration::from_millis(50));
    }

    /// The member that is copied from has left, and somebody else leads: waiting for it would hang.
    fn is_gone(&self, source: &pgherd_domain::Upstream) -> bool {
        let (Some(name), Some(view)) = (&source.name, self.view()) else {
            return false;
        };
        !view.members.contains_key(name)
            && view
                .leader_name()
                .is_some_and(|leader| leader != name && *leader != self.spec.me)
    }
}

/// The state to show while a work goes on.
const fn state_of(work: &Work) -> Option<PgState> {
    match work {
        Work::Bootstrap => Some(PgState::InitializingCluster),
        Work::Clone { .. } | Work::Restore => Some(PgState::CreatingReplica),
        Work::Start { .. } => Some(PgState::Starting),
        Work::Restart { .. } | Work::CopySlots { .. } | Work::StopBefore { .. } => {
            Some(PgState::Restarting)
        }
        Work::Stop { .. } => Some(PgState::Stopping),
        Work::CrashRecovery | Work::Rewind { .. } => Some(PgState::Stopped),
        Work::PrePromote | Work::Promote { .. } | Work::Checkpoint => None,
    }
}
