//! Nobody holds the leader key: the race (contract §5.3 to §5.5).

use std::time::Duration;

use pgherd_domain::documents::FailoverDoc;
use pgherd_domain::{Action, MemberName, Moment, Reason, Veto};

use crate::turn::Turn;

impl Turn<'_> {
    /// PostgreSQL runs and nobody leads.
    pub(crate) fn without_leader(&mut self) {
        let Some(view) = self.view() else { return };
        if view.system_id().is_none() {
            self.say(Reason::Says("waiting for leader to bootstrap"));
            self.wake_in(Duration::from_secs(1));
            return;
        }
        let since = self.memory.leaderless_since.unwrap_or(self.now());
        let vetoes = self.race(since);
        if vetoes.is_empty() {
            self.say(Reason::Says("trying to acquire the leader key"));
            self.actions.push(Action::AcquireLeader);
            self.wake_in(Duration::from_millis(500));
        } else {
            self.stay_back(&vetoes);
        }
        self.race = Some(vetoes);
    }

    /// Everything against taking the key now.
    fn race(&mut self, since: Moment) -> Vec<Veto> {
        let primary = self.live().is_some_and(|live| !live.in_recovery);
        if self.spec.pause {
            return self.race_paused(primary);
        }
        let order = self
            .view()
            .and_then(|view| view.failover.as_ref())
            .map(|failover| failover.value.clone())
            .filter(|order| order.scheduled_at.is_none());
        let mut vetoes = self.own_vetoes();
        if let Some(order) = &order {
            // An operator's order overrides the lag limit: the candidate was named, or the most advanced wins.
            vetoes.retain(|veto| !matches!(veto, Veto::Lagging { .. }));
            if order.member.as_ref() == Some(&self.spec.me) && !order.is_switchover() {
                vetoes.retain(|veto| !matches!(veto, Veto::NotSynchronous { .. }));
            }
        }
        if !vetoes.is_empty() {
            return vetoes;
        }
        if let Some(veto) = self.sitting_out().or_else(|| self.backing_off(since)) {
            return vec![veto];
        }
        match order {
            Some(order) => self.race_by_order(&order, since),
            None => self.peer_vetoes(since, true),
        }
    }

    /// In pause only a server that runs as a primary takes the key, or the one an operator named.
    fn race_paused(&self, primary: bool) -> Vec<Veto> {
        let named = self
            .view()
            .and_then(|view| view.failover.as_ref())
            .is_some_and(|failover| {
                failover.value.scheduled_at.is_none()
                    && failover.value.member.as_ref() == Some(&self.spec.me)
            });
        if primary || (named && !self.spec.tags.nofailover) {
            Vec::new()
        } else {
            vec![Veto::Paused]
        }
    }

    /// This member gave the key away: somebody else is to win.
    fn sitting_out(&mut self) -> Option<Veto> {
        let until = self
            .memory
            .sit_out_until
            .filter(|until| *until > self.now())?;
        self.wake_at(until);
        Some(Veto::SteppingDown)
    }

    /// `primary_race_backoff` (contract §5.3, step 1): WAL may still be on its way.
    fn backing_off(&mut self, since: Moment) -> Option<Veto> {
        let backoff = self.spec.primary_race_backoff;
        let live = self.live()?;
        if backoff.is_zero() || !live.in_recovery {
            return None;
        }
        let position = live.position();
        let moved = self.memory.last_position.replace(position) != Some(position);
        let streaming = live
            .receiver
            .as_ref()
            .is_some_and(|receiver| receiver.streaming);
        let left = since.plus(backoff).since(self.now());
        let early = left > backoff.saturating_sub(self.spec.loop_wait);
        if early || (!left.is_zero() && streaming && moved) {
            self.wake_in(left.min(self.spec.loop_wait));
            return Some(Veto::StillReceiving);
        }
        None
    }

    /// The operator wants a change of leader (contract §5.5).
    fn race_by_order(&mut self, order: &FailoverDoc, since: Moment) -> Vec<Veto> {
        if order.member.as_ref() == Some(&self.spec.me) {
            return Vec::new();
        }
        if let Some(candidate) = &order.member {
            match self.candidate_can(candidate, since) {
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
        let mut vetoes = self.peer_vetoes(since, false);
        // Who is to step down does not hold the others back by being ahead.
        vetoes.retain(|veto| match veto {
            Veto::PeerAhead { peer, .. }
            | Veto::PeerPreferred { peer, .. }
            | Veto::PrimaryAlive { peer } => order.leader.as_ref() != Some(peer),
            Veto::TaggedNoFailover
            | Veto::NoData
            | Veto::NotRunning
            | Veto::NotAnswering
            | Veto::Starting
            | Veto::Busy(_)
            | Veto::Paused
            | Veto::Lagging { .. }
            | Veto::OldTimeline { .. }
            | Veto::OtherCluster
            | Veto::NotSynchronous { .. }
            | Veto::NotInFailsafe
            | Veto::SomebodyElseNamed { .. }
            | Veto::SteppingDown
            | Veto::AskingPeers
            | Veto::UnknownPosition
            | Veto::StillReceiving => true,
        });
        vetoes
    }

    /// Whether the named candidate is there and may: `None` while it is being asked.
    fn candidate_can(&mut self, candidate: &MemberName, since: Moment) -> Option<bool> {
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
        let synchronous = self
            .sync_in_force()
            .is_none_or(|sync| sync.names(candidate));
        Some(!answer.nofailover && !answer.watchdog_failed && synchronous)
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
                .is_some_and(|peer| !peer.nofailover && !peer.watchdog_failed)
        });
        if somebody {
            vec![Veto::SteppingDown]
        } else {
            Vec::new()
        }
    }

    /// Not this member, not now: it stays a replica of whoever it follows. A server that still runs as a
    /// primary may not go on without the key.
    fn stay_back(&mut self, vetoes: &[Veto]) {
        let asking = vetoes.contains(&Veto::AskingPeers);
        let primary = self.live().is_some_and(|live| !live.in_recovery);
        if primary && !self.spec.pause && !asking {
            let line = if vetoes.contains(&Veto::TaggedNoFailover) {
                "demoting self because I am not allowed to become primary"
            } else {
                "demoting self because i am not the healthiest node"
            };
            self.stop_now(line);
        } else if asking {
            self.say(Reason::Says(
                "asking the other members before the leader race",
            ));
        } else if vetoes.contains(&Veto::TaggedNoFailover) {
            let line = "following a different leader because I am not allowed to promote";
            self.say(Reason::Says(line));
        } else {
            let line = "following a different leader because i am not the healthiest node";
            self.say(Reason::Says(line));
        }
        for veto in vetoes {
            self.say(Reason::NotRacing(veto.clone()));
        }
        // Somebody who was ahead may have died since: ask again before long.
        if !asking {
            self.ask_again_later();
        }
    }

    fn ask_again_later(&mut self) {
        let pause = self.spec.loop_wait.min(Duration::from_secs(2));
        let oldest = self
            .seen
            .peers
            .values()
            .filter_map(pgherd_domain::PeerSeen::answered_to)
            .min()
            .unwrap_or(self.now());
        if self.now().since(oldest) >= pause {
            self.memory.leaderless_since = Some(self.now());
            self.wake_in(Duration::from_millis(10));
        } else {
            self.wake_at(oldest.plus(pause));
        }
    }
}
