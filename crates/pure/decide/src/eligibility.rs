//! Who may become primary, and why not (contract §5.4). Every rule gives a veto with its inputs.

use std::collections::BTreeMap;

use pgherd_domain::documents::{HistoryDoc, SyncDoc};
use pgherd_domain::{
    LiveSeen, Lsn, MemberName, Moment, PeerStatus, SyncMode, TimelineId, Veto, WorkKind,
};

use crate::turn::Turn;

impl Turn<'_> {
    /// What speaks against this member by itself, without asking anybody. Empty: it is a candidate.
    /// Kept up to date every turn, so that a race is one conditional write.
    pub(crate) fn own_vetoes(&self) -> Vec<Veto> {
        let mut vetoes = Vec::new();
        if self.spec.tags.nofailover {
            vetoes.push(Veto::TaggedNoFailover);
        }
        if let Some(live) = self.pg().live.last().filter(|_| self.is_held_back()) {
            vetoes.push(Veto::HeldBack {
                delay: live.apply_delay,
                stops_before: live.stop_before.clone(),
            });
        }
        let failed = self.memory.pre_promote_failed;
        if failed.is_some_and(|failed| self.now() < failed.plus(self.spec.ttl)) {
            vetoes.push(Veto::PrePromoteFailed);
        }
        vetoes.extend(self.unguarded_veto());
        match self.seen.work.kind() {
            None | Some(WorkKind::Checkpoint | WorkKind::PrePromote | WorkKind::Promote) => {}
            Some(kind) => vetoes.push(Veto::Busy(kind)),
        }
        let Some(control) = self.control() else {
            vetoes.push(Veto::NoData);
            return vetoes;
        };
        if let Some(cluster) = self.view().and_then(|view| view.system_id())
            && cluster != control.system_id
        {
            vetoes.push(Veto::OtherCluster);
        }
        if !self.pg().is_running() {
            vetoes.push(Veto::NotRunning);
        } else if !self.pg().accepting {
            vetoes.push(Veto::Starting);
        } else if let Some(live) = self.live() {
            self.position_vetoes(live, &mut vetoes);
        } else {
            vetoes.push(Veto::NotAnswering);
        }
        vetoes.extend(self.sync_veto());
        vetoes.extend(self.failsafe_vetoes());
        vetoes
    }

    fn position_vetoes(&self, live: &LiveSeen, vetoes: &mut Vec<Veto>) {
        let Some(view) = self.view().or_else(|| self.seen.dcs.last()) else {
            return;
        };
        if live.in_recovery {
            if live.position().is_zero() {
                vetoes.push(Veto::UnknownPosition);
            }
            let lag = live
                .position()
                .behind(view.status.optime.unwrap_or_default());
            let limit = self.spec.maximum_lag_on_failover;
            if lag > limit {
                vetoes.push(Veto::Lagging { lag, limit });
            }
        }
        let Some(history) = &view.history else { return };
        let (has, wants) = (live.timeline, history.current_timeline());
        let end = (has, live.position());
        if self.is_left_behind(&self.spec.me, end, live.in_recovery, history) {
            vetoes.push(Veto::OldTimeline { has, wants });
        }
    }

    /// Whether a peer would find itself left behind, as far as its answer tells.
    pub(crate) fn peer_is_left_behind(&self, name: &MemberName, peer: &PeerStatus) -> bool {
        let history = self.view().and_then(|view| view.history.as_ref());
        match (history, peer.timeline) {
            (Some(history), Some(timeline)) => {
                self.is_left_behind(name, (timeline, peer.position), !peer.is_primary, history)
            }
            (_, _) => false,
        }
    }

    /// Whether a server on an older timeline than the newest must not lead. A replica may still be on its
    /// way; it is not when its WAL goes beyond where the cluster left its timeline: then what it has is
    /// not the cluster's. A name in `/sync` proves that nothing is missing, unless votes are needed.
    fn is_left_behind(
        &self,
        who: &MemberName,
        (timeline, position): (TimelineId, Lsn),
        in_recovery: bool,
        history: &HistoryDoc,
    ) -> bool {
        // The timelines of a standby cluster are those of the cluster that it follows.
        if timeline >= history.current_timeline() || self.is_standby_cluster() {
            return false;
        }
        if self.spec.check_timeline || !in_recovery {
            return true;
        }
        let proven = self.sync_in_force().is_some_and(|sync| sync.proves(who));
        let left_at = history
            .entries
            .iter()
            .find(|entry| entry.timeline == timeline)
            .map(|entry| entry.at);
        !proven && left_at.is_none_or(|left_at| position > left_at)
    }

    /// Synchronous mode: only who is named in `/sync` certainly has every acknowledged commit. In quorum mode votes
    /// prove that, and somebody else may win them too.
    pub(crate) fn sync_veto(&self) -> Option<Veto> {
        let sync = self.sync_in_force()?;
        if self.spec.synchronous_mode == SyncMode::Quorum {
            return None;
        }
        (!sync.names(&self.spec.me)).then(|| {
            let names: Vec<_> = sync
                .leader
                .iter()
                .chain(&sync.standbys)
                .map(MemberName::as_str)
                .collect();
            Veto::NotSynchronous {
                sync: names.join(", "),
            }
        })
    }

    /// `/sync` when it binds: synchronous mode is on and the key names a leader.
    pub(crate) fn sync_in_force(&self) -> Option<&SyncDoc> {
        match self.spec.synchronous_mode {
            SyncMode::Off => None,
            SyncMode::On | SyncMode::Quorum => {
                self.view().or_else(|| self.seen.dcs.last())?.sync_state()
            }
        }
    }

    /// What this member has in a race.
    pub(crate) fn standing(&self, live: &LiveSeen) -> Standing {
        Standing {
            timeline: live.timeline,
            position: live.position(),
            priority: self.spec.tags.failover_priority,
        }
    }

    /// What the other members' answers say against this one. Asks who has not answered since `since`;
    /// while answers are missing the veto says so.
    pub(crate) fn peer_vetoes(&mut self, since: Moment) -> Vec<Veto> {
        let others = self.electors();
        if self.ask(&others, since) > 0 {
            return vec![Veto::AskingPeers];
        }
        let Some(live) = self.live() else {
            return vec![Veto::NotAnswering];
        };
        let mine = self.standing(live);
        let mut vetoes = Vec::new();
        for name in others.keys() {
            let Some(peer) = self.answer_of(name, since) else {
                continue;
            };
            if live.in_recovery {
                vetoes.extend(self.veto_of_peer(name, peer, mine));
            } else if peer.timeline > Some(mine.timeline) {
                // Somebody has been primary after me.
                vetoes.push(Veto::OldTimeline {
                    has: mine.timeline,
                    wants: peer.timeline.unwrap_or_default(),
                });
            }
        }
        if vetoes.is_empty() {
            vetoes.extend(self.votes_veto(since, mine));
        }
        vetoes
    }

    /// Who is asked: everybody, or in synchronous mode only who is named in `/sync` (contract §5.4, step 9);
    /// the others may lack commits, so being ahead of them proves nothing and being behind them can not be.
    pub(crate) fn electors(&self) -> BTreeMap<MemberName, String> {
        let mut others = self.others();
        if let Some(sync) = self.sync_in_force() {
            others.retain(|name, _| sync.names(name));
        }
        others
    }

    fn veto_of_peer(&self, name: &MemberName, peer: &PeerStatus, mine: Standing) -> Option<Veto> {
        if peer.is_primary {
            return Some(Veto::PrimaryAlive { peer: name.clone() });
        }
        if self.is_barred(name, peer) {
            return None;
        }
        // The former leader in /sync can not miss anything, but it has just stepped down or lost its
        // lease: being ahead by its own unacknowledged tail does not count (contract §5.4; S29).
        let former = self.sync_in_force().is_some_and(|sync| {
            sync.leader
                .as_ref()
                .is_some_and(|leader| leader.same_as(name.as_str()))
        });
        if former {
            return None;
        }
        let theirs = peer.timeline.unwrap_or(mine.timeline);
        if theirs > mine.timeline {
            return Some(Veto::OldTimeline {
                has: mine.timeline,
                wants: theirs,
            });
        }
        if theirs < mine.timeline {
            return None;
        }
        if peer.position > mine.position {
            let by = mine.position.behind(peer.position);
            return Some(Veto::PeerAhead {
                peer: name.clone(),
                by,
            });
        }
        let preferred = peer.position == mine.position && peer.failover_priority > mine.priority;
        let former_leader = self.memory.last_leader.as_ref() == Some(name);
        (preferred && !former_leader).then(|| Veto::PeerPreferred {
            peer: name.clone(),
            priority: peer.failover_priority,
            mine: mine.priority,
        })
    }
}

/// What a race compares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub timeline: TimelineId,
    pub position: Lsn,
    pub priority: i64,
}
