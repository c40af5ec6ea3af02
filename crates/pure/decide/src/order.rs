//! An operator's order while nobody leads: who may take the key (contract §5.5).

use pgherd_domain::documents::FailoverDoc;
use pgherd_domain::{MemberName, Moment, PeerStatus, Veto};

use crate::turn::Turn;

impl Turn<'_> {
    /// Everything against taking the key now, when the operator wants a change of leader.
    pub(crate) fn race_by_order(&mut self, order: &FailoverDoc, since: Moment) -> Vec<Veto> {
        if order.member.as_ref() == Some(&self.spec.me) {
            return self.race_for_votes(since);
        }
        if let Some(candidate) = &order.member {
            match self.candidate_can(order, candidate, since) {
                None => return vec![Veto::AskingPeers],
                Some(true) => {
                    return vec![Veto::SomebodyElseNamed {
                        candidate: candidate.clone(),
                    }];
                }
                Some(false) => {}
            }
        }
        if order.leader.as_ref() == Some(&self.spec.me) {
            return self.race_as_last_resort(since);
        }
        let mut vetoes = self.peer_vetoes(since);
        // Who is to step down does not hold the others back by being ahead.
        vetoes.retain(|veto| match veto {
            Veto::PeerAhead { peer, .. } | Veto::PeerPreferred { peer, .. } => {
                order.leader.as_ref() != Some(peer)
            }
            Veto::NoFence { .. }
            | Veto::NoWatchdog { .. }
            | Veto::TaggedNoFailover
            | Veto::HeldBack { .. }
            | Veto::NoData
            | Veto::NotRunning
            | Veto::NotAnswering
            | Veto::Starting
            | Veto::Busy(_)
            | Veto::Paused
            | Veto::Lagging { .. }
            | Veto::OldTimeline { .. }
            | Veto::PrimaryAlive { .. }
            | Veto::OtherCluster
            | Veto::NotSynchronous { .. }
            | Veto::TooFewVotes { .. }
            | Veto::NotInFailsafe
            | Veto::Promised { .. }
            | Veto::SomebodyElseNamed { .. }
            | Veto::SteppingDown
            | Veto::PrePromoteFailed
            | Veto::AskingPeers
            | Veto::UnknownPosition
            | Veto::StillReceiving
            | Veto::KeyGarbled => true,
        });
        vetoes
    }

    /// Whether the named candidate is there and may: `None` while it is being asked.
    fn candidate_can(
        &mut self,
        order: &FailoverDoc,
        candidate: &MemberName,
        since: Moment,
    ) -> Option<bool> {
        let Some(api_url) = self.others().remove(candidate) else {
            return Some(false);
        };
        let one = [(candidate.clone(), api_url)].into();
        if self.ask(&one, since) > 0 {
            return None;
        }
        let Some(answer) = self.answer_of(candidate, since) else {
            return Some(false);
        };
        // A manual failover may name anybody, a switchover only who has every acknowledged commit.
        let synchronous = !order.is_switchover()
            || self
                .sync_in_force()
                .is_none_or(|sync| sync.names(candidate));
        if !synchronous || !self.could_lead(candidate, answer) {
            return Some(false);
        }
        if !order.is_switchover() {
            return Some(true);
        }
        // Who can not win the votes is not waited for: that would be for ever.
        let electors = self.electors();
        let asks = self
            .sync_in_force()
            .is_some_and(|sync| !sync.proves(candidate));
        if asks && self.ask(&electors, since) > 0 {
            return None;
        }
        Some(self.could_win(candidate, since))
    }

    /// The operator wants me, or nobody else can: in quorum mode the votes are still needed.
    fn race_for_votes(&mut self, since: Moment) -> Vec<Veto> {
        if !self.must_count_votes() {
            return Vec::new();
        }
        let electors = self.electors();
        if self.ask(&electors, since) > 0 {
            return vec![Veto::AskingPeers];
        }
        let mine = self.live().map(|live| self.standing(live));
        mine.and_then(|mine| self.votes_veto(since, mine))
            .into_iter()
            .collect()
    }

    /// Whether a member that answered may race at all. One that is left behind, or sees me on a newer
    /// timeline, bars itself: to wait for it would be to wait for ever.
    fn could_lead(&self, name: &MemberName, peer: &PeerStatus) -> bool {
        let mine = self.live().map(|live| live.timeline);
        let i_am_former = self
            .sync_in_force()
            .is_some_and(|sync| sync.leader.as_ref() == Some(&self.spec.me));
        let sees_me_ahead = peer.timeline.is_some() && peer.timeline < mine && !i_am_former;
        let barred = self.is_barred(name, peer) || sees_me_ahead;
        !barred && !self.peer_is_left_behind(name, peer)
    }

    /// I was asked to step down: I lead again only when nobody else can.
    fn race_as_last_resort(&mut self, since: Moment) -> Vec<Veto> {
        let mut others = self.others();
        if let Some(sync) = self.sync_in_force() {
            others.retain(|name, _| sync.names(name));
        }
        if self.ask(&others, since) > 0 {
            return vec![Veto::AskingPeers];
        }
        let somebody = others.keys().any(|name| {
            self.answer_of(name, since)
                .is_some_and(|peer| self.could_lead(name, peer) && self.could_win(name, since))
        });
        if somebody {
            vec![Veto::SteppingDown]
        } else {
            self.race_for_votes(since)
        }
    }
}
