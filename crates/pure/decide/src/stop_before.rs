//! A delayed standby (`recovery_min_apply_delay`, contract §15): never a candidate, and on request stopped before
//! a given time, so that what was dropped on the primary since can be read from it.

use pgherd_domain::{Answer, LiveSeen, Refusal, RequestId, WallTime, Work, WorkError, WorkKind};

use crate::turn::Turn;

impl Turn<'_> {
    /// Replay waits on purpose, as far as the server has last said.
    pub(crate) fn is_held_back(&self) -> bool {
        let waits = |live: &LiveSeen| {
            live.in_recovery && (!live.apply_delay.is_zero() || live.stop_before.is_some())
        };
        self.pg().is_running() && self.pg().live.last().is_some_and(waits)
    }

    /// Replay is to stop before `time`, or to go on.
    pub(crate) fn stop_before_on_request(&mut self, id: RequestId, time: Option<WallTime>) {
        if let Err((refusal, text)) = self.may_move_end(time) {
            return self.refuse(id, refusal, text);
        }
        let stopped = self.live().is_some_and(|live| live.stop_before.is_some());
        if time.is_none() && !stopped {
            return self.answer(id, Answer::Done("replay goes on already".into()));
        }
        self.memory.moving_end = Some(id);
        self.begin(Work::StopBefore {
            time: time.map(WallTime::iso),
            upstream: self.memory.last_upstream.clone(),
            timeout: self.spec.start_timeout,
        });
    }

    fn may_move_end(&self, time: Option<WallTime>) -> Result<(), (Refusal, String)> {
        let me = &self.spec.me;
        let Some(live) = self.live() else {
            let text = format!("PostgreSQL on {me} does not answer; try again when it runs");
            return Err((Refusal::Unavailable, text));
        };
        if !live.in_recovery || self.key_says_me() {
            let text =
                format!("{me} is the primary; only a delayed standby can stop before a time");
            return Err((Refusal::Unavailable, text));
        }
        let busy = self.seen.work.kind();
        if let Some(kind) = busy.filter(|kind| *kind != WorkKind::Checkpoint) {
            return Err((Refusal::Unavailable, format!("{kind} already in progress")));
        }
        let Some(time) = time else { return Ok(()) };
        if !self.is_held_back() {
            let text = format!(
                "{me} is no delayed standby: set `postgresql.recovery_conf.recovery_min_apply_delay` in its own \
                 configuration; now it has replayed everything, so only a backup still has what you look for"
            );
            return Err((Refusal::Conflict, text));
        }
        let replayed = live.replayed_at.as_deref().and_then(WallTime::parse);
        match replayed {
            Some(replayed) if replayed >= time => {
                let text = format!(
                    "{me} has already replayed up to {}, which is not before {}: it can not go back; \
                     restore a backup up to that time instead",
                    replayed.iso(),
                    time.iso()
                );
                Err((Refusal::Conflict, text))
            }
            // Nothing was replayed since its start, but nothing younger than the delay can have been before.
            None if self.seen.wall.seconds_until(time) > -live.apply_delay.as_secs_f64() => Ok(()),
            // A server whose data are consistent only after the time would not start any more.
            None => {
                let text = format!(
                    "{me} has replayed no commit since it was started, so it is not known where it stands; \
                     try again after the next one"
                );
                Err((Refusal::Unavailable, text))
            }
            Some(_) => Ok(()),
        }
    }

    /// The work that moves the end of replay is over.
    pub(crate) fn answer_stop_before(&mut self, result: &Result<(), WorkError>) {
        let Some(id) = self.memory.moving_end.take() else {
            return;
        };
        match result {
            Ok(()) => {
                let me = &self.spec.me;
                let text = format!("{me} was started again with the new end of replay");
                self.answer(id, Answer::Done(text));
            }
            Err(error) => self.refuse(id, Refusal::Unavailable, format!("not done: {error}")),
        }
    }
}
