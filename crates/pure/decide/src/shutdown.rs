//! The agent is to stop (contract §5.12): PostgreSQL goes first, then the key, then the agent.

use std::time::Duration;

use pgherd_domain::{
    Action, ControlState, Effect, Moment, Outcome, Reason, StopMode, SyncMode, Work, WorkEnd,
    WorkError, WorkKind,
};

use crate::lease::{demote_budget, fence_margin, serves_until};
use crate::turn::Turn;

impl Turn<'_> {
    /// One turn of a shutdown.
    pub(crate) fn shut_down(&mut self) {
        self.wake_in(Duration::from_millis(200));
        let exit = Action::Exit { because: None };
        if self.spec.pause {
            let line = "Leader key is not deleted and Postgresql is not stopped due paused state";
            self.say(Reason::Says(line));
            if self.seen.work.running.is_some() {
                self.actions.push(Action::CancelWork);
            }
            self.actions.push(exit);
            return;
        }
        self.say(Reason::Says("shutting down"));
        if self.seen.work.kind() == Some(WorkKind::Stop) {
            if self.i_lead() && self.has_shut_down() {
                self.release_early();
            }
            return;
        }
        if self.pg().is_running() && self.waits_to_leave_sync() {
            return;
        }
        if self.pg().is_running() {
            let span = self.seen.watchdog.span_of(self.spec.ttl);
            let escalate_at = serves_until(&self.seen.lease, &self.seen.watchdog)
                .map(|until| until.minus(fence_margin(span)))
                .filter(|_| self.seen.lease.trouble.is_some());
            let ordered = self.stop_deadline();
            self.preempt(Work::Stop {
                mode: StopMode::Fast,
                escalate_at: escalate_at.into_iter().chain(ordered).min(),
            });
            return;
        }
        if self.seen.work.running.is_some() {
            // What it has begun shows only when it is gone: a server that comes up must not be left behind.
            self.actions.push(Action::CancelWork);
            return self.wake_at(self.now());
        }
        let by_itself = |end: &WorkEnd| {
            end.work.kind() != WorkKind::Stop && end.result != Err(WorkError::Cancelled)
        };
        if self.seen.work.ended.as_ref().is_some_and(by_itself) {
            // It may have brought the server up after this turn looked at it.
            return self.wake_at(self.now());
        }
        let tried = self.seen.effects.iter().any(|Effect { action, outcome }| {
            matches!(action, Action::ReleaseLeader { .. }) && *outcome != Outcome::Done
        });
        let budget_left = self.seen.lease.left(self.now()) > demote_budget(self.spec.ttl);
        if self.i_lead() && (!tried || budget_left) {
            let optime = self
                .control()
                .filter(|control| control.state == ControlState::ShutDown)
                .map(|control| control.checkpoint);
            self.actions.push(Action::ReleaseLeader { optime });
            return;
        }
        self.actions.push(exit);
    }

    /// When the stop of a primary has taken long enough: with synchronous standbys an immediate stop loses nothing that
    /// was acknowledged (`primary_stop_timeout`, contract §5.8).
    pub(crate) fn stop_deadline(&self) -> Option<Moment> {
        let timeout = self.spec.primary_stop_timeout?;
        let asked_for = self.spec.synchronous_mode != SyncMode::Off && self.pg().runs_as_primary();
        asked_for.then(|| self.now().plus(timeout))
    }

    /// A synchronous standby that is about to stop asks to be taken out of `/sync` first, so that no
    /// commit waits for it. `true` while that is waited for; no longer than two `loop_wait` (contract §5.12).
    pub(crate) fn waits_to_leave_sync(&mut self) -> bool {
        let asked_for = self.live().is_some_and(|live| live.in_recovery)
            && self.view().is_some_and(|view| view.leader.is_some())
            && !self.key_says_me()
            && self
                .sync_in_force()
                .is_some_and(|sync| sync.has_standby(&self.spec.me));
        if !asked_for {
            return false;
        }
        let now = self.now();
        let since = *self.memory.leaving_sync_since.get_or_insert(now);
        if now.since(since) >= self.spec.loop_wait * 2 {
            return false;
        }
        self.say(Reason::Says(
            "Waiting for primary to release us from synchronous standby",
        ));
        self.wake_in(Duration::from_millis(200));
        true
    }
}
