//! Who streams from whom (contract §5.6, §15): the leader, or the member that `replicatefrom` names while that
//! one can serve. Every member judges by the same documents, so that a slot is where it is used. While the DCS does not
//! answer those of the last read count: losing sight of it changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pgherd_domain::{MemberName, Notice, PgRole, SlotName, Upstream};

use crate::turn::Turn;

/// How long a cascading member waits for WAL from its upstream before it streams from the leader.
const UPSTREAM_PATIENCE: Duration = Duration::from_secs(5);

impl Turn<'_> {
    /// The other member that `member` is to stream from; `None`: from the leader.
    pub(crate) fn source_of(&self, member: &MemberName) -> Option<MemberName> {
        let source = self.source_that_serves(member)?;
        (!self.is_in_a_loop(member)).then_some(source)
    }

    /// The member that `replicatefrom` names, while it runs as a replica or leads.
    fn source_that_serves(&self, member: &MemberName) -> Option<MemberName> {
        let view = self.last_view()?;
        let tags = if *member == self.spec.me {
            self.spec.tags.clone()
        } else {
            view.members.get(member)?.tags()
        };
        let name = tags.replicatefrom.filter(|name| name != member)?;
        if name == self.spec.me {
            // My own key may lag behind what I am.
            let serves =
                self.pg().is_running() && (!self.pg().runs_as_primary() || self.key_says_me());
            return serves.then_some(name);
        }
        let source = view.members.get(&name)?;
        let leads = view.leader_name() == Some(&name);
        // One that still runs as a primary after it has lost the key has WAL that nobody wants.
        let stale = source.role == Some(PgRole::Primary) && !leads;
        (source.is_running() && !stale).then_some(name)
    }

    /// Whether whoever follows `replicatefrom` from `member` on comes back to it: WAL would never arrive.
    fn is_in_a_loop(&self, member: &MemberName) -> bool {
        let leader = self.last_view().and_then(|view| view.leader_name());
        let mut met = BTreeSet::new();
        let mut at = member.clone();
        while let Some(next) = self.source_that_serves(&at) {
            if Some(&next) == leader {
                return false;
            }
            if next == *member {
                return true;
            }
            if !met.insert(next.clone()) {
                return false;
            }
            at = next;
        }
        false
    }

    /// The member through which my feedback reaches the leader: the last one before it.
    pub(crate) fn top_of_my_cascade(&self) -> MemberName {
        let leader = self.view().and_then(|view| view.leader_name());
        let mut at = self.spec.me.clone();
        for _ in 0..=self.view().map_or(0, |view| view.members.len()) {
            match self.source_of(&at) {
                Some(next) if Some(&next) != leader => at = next,
                Some(_) | None => break,
            }
        }
        at
    }

    /// Whom to stream from: the member that I am told to follow when it can serve, else the leader.
    pub(crate) fn wanted_upstream(&mut self, leader: &MemberName) -> Option<Upstream> {
        self.tell_of_a_loop();
        let me = self.spec.me.clone();
        let tagged = self
            .source_of(&me)
            .filter(|name| !self.is_passed_over(name));
        let view = self.view()?;
        let name = tagged.unwrap_or_else(|| leader.clone());
        let member = view.members.get(&name)?;
        self.upstream_of(&name, member)
    }

    fn tell_of_a_loop(&mut self) {
        let me = &self.spec.me;
        let Some(source) = &self.spec.tags.replicatefrom else {
            return;
        };
        if source == me {
            self.notice(Notice::error(format!(
                "the tag `replicatefrom` of {me} names {me} itself: it streams from the leader; correct the tag"
            )));
        } else if self.is_in_a_loop(me) {
            self.notice(Notice::error(format!(
                "the tags `replicatefrom` go round in a circle ({}): members of the circle stream from the \
                 leader; correct one of the tags",
                self.chain_of(me)
            )));
        }
    }

    fn chain_of(&self, member: &MemberName) -> String {
        let mut chain = vec![member.to_string()];
        let mut at = member.clone();
        while let Some(next) = self.source_that_serves(&at) {
            chain.push(next.to_string());
            if next == *member {
                break;
            }
            at = next;
        }
        chain.join(" -> ")
    }

    /// The upstream gave no WAL a moment ago: for one `ttl` the leader does in its place, then it is tried
    /// again. Its key may say for as long that it runs.
    fn is_passed_over(&self, name: &MemberName) -> bool {
        let now = self.now();
        self.memory
            .passed_over
            .as_ref()
            .is_some_and(|(passed, since)| passed == name && now.since(*since) < self.spec.ttl)
    }

    /// I do not stream from `upstream`: after a while of that the leader is followed. Without slots for
    /// everybody (`member_slots_ttl: 0`) there is none for me on the leader.
    pub(crate) fn pass_over(&mut self, upstream: &Upstream, leader: &MemberName) {
        let Some(name) = upstream.name.clone().filter(|name| name != leader) else {
            return;
        };
        let Some(since) = self.memory.not_streaming_since else {
            return;
        };
        let due = since.plus(UPSTREAM_PATIENCE);
        if self.spec.member_slots_ttl.is_zero() && self.spec.use_slots {
            return;
        }
        if self.now() < due {
            return self.wake_at(due);
        }
        self.notice(Notice::warn(format!(
            "no WAL comes from {name}: streaming from the leader {leader} until {name} is back"
        )));
        self.memory.passed_over = Some((name, self.now()));
        self.memory.not_streaming_since = None;
        self.wake_in(Duration::ZERO);
    }

    /// The slot that I stream through. Where another member's name gives the same slot, the first by name has
    /// it and I stream without one: two can not share it.
    pub(crate) fn my_slot(&self) -> Option<SlotName> {
        let mine = SlotName::of_member(&self.spec.me);
        let first = self
            .shared_slots()
            .get(&mine)
            .is_none_or(|names| names.first() == Some(&self.spec.me));
        (self.spec.use_slots && !self.spec.tags.nostream && first).then_some(mine)
    }

    /// Slots whose name more than one member's name gives, with those members in order.
    pub(crate) fn shared_slots(&self) -> BTreeMap<SlotName, Vec<MemberName>> {
        let mut slots: BTreeMap<SlotName, Vec<MemberName>> = BTreeMap::new();
        let others = self
            .last_view()
            .into_iter()
            .flat_map(|view| view.members.keys());
        let all: BTreeSet<&MemberName> = others.chain([&self.spec.me]).collect();
        for name in all {
            let slot = SlotName::of_member(name);
            slots.entry(slot).or_default().push(name.clone());
        }
        slots.retain(|_, names| names.len() > 1);
        slots
    }
}
