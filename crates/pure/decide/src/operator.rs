//! What operators ask of this member (contract §5.13, §16.7): each request is answered once.

use std::time::Duration;

use pgherd_domain::{
    Action, Answer, Operation, PgRole, Reason, Refusal, Request, RequestId, ServerVersion, StartAs,
    Work, WorkError, WorkKind,
};

use crate::memory::{RestartWanted, ScheduledRestart};
use crate::turn::Turn;

impl Turn<'_> {
    /// Takes the requests of this turn in.
    pub(crate) fn answer_requests(&mut self) {
        for Request { id, operation } in &self.seen.requests {
            match operation {
                Operation::Restart {
                    schedule: None,
                    timeout,
                    ..
                } => {
                    self.restart_now(*id, operation, *timeout);
                }
                Operation::Restart {
                    schedule: Some(_), ..
                } => self.plan_restart(*id, operation),
                Operation::CancelRestart => match self.memory.scheduled_restart.take() {
                    Some(_) => self.answer(*id, Answer::Done("scheduled restart deleted".into())),
                    None => self.refuse(*id, Refusal::NotFound, "no restarts are scheduled"),
                },
                Operation::Reinitialize { force, from_leader } => {
                    self.reinitialize_on_request(*id, *force, *from_leader);
                }
                Operation::StopBefore { time } => self.stop_before_on_request(*id, *time),
            }
        }
    }

    pub(crate) fn answer(&mut self, to: RequestId, answer: Answer) {
        self.actions.push(Action::Answer { to, answer });
    }

    pub(crate) fn refuse(&mut self, to: RequestId, refusal: Refusal, text: impl Into<String>) {
        self.answer(to, Answer::Refused(refusal, text.into()));
    }

    fn restart_now(&mut self, id: RequestId, operation: &Operation, timeout: Option<Duration>) {
        let busy = self
            .seen
            .work
            .kind()
            .filter(|kind| *kind != WorkKind::Checkpoint);
        if let Some(kind) = busy {
            return self.refuse(
                id,
                Refusal::Unavailable,
                format!("{kind} already in progress"),
            );
        }
        if self.memory.switching.is_some() {
            return self.refuse(id, Refusal::Unavailable, "switchover already in progress");
        }
        if self.restart.is_some() {
            return self.refuse(id, Refusal::Unavailable, "restart already in progress");
        }
        if self.pg().is_running() && !self.pg().accepting {
            return self.refuse(id, Refusal::Unavailable, "postgres is still starting");
        }
        if !self.restart_conditions_hold(operation) {
            let text = "restart conditions are not satisfied";
            return self.refuse(id, Refusal::Unavailable, text);
        }
        if self.pg().control().is_none() {
            return self.refuse(id, Refusal::Unavailable, "restart failed");
        }
        self.restart = Some(RestartWanted {
            id: Some(id),
            timeout,
        });
    }

    /// Restarts as an operator asks, if nothing that matters more came first. `true` when that is what
    /// this turn does.
    pub(crate) fn restart_on_request(&mut self) -> bool {
        let running = self.pg().is_running();
        let allowed = if running {
            !self.pg().runs_as_primary() || self.may_be_primary()
        } else {
            self.spec.pause
        };
        if !allowed || self.begins_work() {
            return false;
        }
        let Some(wanted) = self.restart else {
            return false;
        };
        self.restart = None;
        if self.waits_to_leave_sync() {
            self.memory.restart_waits = Some(wanted);
            return true;
        }
        if self.i_lead() {
            self.close_if_unconfirmed();
        }
        self.memory.restarting = wanted.id;
        self.say(Reason::Note("restarting PostgreSQL".into()));
        let start_as = self.start_as_it_is();
        let timeout = wanted
            .timeout
            .unwrap_or_else(|| self.start_timeout(&start_as));
        self.begin(Work::Restart { start_as, timeout });
        true
    }

    /// How long a start on order may take. A `primary_start_timeout` of 0 is about crashes: who orders a restart wants
    /// the server back.
    fn start_timeout(&self, start_as: &StartAs) -> Duration {
        match start_as {
            StartAs::Primary { .. } if !self.spec.primary_start_timeout.is_zero() => {
                self.spec.primary_start_timeout
            }
            StartAs::Primary { .. } | StartAs::Replica { .. } => self.spec.start_timeout,
        }
    }

    /// A primary may be started again: the key is mine, or the cluster is paused and nobody else has it.
    pub(crate) fn may_be_primary(&self) -> bool {
        let others = self
            .view()
            .and_then(|view| view.leader_name())
            .is_some_and(|leader| *leader != self.spec.me);
        self.i_lead() || (self.spec.pause && !others)
    }

    /// What this turn had to do instead of the restart has made it impossible.
    pub(crate) fn refuse_restart_left_over(&mut self) {
        let Some(wanted) = self.restart.take() else {
            return;
        };
        self.memory.leaving_sync_since = None;
        if let Some(id) = wanted.id {
            let text = self.why_not_restarted();
            self.refuse(id, Refusal::Unavailable, text);
        }
    }

    /// In pause a second primary is the operator's doing; this agent starts none.
    fn why_not_restarted(&self) -> String {
        let other = self.view().and_then(|view| view.leader_name());
        match other.filter(|leader| **leader != self.spec.me) {
            Some(leader) if self.spec.pause && self.pg().runs_as_primary() => format!(
                "restart failed: PostgreSQL runs as a primary, and {leader} leads; stop it by hand, and it is \
                 restarted as a replica"
            ),
            Some(_) | None => "restart failed".to_owned(),
        }
    }

    fn restart_conditions_hold(&self, operation: &Operation) -> bool {
        let Operation::Restart {
            role,
            older_than,
            only_pending,
            ..
        } = operation
        else {
            return false;
        };
        // One that does not run has the role it ran in.
        let was_primary = !self.pg().is_running()
            && matches!(self.memory.role, PgRole::Primary | PgRole::Demoted);
        let is = if self.pg().runs_as_primary() || was_primary {
            PgRole::Primary
        } else if self.i_lead() && self.is_standby_cluster() {
            PgRole::StandbyLeader
        } else {
            PgRole::Replica
        };
        let live = self.pg().live.last();
        role.is_none_or(|role| role == is)
            && older_than.is_none_or(|version| {
                live.is_some_and(|live| live.version < ServerVersion(version))
            })
            && (!only_pending || live.is_some_and(|live| !live.pending_restart.is_empty()))
    }

    fn plan_restart(&mut self, id: RequestId, operation: &Operation) {
        if self.spec.pause {
            let text = "Can't schedule restart in the paused state";
            return self.refuse(id, Refusal::Impossible, text);
        }
        if self.memory.scheduled_restart.is_some() {
            let text = "Another restart is already scheduled";
            return self.refuse(id, Refusal::Conflict, text);
        }
        let started = self
            .pg()
            .live
            .last()
            .map_or_else(String::new, |live| live.started_at.clone());
        self.memory.scheduled_restart = Some(ScheduledRestart {
            operation: operation.clone(),
            postmaster_started: started,
        });
        self.answer(id, Answer::Accepted("Restart scheduled".into()));
    }

    /// Restarts when the planned moment has come. `true` when that is what this turn does.
    pub(crate) fn restart_on_schedule(&mut self) -> bool {
        let Some(planned) = self.memory.scheduled_restart.clone() else {
            return false;
        };
        let Operation::Restart {
            schedule: Some((text, at)),
            timeout,
            ..
        } = &planned.operation
        else {
            return false;
        };
        let Some(live) = self.live() else {
            return false;
        };
        if live.started_at != planned.postmaster_started {
            self.memory.scheduled_restart = None;
            self.say(Reason::Note(
                "scheduled restart dropped: PostgreSQL was restarted".into(),
            ));
            return false;
        }
        if self.spec.pause {
            return false;
        }
        let seconds = self.seen.wall.seconds_until(*at);
        if seconds > 0.0 {
            self.wake_in(Duration::from_secs_f64(seconds.min(3600.0)));
            return false;
        }
        self.memory.scheduled_restart = None;
        if -seconds > (self.spec.loop_wait.as_secs_f64() * 1.5).floor() {
            self.say(Reason::Note(format!(
                "scheduled restart dropped: {text} has passed"
            )));
            return false;
        }
        if !self.restart_conditions_hold(&planned.operation) {
            self.say(Reason::Note(
                "scheduled restart dropped: conditions are not satisfied".into(),
            ));
            return false;
        }
        self.say(Reason::Note(format!("restarting as scheduled for {text}")));
        self.restart = Some(RestartWanted {
            id: None,
            timeout: *timeout,
        });
        self.restart_on_request()
    }

    /// The restart that an operator waits for has ended.
    pub(crate) fn answer_restart(&mut self, kind: WorkKind, result: &Result<(), WorkError>) {
        // A restart whose lease ended between stop and start goes on as a start.
        let ends = match kind {
            WorkKind::Restart => *result != Err(WorkError::LeaseEnded),
            WorkKind::Start => true,
            WorkKind::Bootstrap
            | WorkKind::Clone
            | WorkKind::Restore
            | WorkKind::Stop
            | WorkKind::PrePromote
            | WorkKind::Promote
            | WorkKind::Checkpoint
            | WorkKind::CrashRecovery
            | WorkKind::Rewind
            | WorkKind::CopySlots
            | WorkKind::StopBefore => false,
        };
        if !ends {
            return;
        }
        self.memory.leaving_sync_since = None;
        let Some(id) = self.memory.restarting.take() else {
            return;
        };
        match result {
            Ok(()) => self.answer(id, Answer::Done("restarted successfully".into())),
            Err(error) => {
                self.refuse(id, Refusal::Unavailable, format!("restart failed: {error}"));
            }
        }
    }

    fn reinitialize_on_request(&mut self, id: RequestId, force: bool, from_leader: bool) {
        let Some(view) = self.view() else {
            let text = "Cluster has no leader, can not reinitialize";
            return self.refuse(id, Refusal::Unavailable, text);
        };
        match view.leader_name() {
            None => {
                let text = "Cluster has no leader, can not reinitialize";
                return self.refuse(id, Refusal::Unavailable, text);
            }
            Some(leader) if *leader == self.spec.me => {
                let text = "I am the leader, can not reinitialize";
                return self.refuse(id, Refusal::Unavailable, text);
            }
            Some(_) => {}
        }
        let busy = self.seen.work.kind().or_else(|| {
            self.memory
                .reinitialize
                .is_some()
                .then_some(WorkKind::Clone)
        });
        if let Some(kind) = busy {
            if !force {
                return self.refuse(
                    id,
                    Refusal::Unavailable,
                    format!("{kind} already in progress"),
                );
            }
            if self.seen.work.running.is_some() {
                self.actions.push(Action::CancelWork);
            }
        }
        self.memory.reinitialize = Some(from_leader);
        self.memory.backoff.succeeded();
        self.answer(id, Answer::Done("reinitialize started".into()));
        self.wake_in(Duration::from_millis(10));
    }
}
