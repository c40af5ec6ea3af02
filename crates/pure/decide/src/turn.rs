//! One turn: the order of questions (contract §5.1). The first that applies gives the line of the turn.

use std::time::Duration;

use pgherd_domain::{
    Action, ClusterSpec, ClusterView, ControlData, DataDirectory, Effect, LiveSeen, Moment,
    Observation, Outcome, PgRole, PgState, PostgresSeen, Reason, StartAs, Upstream, Veto, Work,
    WorkError, WorkKind,
};

use crate::memory::{Backoff, Bootstrap, Divergence, Memory, OldDirectory};
use crate::{Decision, publish};

/// Decides one turn. Reads nothing, writes nothing, never waits.
pub fn decide(spec: &ClusterSpec, memory: Memory, seen: &Observation) -> Decision {
    let mut turn = Turn::new(spec, memory, seen);
    turn.note_effects();
    turn.note_ended_work();
    turn.note_cluster();
    turn.answer_requests();
    turn.main_question();
    publish::finish(turn)
}

/// One turn in the making.
pub(crate) struct Turn<'a> {
    pub spec: &'a ClusterSpec,
    pub seen: &'a Observation,
    pub memory: Memory,
    pub actions: Vec<Action>,
    pub because: Vec<Reason>,
    pub wake: Moment,
    /// The state to show when the turn knows better than what is seen.
    pub state: Option<PgState>,
    /// What the race found against this member, when there was one.
    pub race: Option<Vec<Veto>>,
}

impl<'a> Turn<'a> {
    fn new(spec: &'a ClusterSpec, memory: Memory, seen: &'a Observation) -> Self {
        let wake = seen.now.plus(spec.loop_wait);
        Self {
            spec,
            seen,
            memory,
            actions: Vec::new(),
            because: Vec::new(),
            wake,
            state: None,
            race: None,
        }
    }

    pub(crate) const fn now(&self) -> Moment {
        self.seen.now
    }

    pub(crate) const fn pg(&self) -> &'a PostgresSeen {
        &self.seen.postgres
    }

    /// What PostgreSQL said this turn.
    pub(crate) const fn live(&self) -> Option<&'a LiveSeen> {
        self.seen.postgres.live.known()
    }

    pub(crate) const fn control(&self) -> Option<&'a ControlData> {
        self.seen.postgres.control()
    }

    /// The cluster as read this turn.
    pub(crate) const fn view(&self) -> Option<&'a ClusterView> {
        self.seen.dcs.known()
    }

    /// The leader key is mine: the store says so now, and the lease is good.
    pub(crate) fn i_lead(&self) -> bool {
        self.seen.lease.is_mine(self.now())
            && self
                .view()
                .and_then(|view| view.leader.as_ref())
                .is_some_and(|leader| leader.name == self.spec.me && leader.on_my_lease)
    }

    pub(crate) fn say(&mut self, reason: Reason) {
        self.because.push(reason);
    }

    pub(crate) fn wake_at(&mut self, moment: Moment) {
        self.wake = self.wake.min(moment);
    }

    pub(crate) fn wake_in(&mut self, span: Duration) {
        self.wake_at(self.now().plus(span));
    }

    /// Begins a work if nothing more important runs: only a checkpoint gives way.
    pub(crate) fn begin(&mut self, work: Work) {
        match self.seen.work.kind() {
            None => self.actions.push(Action::Begin(work)),
            Some(WorkKind::Checkpoint) => self.preempt(work),
            Some(_) => {}
        }
    }

    /// Begins a work in the place of whatever runs; a stop that runs is left to end.
    pub(crate) fn preempt(&mut self, work: Work) {
        match self.seen.work.kind() {
            Some(WorkKind::Stop) => return,
            Some(_) => self.actions.push(Action::CancelWork),
            None => {}
        }
        self.actions.push(Action::Begin(work));
    }

    pub(crate) fn start_replica(&self, upstream: Option<Upstream>) -> Work {
        Work::Start {
            start_as: StartAs::Replica { upstream },
            timeout: self.spec.primary_start_timeout,
        }
    }

    fn main_question(&mut self) {
        if self.seen.shutdown {
            return self.shut_down();
        }
        if self.demote_when_lease_ends() {
            return;
        }
        if self.view().is_none() {
            return self.without_dcs();
        }
        self.memory.primary_without_lease_since = None;
        if self.working() || self.bootstrapping() {
            return;
        }
        match &self.pg().data {
            DataDirectory::Empty => return self.without_data(),
            DataDirectory::Inaccessible { why } => return self.inaccessible(why),
            DataDirectory::Invalid { why } => return self.invalid(why),
            DataDirectory::Cluster(control) => {
                if self.other_cluster(control) {
                    return;
                }
            }
        }
        if self.memory.reinitialize.is_some() {
            return self.make_anew();
        }
        if !self.pg().is_running() {
            return self.recover();
        }
        if !self.pg().accepting {
            return self.starting();
        }
        match self.view().and_then(ClusterView::leader_name) {
            None => self.without_leader(),
            Some(leader) if *leader == self.spec.me => self.with_my_key(),
            Some(leader) => self.follow(&leader.clone()),
        }
    }

    /// What came of the last turn's writes, where the next step depends on it.
    fn note_effects(&mut self) {
        for Effect { action, outcome } in &self.seen.effects {
            match (action, outcome) {
                (Action::TakeInitialize, Outcome::Done) => self.memory.bootstrap = Bootstrap::Mine,
                (Action::HandOver { to, .. }, Outcome::Done) => {
                    self.memory.switching = None;
                    self.memory.divergence = Divergence::None { leader: to.clone() };
                }
                (Action::HandOver { .. }, Outcome::Refused) => {
                    if let Some(switching) = &mut self.memory.switching {
                        switching.race = true;
                    }
                }
                (Action::ReleaseLeader { .. }, Outcome::Done) => {
                    self.memory.switching = None;
                    let sit_out = self.spec.loop_wait.max(Duration::from_secs(2));
                    self.memory.sit_out_until = Some(self.now().plus(sit_out));
                }
                (Action::Adjust(pgherd_domain::Adjustment::ForgetOldDirectory), Outcome::Done) => {
                    self.memory.old_directory = OldDirectory::Gone;
                }
                (Action::DeleteInitialize { .. }, Outcome::Done) => {
                    self.memory.orphaned_initialize_since = None;
                }
                // An unknown outcome needs nothing: this turn has read the store again, and every
                // conditional write can be repeated.
                (_, Outcome::Done | Outcome::Refused | Outcome::Unknown(_)) => {}
            }
        }
    }

    /// How the long work ended, where the next step depends on it.
    fn note_ended_work(&mut self) {
        let Some(end) = &self.seen.work.ended else {
            return;
        };
        let now = self.now();
        let kind = end.work.kind();
        self.answer_restart(kind, &end.result);
        if let Err(error) = &end.result
            && *error != WorkError::Cancelled
        {
            self.memory.backoff.failed(now);
            let why = error.to_string();
            self.because.push(Reason::WorkFailed { kind, why });
        }
        let ok = end.result.is_ok();
        match &end.work {
            Work::Bootstrap => {
                self.memory.bootstrap = if ok {
                    Bootstrap::Created
                } else {
                    Bootstrap::Failed
                };
            }
            Work::Clone { source } if ok => {
                self.memory.backoff.succeeded();
                self.memory.reinitialize = None;
                self.memory.old_directory = OldDirectory::Unknown;
                self.memory.divergence = match &source.name {
                    Some(leader) => Divergence::None {
                        leader: leader.clone(),
                    },
                    None => Divergence::Unchecked,
                };
            }
            Work::Rewind { source } => match (&end.result, &source.name) {
                (Ok(()), Some(leader)) => {
                    self.memory.divergence = Divergence::None {
                        leader: leader.clone(),
                    };
                }
                (Err(WorkError::Hopeless(_)), _) => self.memory.divergence = Divergence::Hopeless,
                (Ok(()) | Err(_), _) => {}
            },
            Work::CrashRecovery if ok => self.memory.crash_recovered = true,
            Work::Start { .. } | Work::Restart { .. } if ok => self.memory.backoff.succeeded(),
            Work::Checkpoint if ok => {
                self.memory.checkpointed = self.live().map(|live| live.timeline);
            }
            Work::Clone { .. }
            | Work::CrashRecovery
            | Work::Start { .. }
            | Work::Restart { .. }
            | Work::Checkpoint
            | Work::Stop { .. }
            | Work::Promote { .. } => {}
        }
    }

    /// What must be remembered of the cluster for the time when it can not be seen.
    fn note_cluster(&mut self) {
        if let Some(live) = self.live() {
            self.memory.role = if live.in_recovery {
                PgRole::Replica
            } else {
                PgRole::Primary
            };
            self.memory.crash_recovered = false;
        }
        let Some(view) = self.view() else { return };
        if let Some(leader) = view.leader_name() {
            self.memory.leaderless_since = None;
            self.memory.last_position = None;
            self.memory.last_members.clone_from(&view.members);
            if self.memory.last_leader.as_ref() != Some(leader) {
                self.memory.last_leader = Some(leader.clone());
                self.memory.not_streaming_since = None;
                let known = matches!(
                    &self.memory.divergence, Divergence::None { leader: checked } if checked == leader
                );
                if !known && *leader != self.spec.me {
                    self.memory.divergence = Divergence::Unchecked;
                    self.memory.backoff = Backoff {
                        failures: 0,
                        not_before: None,
                    };
                }
            }
        } else {
            self.memory.leaderless_since.get_or_insert(self.seen.now);
        }
    }
}
