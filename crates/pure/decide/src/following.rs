//! Somebody else holds the leader key (contract §5.6, "Someone else").

use std::time::Duration;

use pgherd_domain::{
    Action, Adjustment, LiveSeen, MemberName, Outcome, PgRole, Reason, StartAs, StopMode, Upstream,
    Work,
};

use crate::memory::{Divergence, OldDirectory};
use crate::turn::Turn;

/// A replica that has not streamed for this long is compared with the leader again.
const NOT_STREAMING_MAX: Duration = Duration::from_secs(1);

impl Turn<'_> {
    /// PostgreSQL accepts connections and `leader` leads.
    pub(crate) fn follow(&mut self, leader: &MemberName) {
        if self.pg().runs_as_primary() {
            if self.spec.pause {
                self.say(Reason::Says("continue to run as primary without lock"));
            } else {
                self.memory.divergence = Divergence::Unchecked;
                self.stop_now(if self.was_overtaken() {
                    "demoted self after trying and failing to obtain lock"
                } else {
                    "demoting self because I do not have the lock and I was a leader"
                });
            }
            return;
        }
        if self.restart_on_schedule() {
            return;
        }
        let me = self.spec.me.clone();
        let following = if self.was_overtaken() {
            Reason::Says("following new leader after trying and failing to obtain lock")
        } else if self.is_standby_cluster() {
            Reason::FollowingStandby {
                me,
                leader: leader.clone(),
            }
        } else {
            Reason::Following {
                me,
                leader: leader.clone(),
            }
        };
        self.memory.role = PgRole::Replica;
        if self.spec.tags.nostream {
            return self.follow_archive(following);
        }
        let Some(upstream) = self.wanted_upstream(leader) else {
            // Losing knowledge never changes replication: the last upstream stays.
            if self.is_standby_cluster() {
                self.say(Reason::Says(
                    "continue following the old known standby leader",
                ));
            }
            self.say(following);
            return;
        };
        self.resume_replay();
        self.follow_upstream(&upstream);
        let streams = self
            .live()
            .is_some_and(|live| is_streaming_from(live, &upstream));
        if streams {
            self.has_proven_itself(&upstream);
            self.say(following);
            return;
        }
        if self.live().is_some_and(|live| live.stop_before.is_some()) {
            // Its replay stands where an operator wants it, and asks for no WAL: the upstream keeps it.
            self.say(following);
            return;
        }
        // Replay that waits on purpose asks for no WAL before it has waited: that is no fault of the upstream.
        if !self.is_held_back() {
            self.seek(leader);
            self.pass_over(&upstream, leader);
        }
        if !self.heal_behind(leader, &following) {
            self.say(following);
        }
    }

    /// It streams: whatever was doubted is settled.
    fn has_proven_itself(&mut self, upstream: &Upstream) {
        self.memory.not_streaming_since = None;
        self.memory.stands_at = None;
        self.memory.sought = None;
        self.memory.backoff.succeeded();
        self.memory.divergence = Divergence::None {
            leader: self.judge(upstream).name,
        };
        self.forget_old_directory();
    }

    /// I asked for the leader key a moment ago, and somebody else has it.
    fn was_overtaken(&self) -> bool {
        self.seen.effects.iter().any(|effect| {
            effect.action == Action::AcquireLeader && effect.outcome == Outcome::Refused
        })
    }

    /// Replay that waits for larger parameters waits for ever: told to go on, the server ends, and its next
    /// start has them (contract §3.5). A replay that the operator has paused is left alone.
    pub(crate) fn resume_replay(&mut self) {
        let waits = |live: &LiveSeen| {
            // At the end that an operator has set, going on would mean a promotion.
            live.in_recovery && live.replay_paused && live.outgrown && live.stop_before.is_none()
        };
        if self.live().is_some_and(waits) && !self.spec.pause {
            self.say(Reason::Note(
                "replay waits for larger parameters: PostgreSQL ends and starts again with them"
                    .into(),
            ));
            self.actions.push(Action::Adjust(Adjustment::ResumeReplay));
        }
    }

    /// `nostream`: WAL comes from the archive only (contract §5.6, §15).
    pub(crate) fn follow_archive(&mut self, following: Reason) {
        self.memory.last_upstream = None;
        self.leave_upstream();
        self.forget_old_directory();
        self.say(following);
    }

    /// Points PostgreSQL at `upstream` if it is not yet.
    pub(crate) fn follow_upstream(&mut self, upstream: &Upstream) {
        let changed = self.memory.last_upstream.as_ref() != Some(upstream);
        self.memory.last_upstream = Some(upstream.clone());
        let Some(live) = self.live().filter(|live| live.in_recovery) else {
            return;
        };
        let streams_by_slot = live.receiver.as_ref().is_none_or(|receiver| {
            receiver.slot.as_deref() == upstream.slot.as_ref().map(|slot| slot.as_str())
        });
        let configured = live
            .configured_upstream
            .as_ref()
            .is_some_and(|(host, port)| *host == upstream.host && *port == upstream.port);
        if configured && streams_by_slot && !changed {
            return;
        }
        if !self.spec.pause || !configured {
            let upstream = Some(upstream.clone());
            self.actions
                .push(Action::Adjust(Adjustment::Follow { upstream }));
        }
    }

    pub(crate) fn forget_old_directory(&mut self) {
        if self.memory.old_directory == OldDirectory::Unknown {
            self.actions
                .push(Action::Adjust(Adjustment::ForgetOldDirectory));
        }
    }

    /// A running replica of a member that does not stream.
    fn heal_behind(&mut self, leader: &MemberName, following: &Reason) -> bool {
        let member = self.view().and_then(|view| view.members.get(leader));
        let is_up = member.is_some_and(|member| match member.role {
            Some(PgRole::Primary) => true,
            Some(PgRole::StandbyLeader) => self.is_standby_cluster(),
            Some(PgRole::Replica | PgRole::Demoted | PgRole::Promoted | PgRole::Uninitialized)
            | None => false,
        });
        match member.and_then(|member| self.upstream_of(leader, member)) {
            Some(upstream) => self.heal_replication(&upstream, is_up, following),
            None => {
                let now = self.now();
                self.memory.not_streaming_since.get_or_insert(now);
                false
            }
        }
    }

    /// A running replica that does not stream from `source`, which `is_up`: is it diverged, or too far behind? `true`
    /// when this turn does something about it.
    pub(crate) fn heal_replication(
        &mut self,
        source: &Upstream,
        is_up: bool,
        following: &Reason,
    ) -> bool {
        let now = self.now();
        let since = *self.memory.not_streaming_since.get_or_insert(now);
        if self.spec.pause || self.live().is_none() {
            return false;
        }
        if now.since(since) < NOT_STREAMING_MAX {
            self.wake_at(since.plus(NOT_STREAMING_MAX));
            return false;
        }
        if !is_up {
            self.wake_in(Duration::from_millis(250));
            return false;
        }
        let judge = self.judge(source);
        // In a standby cluster they are two, and asked one after the other.
        let tells_of_its_wal = judge.name != source.name && self.history_of(source).is_some();
        if matches!(&self.memory.divergence, Divergence::None { .. }) && !tells_of_its_wal {
            // Was a prefix when it was last compared, and still does not stream: compare again.
            self.memory.divergence = Divergence::Unchecked;
        }
        self.wake_in(NOT_STREAMING_MAX);
        match self.compare_with(&judge) {
            Some(Divergence::Diverged { .. } | Divergence::Hopeless) => {
                self.because.insert(0, following.clone());
                self.stop_to_heal("stopping PostgreSQL: its WAL is not the leader's");
            }
            Some(Divergence::Behind { .. }) => {
                self.because.insert(0, following.clone());
                self.stop_to_heal("stopping PostgreSQL: the WAL it needs is gone");
            }
            Some(Divergence::None { .. } | Divergence::Unchecked) => {
                self.because.insert(0, following.clone());
                if self.wal_is_gone(source) {
                    self.stop_to_heal("stopping PostgreSQL: the WAL it needs is gone");
                }
            }
            None => self.because.insert(0, following.clone()),
        }
        true
    }

    fn stop_to_heal(&mut self, why: &str) {
        self.say(Reason::Note(why.into()));
        let escalate_at = Some(self.now().plus(Duration::from_secs(10)));
        let mode = StopMode::Fast;
        self.begin(Work::Stop { mode, escalate_at });
    }

    /// A primary, no longer than my lease lasts; in pause it needs none.
    pub(crate) fn start_as_primary(&self) -> StartAs {
        let lease = self.seen.lease.is_mine(self.now());
        StartAs::Primary {
            valid_until: self.seen.lease.good_until.filter(|_| lease),
        }
    }

    /// As what PostgreSQL is to be started again in the role it has.
    pub(crate) fn start_as_it_is(&self) -> StartAs {
        let was_primary = self
            .control()
            .is_some_and(|control| control.state.was_primary())
            && !self.pg().standby_signal;
        let primary = self.pg().runs_as_primary() || (!self.pg().is_running() && was_primary);
        if primary && self.may_be_primary() {
            self.start_as_primary()
        } else {
            StartAs::Replica {
                upstream: self.memory.last_upstream.clone(),
            }
        }
    }
}

/// Whether a replica receives WAL from `upstream` now, or from one of its hosts.
pub(crate) fn is_streaming_from(live: &LiveSeen, upstream: &Upstream) -> bool {
    live.receiver.as_ref().is_some_and(|receiver| {
        let is_one = |(host, port): (&str, u16)| {
            receiver.host.as_ref().is_none_or(|is| is == host)
                && receiver.port.is_none_or(|is| is == port)
        };
        receiver.streaming && upstream.ends().any(is_one)
    })
}
