//! One turn: the order of questions (contract §5.1). The first that applies gives the line of the turn.

use std::collections::BTreeSet;
use std::time::Duration;

use pgherd_domain::{
    Action, ClusterSpec, ClusterView, ControlData, DataDirectory, LiveSeen, Moment, Notice,
    Observation, PgState, PostgresSeen, Reason, StartAs, Upstream, Veto, Work, WorkKind,
};

use crate::memory::{Bootstrap, Memory, RestartWanted};
use crate::{Decision, publish};

/// Decides one turn. Reads nothing, writes nothing, never waits.
pub fn decide(spec: &ClusterSpec, memory: Memory, seen: &Observation) -> Decision {
    let mut turn = Turn::new(spec, memory, seen);
    turn.note_effects();
    turn.note_ended_work();
    turn.note_cluster();
    turn.answer_requests();
    turn.main_question();
    turn.refuse_restart_left_over();
    turn.keep_entry();
    turn.tell_hung_command();
    publish::finish(turn)
}

/// One turn in the making.
pub(crate) struct Turn<'a> {
    pub spec: &'a ClusterSpec,
    pub seen: &'a Observation,
    pub memory: Memory,
    pub actions: Vec<Action>,
    pub because: Vec<Reason>,
    pub notices: BTreeSet<Notice>,
    pub wake: Moment,
    /// The state to show when the turn knows better than what is seen.
    pub state: Option<PgState>,
    /// What the race found against this member, when there was one.
    pub race: Option<Vec<Veto>>,
    /// A restart that is to begin now.
    pub restart: Option<RestartWanted>,
    /// Why no client gets in.
    pub closed: Option<String>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(spec: &'a ClusterSpec, mut memory: Memory, seen: &'a Observation) -> Self {
        let wake = seen.now.plus(spec.loop_wait);
        let restart = memory.restart_waits.take();
        Self {
            spec,
            seen,
            memory,
            actions: Vec::new(),
            because: Vec::new(),
            notices: BTreeSet::new(),
            wake,
            state: None,
            race: None,
            restart,
            closed: None,
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

    /// The cluster as it was read last, however long ago.
    pub(crate) fn last_view(&self) -> Option<&'a ClusterView> {
        self.seen.dcs.last()
    }

    /// The leader key is mine: the store says so now, and the lease is good.
    pub(crate) fn i_lead(&self) -> bool {
        self.seen.lease.is_mine(self.now())
            && self
                .view()
                .and_then(|view| view.leader.as_ref())
                .is_some_and(|leader| leader.name == self.spec.me && leader.on_my_lease)
    }

    /// The leader key says my name, whatever the lease behind it.
    pub(crate) fn key_says_me(&self) -> bool {
        self.view().and_then(ClusterView::leader_name) == Some(&self.spec.me)
    }

    /// A primary that nothing allows to accept writes: no lease, no pause, no bootstrap.
    pub(crate) fn runs_without_lease(&self) -> bool {
        self.pg().runs_as_primary()
            && !self.spec.pause
            && self.memory.bootstrap == Bootstrap::No
            && !self.seen.lease.is_mine(self.now())
    }

    pub(crate) fn say(&mut self, reason: Reason) {
        self.because.push(reason);
    }

    /// Tells an operator something, as long as it holds.
    pub(crate) fn notice(&mut self, notice: Notice) {
        self.notices.insert(notice);
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
            timeout: self.spec.start_timeout,
        }
    }

    fn main_question(&mut self) {
        if self.demote_when_lease_ends() {
            return;
        }
        if self.seen.shutdown {
            return self.shut_down();
        }
        if self.keep_the_vote() {
            return;
        }
        if self.view().is_none() {
            return self.without_dcs();
        }
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
        if self.restart_on_request() {
            return;
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
}
