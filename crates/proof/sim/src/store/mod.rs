//! The simulated DCS: keys with revisions, leases with ttl, watches. A model of etcd as contract §4.6 uses it.

mod client;
mod ops;
mod view;
mod watch;

pub(crate) use watch::watch;

pub(crate) use client::SimDcs;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{MemberName, Revision};

use crate::dice::{Dice, Span};
use crate::world::{State, World};

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: String,
    /// The revision of the last change.
    pub(crate) revision: Revision,
    /// The lease that it hangs on.
    pub(crate) lease: Option<u64>,
}

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    /// Whose, for the journal.
    owner: String,
    ttl: Duration,
    ends: Duration,
}

/// Why the store does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// It serves.
    Up,
    /// Connections are refused.
    Refusing,
    /// It takes requests and answers none: no quorum.
    Silent,
}

/// The whole store: one cluster's prefix.
#[derive(Debug)]
pub(crate) struct Store {
    revision: Revision,
    keys: BTreeMap<String, Entry>,
    leases: BTreeMap<u64, Lease>,
    next_lease: u64,
    pub(crate) service: Service,
    /// Fault: a request takes up to this long in the store before it is carried out.
    pub(crate) commit_takes: Duration,
    /// Fault: members whose watch is dead while its connection lives.
    pub(crate) unwatched: BTreeSet<MemberName>,
    /// Fault: members who are connected to a node of the store that fell behind, and what it has.
    pub(crate) behind: BTreeMap<MemberName, BTreeMap<String, Entry>>,
    /// How late an expired lease is noticed; never early.
    pub(crate) slack: Span,
    /// Who has been the leader in `/sync` since there is one: it is their commits that are promised.
    promised_by: BTreeSet<String>,
    /// How often something changed that wakes members.
    waking: u64,
    dice: Dice,
    /// What happened, for the journal; taken out at each change of the world.
    news: Vec<String>,
}

impl Store {
    pub(crate) const fn new(dice: Dice) -> Self {
        Self {
            revision: 1,
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            next_lease: 100,
            service: Service::Up,
            commit_takes: Duration::ZERO,
            unwatched: BTreeSet::new(),
            behind: BTreeMap::new(),
            slack: Span::millis(0, 600),
            promised_by: BTreeSet::new(),
            waking: 0,
            dice,
            news: Vec::new(),
        }
    }

    /// The value of a key as it truly is now.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(|entry| entry.value.as_str())
    }

    /// Whether a commit that `server` acknowledges now is promised to last: it has been the leader in `/sync`, and
    /// there still is one. Another that serves without ever having led in this mode has promised nothing.
    pub(crate) fn is_promised_by(&self, server: &MemberName) -> bool {
        self.promised_by.contains(server.as_str())
    }

    /// Who truly holds the leader key now.
    pub(crate) fn leader(&self) -> Option<&str> {
        self.value("leader")
    }

    /// Makes a lease.
    fn grant(&mut self, now: Duration, owner: &str, ttl: Duration) -> u64 {
        self.next_lease += 1;
        let ends = now + ttl + self.dice.within(self.slack);
        let lease = Lease {
            owner: owner.to_owned(),
            ttl,
            ends,
        };
        self.leases.insert(self.next_lease, lease);
        self.next_lease
    }

    /// How long the lease lives on which the leader key hangs, when it was just renewed.
    pub(crate) fn leading_ttl(&self) -> Duration {
        let lease = self.keys.get("leader").and_then(|entry| entry.lease);
        lease
            .and_then(|lease| self.leases.get(&lease))
            .map_or(Duration::ZERO, |lease| lease.ttl)
    }

    /// Keeps a lease alive. `false`: there is no such lease any more.
    fn keep_alive(&mut self, now: Duration, id: u64, ttl: Duration) -> bool {
        let late = self.dice.within(self.slack);
        let Some(lease) = self.leases.get_mut(&id) else {
            return false;
        };
        lease.ttl = ttl;
        lease.ends = now + ttl + late;
        true
    }

    /// Writes a key. `None`: the lease it was to hang on does not exist.
    fn write(&mut self, key: &str, value: &str, lease: Option<u64>) -> Option<Revision> {
        if lease.is_some_and(|lease| !self.leases.contains_key(&lease)) {
            return None;
        }
        self.revision += 1;
        let entry = Entry {
            value: value.to_owned(),
            revision: self.revision,
            lease,
        };
        let before = self.keys.insert(key.to_owned(), entry);
        let before = before.as_ref().map(|entry| entry.value.as_str());
        self.note(key, before, Some(value), "");
        Some(self.revision)
    }

    /// Deletes a key; `because` is told.
    fn erase(&mut self, key: &str, because: &str) {
        if let Some(before) = self.keys.remove(key) {
            self.revision += 1;
            self.note(key, Some(&before.value), None, because);
        }
    }

    /// Ends a lease with everything that hangs on it.
    fn revoke(&mut self, id: u64, because: &str) {
        if self.leases.remove(&id).is_none() {
            return;
        }
        let gone: Vec<String> = self
            .keys
            .iter()
            .filter(|(_, entry)| entry.lease == Some(id))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.erase(&key, because);
        }
    }

    /// Ends every lease whose time is over. While the store does not serve none ends.
    fn expire(&mut self, now: Duration) {
        if self.service != Service::Up {
            return;
        }
        let over: Vec<u64> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.ends <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.revoke(id, "the lease ran out");
        }
    }

    /// When the next lease ends.
    fn next_expiry(&self) -> Option<Duration> {
        if self.service != Service::Up {
            return None;
        }
        self.leases.values().map(|lease| lease.ends).min()
    }

    /// Serves or not. A store that serves again gives every lease its full ttl, as a new leader of etcd does.
    pub(crate) fn serve(&mut self, now: Duration, service: Service) {
        if self.service != Service::Up && service == Service::Up {
            for lease in self.leases.values_mut() {
                lease.ends = now + lease.ttl;
            }
            self.waking += 1;
        }
        self.service = service;
    }

    /// The node of the store that `member` is connected to falls behind, or catches up. It answers no
    /// linearizable read then, so the member is served by others; but its watch hears nothing.
    pub(crate) fn fall_behind(&mut self, member: &MemberName, behind: bool) {
        if behind {
            self.behind.insert(member.clone(), self.keys.clone());
        } else {
            self.behind.remove(member);
        }
    }

    /// Whether the watch of `member` hears what happens.
    fn is_watching(&self, member: &MemberName) -> bool {
        !self.unwatched.contains(member) && !self.behind.contains_key(member)
    }

    /// How long the next request waits before it is carried out.
    fn queue(&mut self) -> Duration {
        let most = u64::try_from(self.commit_takes.as_millis()).unwrap_or(u64::MAX);
        if most == 0 {
            return Duration::ZERO;
        }
        self.dice.within(Span::millis(0, most))
    }

    /// Ends the leases of `owner` before their time (a fault).
    pub(crate) fn revoke_early(&mut self, owner: &str) {
        let ids: Vec<u64> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.owner == owner)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.revoke(id, "the lease was revoked");
        }
    }

    /// Loses everything (a fault).
    pub(crate) fn wipe(&mut self) {
        self.leases.clear();
        let keys: Vec<String> = self.keys.keys().cloned().collect();
        for key in keys {
            self.erase(&key, "wiped");
        }
    }

    /// Deletes one key, as a person with etcdctl may (a fault).
    pub(crate) fn erase_by_hand(&mut self, key: &str) {
        self.erase(key, "deleted by hand");
    }

    /// Writes one key, as `patronictl` or a person may.
    pub(crate) fn write_by_hand(&mut self, key: &str, value: &str) {
        self.write(key, value, None);
    }

    fn note(&mut self, key: &str, before: Option<&str>, after: Option<&str>, because: &str) {
        if before == after {
            return;
        }
        if key == "sync" {
            match after.map(SyncDoc::parse) {
                None => self.promised_by.clear(),
                Some(doc) => self
                    .promised_by
                    .extend(doc.leader.map(|name| name.to_string())),
            }
        }
        if watch::wakes(key, before, after) {
            self.waking += 1;
        }
        if matches!(key, "status" | "failsafe") || key.starts_with("members/") && after.is_some() {
            return;
        }
        let because = if because.is_empty() {
            String::new()
        } else {
            format!(" ({because})")
        };
        let news = match after {
            Some("") => format!("{key} = \"\""),
            Some(value) => format!("{key} = {value}"),
            None => format!("{key} gone{because}"),
        };
        self.news.push(news);
    }
}

impl State {
    /// Writes the store's news into the journal.
    pub(crate) fn tell_store_news(&mut self) {
        for news in std::mem::take(&mut self.store.news) {
            self.tell("dcs", news);
        }
    }
}

/// Ends leases when their time is over, for ever.
pub(crate) async fn keep_leases(world: World) {
    loop {
        let next = world.until(|state| state.store.next_expiry()).await;
        let now = world.now();
        if next <= now {
            world.change(|state| state.store.expire(now));
            continue;
        }
        let earlier = world.until(|state| {
            let sooner = state.store.next_expiry().is_none_or(|at| at < next);
            sooner.then_some(())
        });
        // Whether it slept to the end or something came sooner does not matter: the loop looks again.
        drop(tokio::time::timeout(next.saturating_sub(now), earlier).await);
    }
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;
