//! Nobody holds the leader key: the race (contract §5.3, §5.4).

use std::time::Duration;

use pgherd_domain::{Action, ClusterView, Moment, Reason, Veto};

use crate::turn::Turn;

/// Somebody who was ahead may have died since: the others are asked again after this long.
const ASK_AGAIN: Duration = Duration::from_secs(2);

impl Turn<'_> {
    /// PostgreSQL runs and nobody leads.
    pub(crate) fn without_leader(&mut self) {
        let Some(view) = self.view() else { return };
        let primary = self.pg().runs_as_primary();
        if view.system_id().is_none() && !(self.spec.pause && primary) {
            if self.runs_without_lease() && self.live().is_none() {
                self.stop_after_grace("demoting self because i am not the healthiest node");
            }
            self.say(Reason::Says("waiting for leader to bootstrap"));
            self.wake_in(Duration::from_secs(1));
            return;
        }
        if self.keep_the_promise() {
            self.race = Some(self.failsafe_vetoes());
            return;
        }
        let vetoes = self.race();
        if vetoes.is_empty() {
            self.say(Reason::Says("trying to acquire the leader key"));
            self.actions.push(Action::AcquireLeader);
            self.memory.raced = true;
            self.memory.round = None;
            self.wake_in(Duration::from_millis(500));
        } else {
            self.stay_back(&vetoes);
        }
        self.race = Some(vetoes);
    }

    /// Everything against taking the key now.
    fn race(&mut self) -> Vec<Veto> {
        let is_garbled = |view: &ClusterView| view.garbage.contains_key("leader");
        if self.view().is_some_and(is_garbled) {
            // The store would refuse every attempt, many times a second.
            return vec![Veto::KeyGarbled];
        }
        if let Some(promise) = self.bound() {
            let to = promise.to.clone();
            return vec![Veto::Promised { to }];
        }
        if self.spec.pause {
            return self.race_paused();
        }
        let since = *self.memory.round.get_or_insert(self.seen.now);
        if self.pg().runs_as_primary() {
            return self.race_as_primary(since);
        }
        let order = self
            .view()
            .and_then(|view| view.failover.as_ref())
            .map(|failover| failover.value.clone())
            .filter(|order| order.scheduled_at.is_none());
        let mut vetoes = self.own_vetoes();
        let ordered = order.as_ref().is_some_and(|order| {
            order.member.as_ref() == Some(&self.spec.me) && !order.is_switchover()
        });
        if order.is_some() {
            // An operator's order overrides the lag limit: the candidate was named, or the most advanced wins.
            vetoes.retain(|veto| !matches!(veto, Veto::Lagging { .. }));
        }
        if ordered {
            vetoes.retain(|veto| !matches!(veto, Veto::NotSynchronous { .. }));
        } else if vetoes.is_empty() {
            vetoes.extend(self.unfenced_primary());
        }
        if !vetoes.is_empty() {
            return vetoes;
        }
        let named = order.as_ref().is_some_and(|order| order.member.is_some());
        if let Some(veto) = self.sitting_out() {
            return vec![veto];
        }
        if let Some(veto) = (!named).then(|| self.backing_off()).flatten() {
            return vec![veto];
        }
        match order {
            Some(order) => self.race_by_order(&order, since),
            None => self.peer_vetoes(since),
        }
    }

    /// A server that runs as a primary goes on with the key, whatever its tags, unless somebody has been
    /// primary after it (contract §5.4, step 4).
    fn race_as_primary(&mut self, since: Moment) -> Vec<Veto> {
        let mut vetoes = self.own_vetoes();
        vetoes.retain(|veto| match veto {
            Veto::NoData
            | Veto::NotRunning
            | Veto::NotAnswering
            | Veto::Starting
            | Veto::OldTimeline { .. }
            | Veto::OtherCluster
            | Veto::NotSynchronous { .. }
            | Veto::TooFewVotes { .. }
            | Veto::NoWatchdog { .. }
            | Veto::Promised { .. } => true,
            Veto::NoFence { .. }
            | Veto::TaggedNoFailover
            | Veto::HeldBack { .. }
            | Veto::Busy(_)
            | Veto::Paused
            | Veto::Lagging { .. }
            | Veto::NotInFailsafe
            | Veto::PeerAhead { .. }
            | Veto::PeerPreferred { .. }
            | Veto::PrimaryAlive { .. }
            | Veto::SomebodyElseNamed { .. }
            | Veto::SteppingDown
            | Veto::PrePromoteFailed
            | Veto::AskingPeers
            | Veto::UnknownPosition
            | Veto::StillReceiving
            | Veto::KeyGarbled => false,
        });
        if vetoes.is_empty() {
            vetoes = self.peer_vetoes(since);
        }
        vetoes
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
    fn backing_off(&mut self) -> Option<Veto> {
        let since = self.memory.leaderless_since.unwrap_or(self.now());
        let backoff = self.spec.primary_race_backoff;
        let live = self.live()?;
        if backoff.is_zero() || self.is_standby_cluster() {
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

    fn tell_backoff(&mut self) {
        let since = self.memory.leaderless_since.unwrap_or(self.now());
        let left = since.plus(self.spec.primary_race_backoff).since(self.now());
        self.say(Reason::Note(format!(
            "My ({}) wal position moved since last heart beat loop, {} seconds until leader race",
            self.spec.me,
            left.as_secs()
        )));
    }

    /// Not this member, not now: it stays a replica of whoever it follows. A server that still runs as a
    /// primary may not go on without the key.
    fn stay_back(&mut self, vetoes: &[Veto]) {
        if self.spec.pause {
            return self.stay_as_it_is(vetoes);
        }
        let asking = vetoes.contains(&Veto::AskingPeers);
        let primary = self.pg().runs_as_primary();
        let barred = self.spec.tags.nofailover;
        let line = match (primary, barred) {
            (true, true) => "demoting self because I am not allowed to become primary",
            (true, false) => "demoting self because i am not the healthiest node",
            (false, true) => "following a different leader because I am not allowed to promote",
            (false, false) => "following a different leader because i am not the healthiest node",
        };
        if asking {
            self.say(Reason::Says(
                "asking the other members before the leader race",
            ));
        } else if primary && vetoes.contains(&Veto::NotAnswering) {
            // Unknown is not "not primary", and not "may go on" either.
            if !self.stop_after_grace(line) {
                self.say(Reason::Says("PostgreSQL does not answer"));
            }
        } else if primary {
            self.stop_now(line);
        } else {
            self.say(Reason::Says(line));
        }
        for veto in vetoes {
            self.say(Reason::NotRacing(veto.clone()));
        }
        if vetoes.contains(&Veto::StillReceiving) {
            self.tell_backoff();
        }
        if vetoes.iter().any(comes_from_peers) {
            self.ask_again_later();
        } else if !asking {
            self.memory.round = None;
        }
    }

    fn ask_again_later(&mut self) {
        let pause = self.spec.loop_wait.min(ASK_AGAIN);
        let round = self.memory.round.unwrap_or(self.now());
        if self.now().since(round) >= pause {
            self.memory.round = None;
            self.wake_in(Duration::from_millis(10));
        } else {
            self.wake_at(round.plus(pause));
        }
    }
}

/// Whether the next answers of the others may say otherwise.
const fn comes_from_peers(veto: &Veto) -> bool {
    match veto {
        Veto::PeerAhead { .. }
        | Veto::PeerPreferred { .. }
        | Veto::PrimaryAlive { .. }
        | Veto::SomebodyElseNamed { .. }
        | Veto::SteppingDown
        | Veto::OldTimeline { .. }
        | Veto::NotSynchronous { .. }
        | Veto::TooFewVotes { .. } => true,
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
        | Veto::PrePromoteFailed
        | Veto::Lagging { .. }
        | Veto::OtherCluster
        | Veto::NotInFailsafe
        | Veto::Promised { .. }
        | Veto::AskingPeers
        | Veto::UnknownPosition
        | Veto::StillReceiving
        | Veto::KeyGarbled => false,
    }
}
