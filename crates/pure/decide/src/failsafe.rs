//! Failsafe mode: who may race, what binds a member that promised not to, what the leader keeps in `/failsafe`, and
//! what members tell each other of slots (contract §4.3, §5.1, §5.4, §12; `docs/decisions/2026-11-24-promises.md`).

use std::collections::BTreeMap;

use pgherd_domain::{Action, ClusterView, Lsn, MemberName, Promise, Reason, Veto};

use crate::turn::Turn;

impl Turn<'_> {
    /// What this member promised, while that binds: it does not lead, whatever the DCS says.
    pub(crate) fn bound(&self) -> Option<&Promise> {
        self.seen.failsafe.bound_to(self.now())
    }

    /// Why failsafe mode forbids this member to lead.
    pub(crate) fn failsafe_vetoes(&self) -> Vec<Veto> {
        let mut vetoes = Vec::new();
        if self.is_not_listed() {
            vetoes.push(Veto::NotInFailsafe);
        }
        if let Some(Promise { to, .. }) = self.bound() {
            vetoes.push(Veto::Promised { to: to.clone() });
        }
        vetoes
    }

    /// The mode is on, and the list that the leader keeps does not hold this member: a leader that can not
    /// reach the DCS would not ask it.
    pub(crate) fn is_not_listed(&self) -> bool {
        self.is_barred_by_list(&self.spec.me)
    }

    /// `name` may not lead before a leader has listed it: whoever waits for it waits for ever.
    pub(crate) fn is_barred_by_list(&self, name: &MemberName) -> bool {
        let listed = self.listed();
        !listed.is_empty() && !listed.contains_key(name.as_str())
    }

    /// Who is listed, while the mode is on: name to api_url.
    fn listed(&self) -> BTreeMap<String, String> {
        if self.spec.failsafe_mode {
            self.in_the_list()
        } else {
            BTreeMap::new()
        }
    }

    /// Who stands in the list, also while the mode is off: a leader among them may live on promises yet, so
    /// they are asked in a race.
    pub(crate) fn in_the_list(&self) -> BTreeMap<String, String> {
        let view = self.view().or_else(|| self.seen.dcs.last());
        view.map(|view| view.failsafe.clone()).unwrap_or_default()
    }

    /// A member that promised goes on as it is. `true`: that is what this turn does.
    pub(crate) fn keep_the_promise(&mut self) -> bool {
        let Some(Promise { to, until }) = self.bound().cloned() else {
            return false;
        };
        if self.pg().runs_as_primary() {
            return false;
        }
        self.wake_at(until);
        let line = if to == self.spec.me {
            Reason::Says("waiting: what this member promised could not be read")
        } else {
            Reason::Following {
                me: self.spec.me.clone(),
                leader: to.clone(),
            }
        };
        self.say(line);
        self.say(Reason::NotRacing(Veto::Promised { to }));
        true
    }

    /// Whether slots can go on while the DCS does not answer: this member leads by the promises of the others, which
    /// say how far they are, or has promised a leader, which says how far its slots are.
    pub(crate) fn hears_of_slots(&self) -> bool {
        let bound = self
            .bound()
            .is_some_and(|promise| promise.to != self.spec.me);
        self.seen.failsafe.confirmed || bound
    }

    /// How far the leader says that its slot `name` is: in `/status`, and when it can not write there, in its plea.
    pub(crate) fn told_of(&self, name: &str) -> Option<Lsn> {
        let status = self
            .last_view()
            .and_then(|view| view.status.slots.get(name));
        let plea = self
            .bound()
            .and_then(|_| self.seen.failsafe.slots.get(name));
        status.max(plea).copied()
    }

    /// What a plea of this leader says of its slots: as `/status` would, while it can not be written.
    pub(crate) fn slots_to_tell(&mut self) -> BTreeMap<String, Lsn> {
        let leads = self.spec.failsafe_mode && self.seen.lease.is_mine(self.now());
        match self.live().filter(|live| leads && !live.in_recovery) {
            Some(live) => self.slot_positions(live),
            None => BTreeMap::new(),
        }
    }

    /// The leader keeps the list: every member with an api_url, and itself. With the mode off there is none.
    /// Whoever is bound by a promise does not lead yet, whatever the key says. A holder of the key that is not primary yet takes
    /// nobody off: it may never be, and who is not listed could not lead when the key is free again.
    pub(crate) fn keep_the_list(&mut self) {
        let Some(view) = self.view().filter(|_| self.bound().is_none()) else {
            return;
        };
        if !self.spec.failsafe_mode {
            if !view.failsafe.is_empty() {
                self.actions.push(Action::DeleteFailsafe);
            }
            return;
        }
        let mut wanted = list(view, &self.spec.me, &self.spec.api_url);
        if !self.pg().runs_as_primary() && !self.is_standby_cluster() {
            for (name, api_url) in &view.failsafe {
                wanted
                    .entry(name.clone())
                    .or_insert_with(|| api_url.clone());
            }
        }
        if view.failsafe != wanted {
            self.actions.push(Action::WriteFailsafe(wanted));
        }
    }
}

fn list(view: &ClusterView, me: &MemberName, api_url: &str) -> BTreeMap<String, String> {
    let members = view.members.iter();
    let mut list: BTreeMap<String, String> = members
        .filter(|(_, member)| !member.api_url.is_empty())
        .map(|(name, member)| (name.as_str().to_owned(), member.api_url.clone()))
        .collect();
    list.insert(me.as_str().to_owned(), api_url.to_owned());
    list
}
