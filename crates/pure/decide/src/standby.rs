//! A standby cluster (contract §14): its leader is a replica of another cluster, and nobody here accepts
//! writes. Removing the section promotes the leader, adding it demotes the primary.
//!
//! The other cluster is the judge of everybody's history: it alone writes.

use std::time::Duration;

use pgherd_domain::documents::RegionOrder;
use pgherd_domain::{
    Action, Adjustment, DataDirectory, Effect, LiveSeen, MemberName, Outcome, PgRole, PgState,
    Question, Reason, StopMode, TimelineId, Upstream, Work,
};

use crate::following::is_streaming_from;
use crate::memory::Divergence;
use crate::turn::Turn;

/// How long a primary that is to follow another cluster asks that one who it is, before it obeys unasked.
const ASKING_MAX: Duration = Duration::from_secs(5);

/// How many promotions of a region that was given up can be told from the one that took its place: two timelines
/// of one number that fork at the same position can not be told apart, neither by PostgreSQL nor by pg_rewind.
const TIMELINES_LEFT: u32 = 15;

impl Turn<'_> {
    /// Whether this member takes part in a standby cluster. A section that can not be meant (it names a
    /// member of this cluster, or servers of a third one) makes no primary give its clients up.
    pub(crate) fn is_standby_cluster(&self) -> bool {
        self.spec.standby.is_some() && !(self.section_is_wrong() && self.is_or_was_primary())
    }

    /// The servers of the other cluster, when they are named and are not our own.
    pub(crate) fn remote(&self) -> Option<Upstream> {
        let remote = self.spec.standby.as_ref()?.upstream.clone()?;
        self.named_member().is_none().then_some(remote)
    }

    /// Whose history decides whether the local WAL fits: the other cluster's in a standby cluster.
    pub(crate) fn judge(&self, leader: &Upstream) -> Upstream {
        let remote = self.is_standby_cluster().then(|| self.remote()).flatten();
        remote.unwrap_or_else(|| leader.clone())
    }

    /// The member of this very cluster that `standby_cluster` names.
    pub(crate) fn named_member(&self) -> Option<MemberName> {
        let remote = self.spec.standby.as_ref()?.upstream.as_ref()?;
        let is_named = |(host, port): (String, u16)| {
            let mut named = remote.ends();
            named.any(|(name, its_port)| name == host && its_port == port)
        };
        let view = self.view().or_else(|| self.seen.dcs.last())?;
        view.members
            .iter()
            .find(|(_, member)| member.address().is_some_and(is_named))
            .map(|(name, _)| name.clone())
    }

    fn section_is_wrong(&self) -> bool {
        self.memory.foreign_remote || self.named_member().is_some()
    }

    fn is_or_was_primary(&self) -> bool {
        if self.pg().is_running() {
            return self.pg().runs_as_primary();
        }
        !self.pg().standby_signal
            && self
                .control()
                .is_some_and(|control| control.state.was_primary())
    }

    /// Says what is wrong with the section, and what to do.
    pub(crate) fn tell_wrong_section(&mut self) {
        if self.spec.standby.is_none() {
            return;
        }
        let advice =
            "correct it with `pgherd edit-config`, or take it out with `pgherd promote-cluster`";
        if let Some(name) = self.named_member() {
            self.say(Reason::Note(format!(
                "standby_cluster points to this cluster itself: its host is member {name}. Nobody follows it; {advice}"
            )));
        } else if self.memory.foreign_remote {
            self.say(Reason::Note(format!(
                "standby_cluster points to servers of another system identifier, which this cluster can not follow; {advice}"
            )));
        }
    }

    /// A standby cluster becomes a primary one without the other region's part: that one may be promoted too, from
    /// the same timeline, so it keeps the next numbers for itself.
    pub(crate) fn timelines_to_skip(&self) -> u32 {
        let Some(mine) = self.live().map(|live| live.timeline) else {
            return 0;
        };
        let dr = self.view().and_then(|view| view.dr.as_ref());
        let alone = match dr.and_then(|dr| RegionOrder::newest(&dr.value)) {
            Some(RegionOrder::Switchover { from }) if from == Some(mine) => false,
            Some(RegionOrder::Failover { from }) if from.is_none_or(|from| from == mine) => true,
            // What was ordered before another promotion says nothing of this one.
            Some(RegionOrder::Switchover { .. } | RegionOrder::Failover { .. }) | None => {
                self.memory.followed_on == Some(mine)
            }
        };
        if alone { TIMELINES_LEFT } else { 0 }
    }

    /// The section is another one than in the last turn: what was found out about the former does not count.
    pub(crate) fn note_section(&mut self) {
        if self.spec.standby.is_some()
            && let Some(live) = self.live().filter(|live| live.in_recovery)
        {
            self.memory.followed_on = Some(live.timeline);
        }
        if self.memory.section == self.spec.standby {
            return;
        }
        self.memory.section.clone_from(&self.spec.standby);
        self.memory.divergence = Divergence::Unchecked;
        self.memory.backoff = crate::memory::Backoff::NONE;
        self.memory.not_streaming_since = None;
        self.memory.foreign_remote = false;
        self.memory.demotion_asked = None;
    }

    /// An empty member of a standby cluster that nobody has made yet copies the other cluster, as the holder of
    /// `initialize`. What fails is tried again: a remote that is away ends no agent.
    pub(crate) fn bootstrap_standby(&mut self) {
        self.say(Reason::Says("trying to bootstrap a new standby leader"));
        self.state = Some(PgState::CreatingReplica);
        self.tell_wrong_section();
        let left = self.memory.backoff.left(self.now());
        if !left.is_zero() {
            return self.wake_in(left);
        }
        match self.remote() {
            Some(source) => self.begin(Work::Clone {
                source,
                basebackup_only: false,
            }),
            None if self.named_member().is_some() => {}
            None if self.pg().data == DataDirectory::Empty => self.begin(Work::Restore),
            None => {}
        }
    }

    /// The copy is there: it is brought up before the cluster is founded. `true`: it is not up yet.
    pub(crate) fn brings_copy_up(&mut self) -> bool {
        if !self.is_standby_cluster() || self.pg().accepting {
            return false;
        }
        self.say(Reason::Says("trying to bootstrap a new standby leader"));
        self.state = Some(PgState::Starting);
        let left = self.memory.backoff.left(self.now());
        if self.pg().is_running() {
            self.wake_in(Duration::from_millis(200));
        } else if left.is_zero() {
            let remote = self.remote();
            self.memory.last_upstream.clone_from(&remote);
            self.begin(self.start_replica(remote));
        } else {
            self.wake_in(left);
        }
        true
    }

    /// A replica with the key of a standby cluster: it follows the other cluster, everybody here follows it.
    pub(crate) fn lead_standby(&mut self, live: &LiveSeen) {
        self.memory.role = PgRole::StandbyLeader;
        self.repair_cluster_keys();
        if self.hand_standby_over(live) {
            return;
        }
        self.clear_fulfilled_order();
        if self.restart_on_schedule() {
            return;
        }
        let me = self.spec.me.clone();
        let leading = if self.has_just_won() {
            Reason::Says("promoted self to a standby leader by acquiring session lock")
        } else {
            Reason::LeadingStandby { me }
        };
        self.resume_replay();
        if self.named_member().is_some() {
            self.say(leading);
            return self.tell_wrong_section();
        }
        let Some(remote) = self.remote().filter(|_| !self.spec.tags.nostream) else {
            return self.follow_archive(leading);
        };
        self.follow_upstream(&remote);
        if is_streaming_from(live, &remote) {
            self.memory.not_streaming_since = None;
            self.memory.backoff.succeeded();
            self.memory.divergence = Divergence::None { leader: None };
            self.memory.gave_way = false;
            self.forget_old_directory();
            self.drop_sync();
            self.say(leading);
        } else if !self.heal_replication(&remote, true, &leading) {
            self.say(leading);
        }
        if self.memory.foreign_remote {
            self.tell_wrong_section();
        }
    }

    fn has_just_won(&self) -> bool {
        let won = |effect: &Effect| {
            effect.action == Action::AcquireLeader && effect.outcome == Outcome::Done
        };
        self.seen.effects.iter().any(won)
    }

    /// `/sync` names who has every commit of the time when this cluster had a primary. As soon as the leader
    /// streams what the other cluster writes, that has no meaning any more.
    fn drop_sync(&mut self) {
        let Some(sync) = self.view().and_then(|view| view.sync.as_ref()) else {
            return;
        };
        if sync.value.leader.is_some() {
            let expected = sync.revision;
            self.actions.push(Action::DeleteSync { expected });
        }
    }

    /// A primary whose cluster is to follow another one stops in good order, keeps the key, and comes back as
    /// the standby leader (contract §5.8, demote-cluster).
    pub(crate) fn demote_cluster(&mut self, timeline: TimelineId) {
        if self.is_asking_the_remote() {
            return self.lead(timeline);
        }
        self.memory.switching = None;
        self.memory.divergence = Divergence::Unchecked;
        self.say(Reason::Says(
            "demoting self because the cluster became a standby cluster",
        ));
        self.begin(Work::Stop {
            mode: StopMode::Fast,
            escalate_at: self.stop_deadline(),
        });
        self.wake_in(Duration::from_millis(100));
    }

    /// Before clients lose their primary: are those the servers of this cluster's data? One that does not answer is
    /// obeyed to, because the operator may be ending the rule of two primaries. `true`: it is not known yet.
    fn is_asking_the_remote(&mut self) -> bool {
        let (Some(remote), Some(control)) = (self.remote(), self.control()) else {
            return false;
        };
        if let Some(theirs) = self.history_of(&remote) {
            self.memory.foreign_remote = theirs.system_id != control.system_id;
            return self.memory.foreign_remote;
        }
        let now = self.now();
        let since = *self.memory.demotion_asked.get_or_insert(now);
        if self.leader_is_mute(&remote) || now.since(since) > ASKING_MAX {
            return false;
        }
        self.actions.push(Action::Ask(Question::History(remote)));
        self.wake_in(Duration::from_millis(250));
        true
    }

    /// The leader of a standby cluster does not run.
    pub(crate) fn recover_standby_leader(&mut self) {
        if self.memory.backoff.failures >= crate::recover::START_FAILURES_MAX
            && self.somebody_else_could_lead()
        {
            let line = "removed leader key after trying and failing to start postgres";
            self.say(Reason::Says(line));
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        let left = self.memory.backoff.left(self.now());
        if !left.is_zero() {
            self.say(Reason::Says("failed to start postgres"));
            self.wake_in(left);
            return;
        }
        match self.remote() {
            Some(remote) => self.recover_follower(&remote),
            None => {
                self.say(Reason::Says(
                    "starting as a standby leader because i had the session lock",
                ));
                self.tell_wrong_section();
                self.begin(self.start_replica(None));
            }
        }
    }

    /// An order to change the leader of a standby cluster: nothing is stopped, and no record can be lost, so the key
    /// is handed over at once. `true`: that is what this turn does.
    fn hand_standby_over(&mut self, live: &LiveSeen) -> bool {
        let Some(failover) = self.view().and_then(|view| view.failover.as_ref()) else {
            return false;
        };
        let (order, revision) = (failover.value.clone(), failover.revision);
        let someone_elses = order
            .leader
            .as_ref()
            .is_some_and(|leader| *leader != self.spec.me);
        if someone_elses
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
            self.follow_remote_meanwhile(live);
            return true;
        };
        let Some(to) = candidates.into_iter().next() else {
            self.call_off_order(revision, "no good candidates have been found");
            return false;
        };
        self.say(Reason::Switching {
            to: Some(to.clone()),
            phase: "handing the leader key over",
        });
        self.actions.push(Action::HandOver { to, optime: None });
        self.wake_in(Duration::from_millis(200));
        true
    }

    fn follow_remote_meanwhile(&mut self, live: &LiveSeen) {
        if let Some(remote) = self.remote()
            && !is_streaming_from(live, &remote)
        {
            self.follow_upstream(&remote);
        }
    }

    /// Stops streaming from a member: WAL comes from the archive only.
    pub(crate) fn leave_upstream(&mut self) {
        let streams = self
            .live()
            .is_some_and(|live| live.in_recovery && live.configured_upstream.is_some());
        if streams {
            self.actions
                .push(Action::Adjust(Adjustment::Follow { upstream: None }));
        }
    }
}
