//! Who could take over from a leader that steps down on order: asked, judged, and sorted (contract §5.8).

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::documents::FailoverDoc;
use pgherd_domain::{Lsn, MemberName, Moment, PeerStatus, Revision, TimelineId};

use crate::peers::PATIENCE_MAX;
use crate::turn::Turn;

/// How old the answers may be by which candidates are judged; longer than any of them takes.
const FRESH: Duration = PATIENCE_MAX.saturating_mul(2);

impl Turn<'_> {
    /// The oldest question whose answer may judge the candidates of an order: none from before it was noticed, when a
    /// member that is back now may have been down, and none that is old.
    pub(crate) fn asked_for_order(&mut self, revision: Revision) -> Moment {
        let now = self.now();
        let noticed = match self.memory.order_noticed {
            Some((of, at)) if of == revision => at,
            _ => now,
        };
        self.memory.order_noticed = Some((revision, noticed));
        noticed.max(now.minus(FRESH))
    }

    /// The members that could take over, best first, by answers to questions sent at or after `since`;
    /// `None` while they are being asked.
    pub(crate) fn judge_candidates(
        &mut self,
        order: &FailoverDoc,
        since: Moment,
    ) -> Option<Vec<MemberName>> {
        let mut others: BTreeMap<_, _> = self.others();
        let view = self.view()?;
        others.retain(|name, _| view.members.contains_key(name));
        let voters = self.voters_for(order);
        if let Some(member) = &order.member {
            others.retain(|name, _| name == member);
        }
        // Synchronous mode: only who is in /sync, but a manual failover may name anybody.
        if let Some(sync) = self.sync_in_force()
            && (order.is_switchover() || order.member.is_none())
        {
            others.retain(|name, _| sync.names(name));
        }
        let asked = others
            .iter()
            .chain(voters.iter().flat_map(|(_, them)| them));
        let asked = asked
            .map(|(name, url)| (name.clone(), url.clone()))
            .collect();
        if self.ask(&asked, since) > 0 {
            return None;
        }
        let (mine, timeline) = self.end_to_reach()?;
        let limit = self.spec.maximum_lag_on_failover;
        let check_timeline = self.spec.check_timeline;
        let standby_cluster = self.is_standby_cluster();
        let mut able: Vec<(MemberName, PeerStatus)> = others
            .into_keys()
            .filter_map(|name| Some((name.clone(), self.answer_of(&name, since)?.clone())))
            .filter(|(name, peer)| {
                let behind = check_timeline && peer.timeline < Some(timeline);
                // Somebody promoted it by hand: it has what this server never wrote, and can not have its last record.
                let elsewhere =
                    peer.is_primary || (!standby_cluster && peer.timeline > Some(timeline));
                let barred = self.is_barred(name, peer) || behind || elsewhere;
                !barred && peer.position.behind(mine) <= limit
            })
            .collect();
        if let Some((needed, voters)) = &voters {
            let votes = |candidate: &MemberName| {
                let others = voters.keys().filter(|name| *name != candidate);
                others
                    .filter_map(|name| self.answer_of(name, since))
                    .count()
            };
            able.retain(|(name, _)| votes(name) >= *needed);
        }
        sort_best_first(&mut able);
        Some(able.into_iter().map(|(name, _)| name).collect())
    }

    /// How far a successor should be: as far as this server, or while it starts and does not say it, as `/status` says.
    fn end_to_reach(&self) -> Option<(Lsn, TimelineId)> {
        if let Some(live) = self.live() {
            return Some((live.position(), live.timeline));
        }
        let control = self.control().filter(|_| !self.pg().accepting)?;
        let optime = self.view()?.status.optime.unwrap_or_default();
        Some((optime, control.timeline))
    }

    /// How many others must vote for a successor, and who can: a quorum in `/sync` binds but for a manual failover.
    fn voters_for(&self, order: &FailoverDoc) -> Option<(usize, BTreeMap<MemberName, String>)> {
        let manual = !order.is_switchover() && order.member.is_some();
        let sync = self
            .sync_in_force()
            .filter(|sync| sync.quorum > 0 && !manual)?;
        let mut voters = self.others();
        voters.retain(|name, _| sync.has_standby(name));
        Some((usize::try_from(sync.quorum).unwrap_or(usize::MAX), voters))
    }

    /// Whether one of `candidates` has the WAL up to `goal`.
    pub(crate) fn is_there(&self, candidates: &[MemberName], asked: Moment, goal: Lsn) -> bool {
        candidates.iter().any(|name| {
            self.answer_of(name, asked)
                .is_some_and(|peer| peer.position >= goal)
        })
    }
}

/// Most WAL first, then the higher priority, then the name.
pub(crate) fn sort_best_first(able: &mut [(MemberName, PeerStatus)]) {
    able.sort_by(|(left_name, left), (right_name, right)| {
        (right.position, right.failover_priority)
            .cmp(&(left.position, left.failover_priority))
            .then_with(|| left_name.cmp(right_name))
    });
}
