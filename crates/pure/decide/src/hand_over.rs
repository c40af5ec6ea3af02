//! PostgreSQL has stopped for a switchover: the successor is found and given the key (contract §5.8), or
//! this server resumes.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{
    Action, ControlData, ControlState, Lsn, MemberName, Moment, PeerStatus, Reason, StopMode,
    TimelineId, Work, WorkKind,
};

use crate::candidates::sort_best_first;
use crate::memory::{SwitchPhase, Switching};
use crate::switchover::SUCCESSOR_MAX;
use crate::turn::Turn;

impl Turn<'_> {
    /// PostgreSQL has stopped for a switchover, or died in one; or it has shut down and its postmaster still
    /// waits for somebody.
    pub(crate) fn switch_after_stop(&mut self) {
        let Some(switching) = self.memory.switching.clone() else {
            return;
        };
        if !self.i_lead() {
            // The key went elsewhere: a replica is started by the next turn's ordinary rules.
            self.memory.switching = None;
            self.wake_at(self.now());
            self.say(Reason::Switching {
                to: switching.to,
                phase: "the key has been taken over",
            });
            return;
        }
        let since = match switching.phase {
            SwitchPhase::HandingOver { since } => since,
            SwitchPhase::Checkpoint
            | SwitchPhase::Consumers { .. }
            | SwitchPhase::Confirming { .. }
            | SwitchPhase::Stopping { .. } => {
                let since = self.now();
                if let Some(switching) = &mut self.memory.switching {
                    switching.phase = SwitchPhase::HandingOver { since };
                }
                since
            }
        };
        let control = self
            .control()
            .filter(|control| control.state == ControlState::ShutDown);
        let Some(last) = control.map(LastRecord::of) else {
            return self.after_rough_stop(&switching, since);
        };
        if switching.race {
            self.say(Reason::Switching {
                to: switching.to,
                phase: "releasing the leader key",
            });
            self.actions.push(Action::ReleaseLeader {
                optime: Some(last.begin),
            });
            return;
        }
        self.find_successor(&switching, since, last);
    }

    /// There is no last record: the stop took longer than `primary_stop_timeout`, or PostgreSQL died in it. With a
    /// synchronous standby nothing that was acknowledged is missing elsewhere, and the key is free for those in
    /// `/sync`, as after the loss of this server; it would be away for longer while it recovers, and the operator
    /// wants to be rid of it. Otherwise it resumes.
    fn after_rough_stop(&mut self, switching: &Switching, since: Moment) {
        const WHY: &str = "PostgreSQL did not stop in good order";
        let Some(view) = self.view() else { return };
        let Some(sync) = self.sync_in_force() else {
            return self.resume(switching, WHY);
        };
        let mut others: BTreeMap<_, _> = self.others();
        others.retain(|name, _| view.members.contains_key(name) && sync.names(name));
        if let Some(to) = &switching.to {
            others.retain(|name, _| name == to);
        }
        let is_able = |name: &MemberName| {
            let answer = self.answer_of(name, since);
            answer.is_some_and(|peer| !self.is_barred(name, peer))
        };
        if others.keys().any(is_able) {
            self.say(Reason::Switching {
                to: switching.to.clone(),
                phase: "PostgreSQL did not stop in good order; releasing the leader key to a synchronous standby",
            });
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        if others.is_empty() || self.now().since(since) > SUCCESSOR_MAX {
            return self.resume(switching, WHY);
        }
        self.say(Reason::Switching {
            to: switching.to.clone(),
            phase: "asking the synchronous standbys",
        });
        let pause = Duration::from_millis(50);
        let ask_since = self.now().minus(pause).max(since);
        if self.ask_again(&others, ask_since, since) == 0 {
            self.wake_in(pause);
        }
    }

    fn find_successor(&mut self, switching: &Switching, since: Moment, last: LastRecord) {
        let Some(view) = self.view() else { return };
        let mut others: BTreeMap<_, _> = self.others();
        others.retain(|name, _| view.members.contains_key(name));
        if let Some(to) = &switching.to {
            others.retain(|name, _| name == to);
        } else if let Some(sync) = self.sync_in_force() {
            others.retain(|name, _| sync.names(name));
        }
        let mut able: Vec<(MemberName, PeerStatus)> = others
            .keys()
            .filter_map(|name| Some((name.clone(), self.answer_of(name, since)?.clone())))
            .filter(|(name, peer)| last.is_on(peer) && !self.is_barred(name, peer))
            .collect();
        sort_best_first(&mut able);
        if let Some((to, _)) = able.into_iter().next() {
            self.say(Reason::Switching {
                to: Some(to.clone()),
                phase: "handing the leader key over",
            });
            self.actions.push(Action::HandOver {
                to,
                optime: Some(last.begin),
            });
            self.wake_in(Duration::from_millis(200));
            return;
        }
        if self.now().since(since) > SUCCESSOR_MAX {
            if self.seen.work.kind() == Some(WorkKind::Stop) {
                return self.end_stop();
            }
            return self.resume(switching, "no candidate has the last record");
        }
        let to = switching.to.clone();
        self.say(Reason::Switching {
            to,
            phase: "waiting for a candidate to have the last record",
        });
        // Answers that came too early are asked for again, twenty times a second.
        let pause = Duration::from_millis(50);
        let ask_since = self.now().minus(pause).max(since);
        if self.ask_again(&others, ask_since, since) == 0 {
            self.wake_in(pause);
        }
    }

    /// The agent is to stop, the last record is written, and the postmaster still waits for somebody: the key is
    /// given up as soon as one member has that record (contract §5.12). An answer proves itself: nobody has a
    /// record before it is written.
    pub(crate) fn release_early(&mut self) {
        let Some(last) = self.control().map(LastRecord::of) else {
            return;
        };
        let mut others = self.others();
        if let Some(sync) = self.sync_in_force() {
            others.retain(|name, _| sync.names(name));
        }
        let now = self.now();
        let has_it = others.keys().any(|name| {
            let answer = self.answer_of(name, now.minus(SUCCESSOR_MAX));
            answer.is_some_and(|peer| last.is_on(peer) && !self.is_barred(name, peer))
        });
        if has_it {
            let optime = Some(last.begin);
            self.actions.push(Action::ReleaseLeader { optime });
            return;
        }
        let pause = Duration::from_millis(50);
        if self.ask_again(&others, now.minus(pause), now.minus(SUCCESSOR_MAX)) == 0 {
            self.wake_in(pause);
        }
    }

    /// Nobody could take over, and the postmaster still waits: it can not resume before that is over.
    fn end_stop(&mut self) {
        self.say(Reason::Says("stopping PostgreSQL to start it again"));
        let stop = Work::Stop {
            mode: StopMode::Immediate,
            escalate_at: Some(self.now()),
        };
        self.actions.push(Action::CancelWork);
        self.actions.push(Action::Begin(stop));
        self.wake_in(Duration::from_millis(100));
    }

    /// Nobody could take over: this server goes on as the primary.
    fn resume(&mut self, switching: &Switching, why: &str) {
        if !self.watchdog_counts() {
            return;
        }
        self.close_if_unconfirmed();
        self.memory.switching = None;
        self.call_off_order(switching.order, why);
        self.say(Reason::Says("starting primary after failure"));
        self.begin(Work::Start {
            start_as: self.start_as_primary(),
            timeout: self.spec.primary_start_timeout,
        });
    }
}

/// The shutdown checkpoint of a primary that has stopped in good order: the end of its WAL.
#[derive(Debug, Clone, Copy)]
struct LastRecord {
    timeline: TimelineId,
    begin: Lsn,
    end: Option<Lsn>,
}

impl LastRecord {
    const fn of(control: &ControlData) -> Self {
        Self {
            timeline: control.timeline,
            begin: control.checkpoint,
            end: control.checkpoint_end,
        }
    }

    /// Whether `peer` has it: it is at its end, or, where that is not known, beyond its beginning. Who has
    /// gone on on a later timeline has not.
    fn is_on(self, peer: &PeerStatus) -> bool {
        let has = match self.end {
            Some(end) => peer.position >= end,
            None => peer.position > self.begin,
        };
        has && peer.timeline <= Some(self.timeline)
    }
}
