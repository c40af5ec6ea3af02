//! Reading everything: the cluster's objects at one moment, and its pods, and what keys they make.

use pgherd_domain::{ClusterView, Revision};
use pgherd_ports::keyspace::{self, Item};
use pgherd_ports::{Clock as _, DcsError, Key};
use std::sync::PoisonError;

use crate::documents::{self, Digest};
use crate::marks::Marks;
use crate::names::Thing;
use crate::object::Object;
use crate::pod::{Presence, presence};
use crate::record::{Owner, Record};
use crate::reign::Holder;
use crate::store::Store;

/// Keys that are in the cluster's objects, but for the leader key.
const KEYS: [Key; 8] = [
    Key::Initialize,
    Key::Config,
    Key::Status,
    Key::Failover,
    Key::Sync,
    Key::History,
    Key::Failsafe,
    Key::Dr,
];

/// A key as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) value: String,
    pub(crate) revision: Revision,
}

impl Store {
    /// The whole cluster. The objects are at one moment; pods are read at the same time, and each of them changes by its own
    /// member's word only.
    pub(crate) async fn read_all(&self) -> Result<ClusterView, DcsError> {
        let pace = self.operation();
        let (things, pods) = self
            .http
            .ask(pace, |_| async move {
                let things = self.list(self.names.things(), pace);
                tokio::try_join!(things, self.list("pods", pace))
            })
            .await?;
        let mut items = self.items_of_things(&things.objects);
        items.extend(self.items_of_pods(&pods.objects));
        Ok(keyspace::cluster(&items))
    }

    /// The keys in the cluster's objects as they were read a moment ago.
    pub(crate) fn items_of_things(&self, objects: &[Object]) -> Vec<Item> {
        let find = |thing| {
            let name = self.names.name(thing);
            objects.iter().find(|object| object.name == name)
        };
        let mut items: Vec<Item> = KEYS
            .iter()
            .filter_map(|key| {
                let current = self.current(key, find(Thing::of(key)?))?;
                Some(Item {
                    path: key.path(),
                    value: current.value,
                    revision: current.revision,
                    on_my_lease: false,
                })
            })
            .collect();
        items.extend(self.leader_item(find(Thing::Leader)));
        items
    }

    fn leader_item(&self, object: Option<&Object>) -> Option<Item> {
        let holder = self.holder(object);
        let (object, record) = (object?, Record::of(object?));
        let on_my_lease = match holder {
            // What names no member is told as such, until it runs out.
            Holder::Nobody
                if record.leader.is_empty()
                    || pgherd_domain::MemberName::new(&record.leader).is_ok() =>
            {
                return None;
            }
            Holder::Nobody | Holder::Unsettled | Holder::FormerLife | Holder::Other(_) => false,
            Holder::Me => true,
        };
        let owner = Owner::of(object, &record);
        let revision = match owner {
            Some(owner) => owner.term,
            None => {
                let mut digest = Digest::default();
                digest.add(&record.leader);
                digest.add(&record.acquired);
                self.first_seen(&Key::Leader, digest.0, object.number)
            }
        };
        Some(Item {
            path: Key::Leader.path(),
            value: record.leader,
            revision,
            on_my_lease,
        })
    }

    /// The members in pods as they were read a moment ago.
    pub(crate) fn items_of_pods(&self, pods: &[Object]) -> Vec<Item> {
        let now = self.clock.now();
        self.watched
            .keep(|name| pods.iter().any(|pod| pod.name == name));
        let of_us = pods.iter();
        of_us
            .filter(|pod| self.names.is_of_group(&pod.labels))
            .filter_map(|pod| {
                let on_my_lease = match presence(pod, &self.watched, now) {
                    Presence::Absent | Presence::Ended => return None,
                    Presence::Foreign => false,
                    Presence::On(lease) => lease == self.lease,
                };
                Some(Item {
                    path: format!("members/{}", pod.name),
                    value: pod.get("status")?.to_owned(),
                    revision: pod.number,
                    on_my_lease,
                })
            })
            .collect()
    }

    /// A key in its object; `None`: it is not there.
    pub(crate) fn current(&self, key: &Key, object: Option<&Object>) -> Option<Current> {
        let object = object?;
        let value = documents::value(key, object);
        if let Some(mark) = Marks::read(object).of(key, object) {
            return Some(Current {
                value: value.unwrap_or_else(|| documents::cleared(key)),
                revision: mark.revision,
            });
        }
        let digest = documents::digest(key, |name| object.get(name));
        Some(Current {
            value: value?,
            revision: self.first_seen(key, digest, object.number),
        })
    }

    /// The revision of what others wrote: the version at which it was first seen to be so.
    fn first_seen(&self, key: &Key, digest: u64, number: Revision) -> Revision {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(key.path()).or_insert((digest, number));
        if entry.0 != digest {
            *entry = (digest, number);
        }
        entry.1
    }
}
