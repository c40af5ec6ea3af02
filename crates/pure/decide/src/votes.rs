//! Quorum mode: whoever is to lead counts the votes that `/sync` demands (contract §5.4, step 10; §6.4).
//!
//! Any group of one more than `quorum` voters holds somebody that has a given commit. So who is not behind any of
//! such a group has them all.

use std::time::Duration;

use pgherd_domain::{Action, MemberName, Moment, Notice, PeerStatus, Reason, SyncMode, Veto};

use crate::eligibility::Standing;
use crate::turn::Turn;

impl Turn<'_> {
    /// Why the votes do not suffice; `None` also where none are needed: for the leader that `/sync` names, and for
    /// a standby there when the quorum is 0. Who does not vote needs one more.
    pub(crate) fn votes_veto(&mut self, since: Moment, mine: Standing) -> Option<Veto> {
        let sync = self.sync_in_force()?.clone();
        let me = &self.spec.me;
        let outsider = !sync.names(me);
        if sync.proves(me) || (outsider && self.spec.synchronous_mode != SyncMode::Quorum) {
            return None;
        }
        let votes = |name: &MemberName| {
            let answer = self.answer_of(name, since);
            answer.is_some_and(|peer| votes_for(peer, mine))
        };
        let mut voters = self.electors();
        voters.retain(|name, _| votes(name));
        for name in voters.keys() {
            self.notice(Notice::info(format!("Got quorum vote from {name}")));
        }
        let votes = voters.len();
        let needed = usize::try_from(sync.quorum).unwrap_or(usize::MAX);
        let needed = needed.saturating_add(usize::from(outsider));
        (votes < needed).then_some(Veto::TooFewVotes { votes, needed })
    }

    /// Whether `name` would win the votes that `/sync` demands, as far as the answers tell; mine is among them.
    pub(crate) fn could_win(&self, name: &MemberName, since: Moment) -> bool {
        let Some(sync) = self.sync_in_force().filter(|sync| !sync.proves(name)) else {
            return true;
        };
        let Some(theirs) = self.answer_of(name, since) else {
            return false;
        };
        let theirs = Standing {
            timeline: theirs.timeline.unwrap_or_default(),
            position: theirs.position,
            priority: theirs.failover_priority,
        };
        let electors = self.electors();
        let others = electors.keys().filter(|other| *other != name);
        let others = others
            .filter_map(|other| self.answer_of(other, since))
            .filter(|peer| votes_for(peer, theirs))
            .count();
        let mine = self.live().map(|live| self.standing(live));
        let i_vote = sync.names(&self.spec.me)
            && mine.is_some_and(|mine| {
                mine.timeline <= theirs.timeline && mine.position <= theirs.position
            });
        let needed = usize::try_from(sync.quorum).unwrap_or(usize::MAX);
        let needed = needed.saturating_add(usize::from(!sync.names(name)));
        others + usize::from(i_vote) >= needed
    }

    /// The votes that let this member race are no proof any more when the key comes: it may have come late, and
    /// somebody may have led and acknowledged commits meanwhile. An operator's manual failover to it overrides that.
    pub(crate) fn must_count_votes(&self) -> bool {
        let order = self.view().and_then(|view| view.failover.as_ref());
        let ordered = order.is_some_and(|order| {
            !order.value.is_switchover() && order.value.member.as_ref() == Some(&self.spec.me)
        });
        let me = &self.spec.me;
        let primary = self.pg().runs_as_primary();
        let unproven = self.sync_in_force().is_some_and(|sync| {
            let counts = sync.quorum > 0 || self.spec.synchronous_mode == SyncMode::Quorum;
            // A primary that runs and is not named has got another name: nobody can vote for it.
            counts && !sync.proves(me) && (!primary || sync.names(me))
        });
        unproven && !ordered
    }

    /// The key is mine: the votes are counted by answers to questions that were sent since. Who answers streams from nobody
    /// any more, so a former primary that wakes up gets nothing more confirmed by it. `true` when they suffice, or none are
    /// needed; with too few the key is given up.
    pub(crate) fn wins_the_vote(&mut self) -> bool {
        if !self.must_count_votes() {
            return true;
        }
        let Some(live) = self.live() else {
            return false;
        };
        let since = *self.memory.key_since.get_or_insert(self.seen.now);
        let electors = self.electors();
        let missing = self.ask_for_votes(&electors, since);
        let Some(veto) = self.votes_veto(since, self.standing(live)) else {
            return true;
        };
        if missing > 0 {
            let line = "counting the votes that /sync demands, with the leader key in hand";
            self.say(Reason::Says(line));
            return false;
        }
        self.say(Reason::NotRacing(veto));
        if live.in_recovery {
            self.actions.push(Action::ReleaseLeader { optime: None });
        } else {
            self.stop_now("demoting self because i am not the healthiest node");
        }
        false
    }
}

impl Turn<'_> {
    /// This member has voted, and the DCS has not been read since: whatever is known of a leader may be older than the election.
    /// `true`: that is all of this turn.
    pub(crate) fn keep_the_vote(&mut self) -> bool {
        let Some(to) = self.seen.voted.clone() else {
            return false;
        };
        // Whoever starts this server next, and knows no more, has it follow nobody.
        self.memory.last_upstream = None;
        if self.pg().runs_as_primary() || self.view().is_none() {
            return false;
        }
        self.say(Reason::Note(format!(
            "voted for {to}: waiting for a new look at who leads"
        )));
        self.wake_in(Duration::from_millis(10));
        true
    }
}

/// Whether this answer is a vote: a standby's whose WAL goes no further. On an older timeline it can not have what
/// was acknowledged on a newer one.
fn votes_for(peer: &PeerStatus, mine: Standing) -> bool {
    let known = !peer.position.is_zero() && !peer.is_primary;
    let newer = peer.timeline > Some(mine.timeline);
    known && !newer && peer.position <= mine.position
}
