//! Asking the other members: who is asked, how long an answer is waited for, and what counts as fresh.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{Action, MemberName, Moment, PeerSeen, PeerStatus, Question};

use crate::turn::Turn;

/// The longest wait for a peer (contract §2.2).
pub(crate) const PATIENCE_MAX: Duration = Duration::from_secs(2);
/// The wait for a member whose key is gone: its lease ended, so it is probably dead.
const PATIENCE_VANISHED_MAX: Duration = Duration::from_millis(250);

impl Turn<'_> {
    /// Everybody but me who is worth asking in a race: the members now, and those that were members
    /// while there was a leader, and those in `/failsafe`; with their api_url.
    pub(crate) fn others(&self) -> BTreeMap<MemberName, String> {
        let now = self.view().map(|view| &view.members);
        self.memory
            .last_members
            .iter()
            .chain(now.into_iter().flatten())
            .filter(|(name, member)| **name != self.spec.me && !member.api_url.is_empty())
            .map(|(name, member)| (name.clone(), member.api_url.clone()))
            .chain(self.in_the_list().into_iter().filter_map(|(name, url)| {
                let name = MemberName::new(&name).ok()?;
                (name != self.spec.me).then_some((name, url))
            }))
            .collect()
    }

    /// Asks all of `names` that have no answer newer than `since`. Returns how many answers are missing.
    pub(crate) fn ask(&mut self, names: &BTreeMap<MemberName, String>, since: Moment) -> usize {
        self.ask_again(names, since, since)
    }

    /// The same for their votes for me: before they answer they leave whomever they stream from.
    pub(crate) fn ask_for_votes(
        &mut self,
        names: &BTreeMap<MemberName, String>,
        since: Moment,
    ) -> usize {
        let patience = PATIENCE_MAX.min(self.spec.ttl / 4);
        let me = self.spec.me.clone();
        self.ask_each(names, (since, since), |_, _| (patience, Some(me.clone())))
    }

    /// The same, but a question that was sent at or after `open_since` and is not answered yet is waited
    /// for, although its answer will be older than `since`.
    pub(crate) fn ask_again(
        &mut self,
        names: &BTreeMap<MemberName, String>,
        since: Moment,
        open_since: Moment,
    ) -> usize {
        self.ask_each(names, (since, open_since), |turn, name| {
            (turn.patience(name), None)
        })
    }

    fn ask_each(
        &mut self,
        names: &BTreeMap<MemberName, String>,
        (since, open_since): (Moment, Moment),
        how: impl Fn(&Self, &MemberName) -> (Duration, Option<MemberName>),
    ) -> usize {
        let mut missing = 0;
        for (name, api_url) in names {
            let (patience, vote_for) = how(self, name);
            let open = match self.seen.peers.get(name) {
                Some(peer) if peer.answered_to().is_some_and(|asked| asked >= since) => continue,
                Some(PeerSeen::Asking { since: asked }) => *asked >= open_since,
                Some(_) | None => false,
            };
            missing += 1;
            if !open {
                self.actions.push(Action::Ask(Question::Peer {
                    name: name.clone(),
                    api_url: api_url.clone(),
                    patience,
                    vote_for,
                }));
            }
            self.wake_in(patience);
        }
        missing
    }

    /// The answer of `name` to a question sent at or after `since`.
    pub(crate) fn answer_of(&self, name: &MemberName, since: Moment) -> Option<&PeerStatus> {
        match self.seen.peers.get(name)? {
            PeerSeen::Answered { asked, status } if *asked >= since => Some(status),
            PeerSeen::Answered { .. } | PeerSeen::Asking { .. } | PeerSeen::Unreachable { .. } => {
                None
            }
        }
    }

    /// A member that says, or of which is known, that it does not lead whatever happens.
    pub(crate) fn is_barred(&self, name: &MemberName, peer: &PeerStatus) -> bool {
        peer.nofailover || peer.watchdog_failed || self.is_barred_by_list(name)
    }

    fn patience(&self, name: &MemberName) -> Duration {
        let present = self
            .view()
            .is_some_and(|view| view.members.contains_key(name));
        // The list binds nobody while the mode is off, and a leader on promises is slow to answer.
        let may_live_on_promises =
            !self.spec.failsafe_mode && self.in_the_list().contains_key(name.as_str());
        if present || may_live_on_promises {
            PATIENCE_MAX.min(self.spec.ttl / 4)
        } else {
            PATIENCE_VANISHED_MAX.min(self.spec.ttl / 16)
        }
    }
}
