//! Is the local WAL a prefix of the leader's history? (contract §10)
//!
//! Decided by arithmetic on timelines, never by reading logs.

use std::time::Duration;

use pgherd_domain::{
    Action, ControlData, ControlState, Lsn, PgRole, Question, Reason, TimelineHistory, TimelineId,
    Upstream, UpstreamSeen, Work,
};

use crate::memory::Divergence;
use crate::turn::Turn;

/// Where the local WAL ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalEnd {
    pub timeline: TimelineId,
    pub lsn: Lsn,
    /// `lsn` is where the shutdown checkpoint of a primary begins, so the WAL ends after it.
    pub shutdown_checkpoint: bool,
}

impl LocalEnd {
    /// Where the WAL of a server that does not run ends.
    pub(crate) fn of_control(control: &ControlData) -> Self {
        let (recovered, timeline) = control.min_recovery;
        let replica = matches!(
            control.state,
            ControlState::ShutDownInRecovery | ControlState::InArchiveRecovery
        );
        if replica && !recovered.is_zero() {
            return Self {
                timeline,
                lsn: recovered,
                shutdown_checkpoint: false,
            };
        }
        Self {
            timeline: control.timeline,
            lsn: control.checkpoint,
            shutdown_checkpoint: true,
        }
    }
}

/// What is shown of a member whose WAL is no prefix of that of a leader on `theirs`.
fn why_diverged(end: LocalEnd, theirs: TimelineId) -> String {
    let mine = end.timeline;
    if theirs < mine {
        format!("its WAL is on timeline {mine}, which the leader, on {theirs}, never had")
    } else {
        let lsn = end.lsn;
        format!("its WAL ends at {lsn} on timeline {mine}, which the leader left earlier")
    }
}

/// Whether WAL that ends at `end` is no prefix of `leader`'s history. Where the leader left the local
/// timeline at S: a checkpoint that begins at S or later is not in the leader's history, and neither is
/// anything beyond S.
pub(crate) fn is_diverged(end: LocalEnd, leader: &UpstreamSeen) -> bool {
    if leader.timeline == end.timeline {
        return false;
    }
    if leader.timeline < end.timeline {
        return true;
    }
    match leader.history.switch_of(end.timeline) {
        None => true,
        Some(fork) if end.shutdown_checkpoint => end.lsn >= fork,
        Some(fork) => end.lsn > fork,
    }
}

impl Turn<'_> {
    /// What is known about the local WAL beside `leader`'s; `None` while the leader is being asked.
    pub(crate) fn compare_with(&mut self, leader: &Upstream) -> Option<Divergence> {
        if let Some(known) = self.compared_with(leader) {
            return Some(known);
        }
        let end = self.local_end()?;
        if leader.name.is_some() && self.is_on_leaders_timeline(end) {
            let leader = leader.name.clone();
            self.memory.divergence = Divergence::None { leader };
            return Some(self.memory.divergence.clone());
        }
        let Some(theirs) = self.history_of(leader) else {
            self.actions
                .push(Action::Ask(Question::History(leader.clone())));
            return None;
        };
        if self
            .control()
            .is_some_and(|control| control.system_id != theirs.system_id)
        {
            self.say(Reason::Note(format!(
                "{leader} answers for another cluster: {}",
                theirs.system_id
            )));
            self.memory.foreign_remote |= leader.name.is_none();
            return None;
        }
        // A server in recovery is no judge: it may yet be on its way to another timeline. But as long as
        // it is on the local timeline there is nothing to judge either.
        // In a standby cluster whoever is on a newer one has taken it from the cluster that is followed.
        let follows = self.is_standby_cluster() && theirs.timeline > end.timeline;
        if theirs.in_recovery && theirs.timeline != end.timeline && !follows {
            self.actions
                .push(Action::Ask(Question::History(leader.clone())));
            self.wake_in(Duration::from_millis(250));
            return None;
        }
        let timeline = theirs.timeline;
        if self.is_namesake(end, theirs) {
            self.memory.rejoin_because = Some(format!(
                "the leader has made a timeline {timeline} of its own"
            ));
            self.say(Reason::Note(format!(
                "the leader has made a timeline {timeline} of its own: only a new copy can follow it"
            )));
            self.memory.divergence = Divergence::Hopeless;
            return Some(Divergence::Hopeless);
        }
        if !theirs.in_recovery && timeline == end.timeline && theirs.same_wal == Some(false) {
            let why = format!("its WAL of timeline {timeline} is not the leader's");
            self.say(Reason::Note(format!(
                "{why}, byte for byte: only a new copy can follow it"
            )));
            self.memory.rejoin_because = Some(why);
            self.memory.divergence = Divergence::Hopeless;
            return Some(Divergence::Hopeless);
        }
        let diverged = is_diverged(end, theirs) || self.forked_before(theirs);
        self.say(Reason::Compared {
            mine: (end.timeline, end.lsn),
            theirs: theirs.timeline,
            fork: theirs.history.switch_of(end.timeline),
            diverged,
        });
        let leader = leader.name.clone();
        if diverged {
            self.memory.rejoin_because = Some(why_diverged(end, timeline));
        }
        self.memory.divergence = if diverged {
            Divergence::Diverged { leader }
        } else {
            Divergence::None { leader }
        };
        Some(self.memory.divergence.clone())
    }

    /// What an earlier comparison with `leader` has shown.
    fn compared_with(&self, leader: &Upstream) -> Option<Divergence> {
        let known = match &self.memory.divergence {
            Divergence::None { leader: checked }
            | Divergence::Diverged { leader: checked }
            | Divergence::Behind {
                leader: checked, ..
            } => *checked == leader.name,
            Divergence::Hopeless => true,
            Divergence::Unchecked => false,
        };
        known.then(|| self.memory.divergence.clone())
    }

    /// The leader is a primary on a timeline of the same number that is not the local one: both were
    /// promoted from the same timeline without knowing of each other. It shows in the history files, or
    /// when this server ended as a primary on it. pg_rewind would find nothing to do.
    fn is_namesake(&self, end: LocalEnd, leader: &UpstreamSeen) -> bool {
        if leader.in_recovery || leader.timeline != end.timeline {
            return false;
        }
        self.forked_before(leader) || self.ended_as_primary()
    }

    /// The local timeline began elsewhere than the leader's of the same number did.
    fn forked_before(&self, leader: &UpstreamSeen) -> bool {
        let Some(mine) = self.own_history().filter(|_| !leader.in_recovery) else {
            return false;
        };
        mine.switches
            .iter()
            .filter(|switch| switch.timeline < leader.timeline)
            .any(|switch| leader.history.switch_of(switch.timeline) != Some(switch.at))
    }

    /// The history of the timeline on which this server runs, when there is one and it is known.
    fn own_history(&self) -> Option<&TimelineHistory> {
        let history = &self.live()?.history;
        (!history.switches.is_empty()).then_some(history)
    }

    fn ended_as_primary(&self) -> bool {
        !self.pg().is_running()
            && !self.pg().standby_signal
            && self
                .control()
                .is_some_and(|control| control.state.was_primary())
    }

    /// The leader says in its member key that it is on the local timeline, as a primary: nobody forked.
    fn is_on_leaders_timeline(&self, end: LocalEnd) -> bool {
        // What runs and does not stream may have got its timeline's number elsewhere; the first one is everybody's.
        let strays = self.live().is_some() && end.timeline > TimelineId(1);
        if self.ended_as_primary() || strays {
            return false;
        }
        self.view()
            .and_then(|view| view.leader_member())
            .is_some_and(|member| {
                member.role == Some(PgRole::Primary) && member.timeline == Some(end.timeline)
            })
    }

    /// The leader was asked and could not be.
    pub(crate) fn leader_is_mute(&self, leader: &Upstream) -> bool {
        matches!(&self.seen.upstream, Some((of, Err(_))) if of.ends().eq(leader.ends()))
    }

    fn local_end(&self) -> Option<LocalEnd> {
        match self.live() {
            Some(live) => Some(LocalEnd {
                timeline: live.timeline,
                // What was received and not replayed can still be left behind (contract §10).
                lsn: if live.in_recovery {
                    live.replayed
                } else {
                    live.flushed
                },
                shutdown_checkpoint: false,
            }),
            None => self.control().map(LocalEnd::of_control),
        }
    }

    /// The answer of `leader`, when this turn brings one.
    pub(crate) fn history_of(&self, leader: &Upstream) -> Option<&'_ UpstreamSeen> {
        match &self.seen.upstream {
            Some((of, Ok(theirs))) if of.ends().eq(leader.ends()) => Some(theirs),
            Some((_, Ok(_) | Err(_))) | None => None,
        }
    }

    /// The local WAL is not a prefix: pg_rewind when it can work and is allowed, else a new copy.
    pub(crate) fn wind_back(&mut self, leader: &Upstream) {
        let can_rewind = self.control().is_some_and(|control| control.can_rewind);
        if !self.spec.use_pg_rewind || !can_rewind || self.spec.reclone_when_diverged {
            self.say(Reason::Says("reinitializing due to diverged timelines"));
            let why = if self.spec.use_pg_rewind && can_rewind {
                "remove_data_directory_on_diverged_timelines is set"
            } else if can_rewind {
                "use_pg_rewind is off"
            } else {
                "pg_rewind needs data checksums or wal_log_hints"
            };
            let diverged = self.memory.rejoin_because.take();
            let diverged = diverged.unwrap_or_else(|| "its WAL is not the leader's".to_owned());
            self.memory.rejoin_because = Some(format!("{diverged}; {why}"));
            self.memory.divergence = Divergence::Hopeless;
            self.wake_at(self.now());
            return;
        }
        let waiting = self
            .view()
            .and_then(|view| view.leader_member())
            .is_none_or(|member| member.checkpoint_pending);
        // The other cluster's checkpoint is looked at before pg_rewind begins.
        if waiting && leader.name.is_some() {
            let name = leader
                .name
                .as_ref()
                .map_or_else(String::new, ToString::to_string);
            self.say(Reason::Note(format!(
                "Waiting for checkpoint on {name} before rewind"
            )));
            self.wake_in(Duration::from_millis(500));
            return;
        }
        self.say(Reason::Says(match leader.name {
            Some(_) => "running pg_rewind from the leader",
            None => "running pg_rewind from the remote cluster",
        }));
        self.begin(Work::Rewind {
            source: leader.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use pgherd_domain::{SwitchPoint, TimelineHistory};

    use super::*;

    fn leader(timeline: u32, switches: &[(u32, u64)]) -> UpstreamSeen {
        UpstreamSeen {
            in_recovery: false,
            system_id: "7000000000000000000".into(),
            timeline: TimelineId(timeline),
            same_wal: None,
            oldest: None,
            history: TimelineHistory {
                switches: switches
                    .iter()
                    .map(|&(timeline, at)| SwitchPoint {
                        timeline: TimelineId(timeline),
                        at: Lsn::new(at),
                        reason: String::new(),
                    })
                    .collect(),
            },
        }
    }

    fn end(timeline: u32, lsn: u64, shutdown_checkpoint: bool) -> LocalEnd {
        LocalEnd {
            timeline: TimelineId(timeline),
            lsn: Lsn::new(lsn),
            shutdown_checkpoint,
        }
    }

    #[test]
    fn a_primary_whose_shutdown_checkpoint_the_leader_has_is_a_prefix() {
        assert!(!is_diverged(
            end(1, 0x1000, true),
            &leader(2, &[(1, 0x1078)])
        ));
    }

    #[test]
    fn a_primary_whose_shutdown_checkpoint_begins_at_the_fork_is_not() {
        assert!(is_diverged(
            end(1, 0x1000, true),
            &leader(2, &[(1, 0x1000)])
        ));
        assert!(is_diverged(
            end(1, 0x2000, true),
            &leader(2, &[(1, 0x1000)])
        ));
    }

    #[test]
    fn a_replica_may_end_exactly_at_the_fork_and_not_beyond() {
        assert!(!is_diverged(
            end(1, 0x1000, false),
            &leader(2, &[(1, 0x1000)])
        ));
        assert!(is_diverged(
            end(1, 0x1001, false),
            &leader(2, &[(1, 0x1000)])
        ));
    }

    #[test]
    fn a_timeline_that_the_leader_never_had_is_diverged() {
        assert!(is_diverged(
            end(2, 0x1000, false),
            &leader(3, &[(1, 0x500)])
        ));
        assert!(is_diverged(
            end(3, 0x1000, false),
            &leader(2, &[(1, 0x500)])
        ));
    }

    #[test]
    fn an_ancestor_two_promotions_ago_counts() {
        let leader = leader(3, &[(1, 0x1000), (2, 0x2000)]);
        assert!(!is_diverged(end(1, 0x900, false), &leader));
        assert!(is_diverged(end(2, 0x2100, true), &leader));
    }
}
