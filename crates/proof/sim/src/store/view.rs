//! One consistent read of the prefix as a member sees it.

use std::collections::BTreeMap;

use pgherd_domain::documents::{FailoverDoc, HistoryDoc, MemberDoc, StatusDoc, SyncDoc};
use pgherd_domain::{ClusterView, LeaderKey, MemberName, Revision, Versioned};
use serde_json::Value;

use super::{Entry, Store};

impl Store {
    /// The view of the member whose lease is `mine`.
    pub(super) fn view(&self, mine: Option<u64>) -> ClusterView {
        let failover = self.keys.get("failover");
        ClusterView {
            initialize: self.keys.get("initialize").map(|entry| Versioned {
                value: entry.value.clone(),
                revision: entry.revision,
            }),
            leader: self.keys.get("leader").and_then(|entry| {
                Some(LeaderKey {
                    name: MemberName::new(&entry.value).ok()?,
                    revision: entry.revision,
                    on_my_lease: mine.is_some() && entry.lease == mine,
                })
            }),
            members: self
                .keys
                .iter()
                .filter_map(|(key, entry)| {
                    let name = MemberName::new(key.strip_prefix("members/")?).ok()?;
                    Some((name, MemberDoc::parse(&entry.value)))
                })
                .collect(),
            config: self.document("config", |text| {
                let value: Value = serde_json::from_str(text).ok()?;
                value.is_object().then_some(value)
            }),
            config_revision: self.keys.get("config").map(|entry| entry.revision),
            status: self
                .value("status")
                .or_else(|| self.value("optime/leader"))
                .map(StatusDoc::parse)
                .unwrap_or_default(),
            failover: self.document("failover", FailoverDoc::parse),
            failover_revision: failover.map(|entry| entry.revision),
            sync: self.document("sync", |text| Some(SyncDoc::parse(text))),
            history: self.value("history").and_then(HistoryDoc::parse),
            failsafe: self.failsafe(),
            garbage: self.garbage(),
            dr: self.document("pgherd_dr", |text| {
                let value: Value = serde_json::from_str(text).ok()?;
                value.is_array().then_some(value)
            }),
        }
    }

    /// What the node knows that `member` is connected to, current or not.
    pub(super) fn view_at_node_of(
        &mut self,
        member: &MemberName,
        mine: Option<u64>,
    ) -> ClusterView {
        let Some(known) = self.behind.remove(member) else {
            return self.view(mine);
        };
        let current = std::mem::replace(&mut self.keys, known);
        let view = self.view(mine);
        let known = std::mem::replace(&mut self.keys, current);
        self.behind.insert(member.clone(), known);
        view
    }

    /// The one key whose garbage is more than nothing.
    fn garbage(&self) -> BTreeMap<String, Revision> {
        let leader = self.keys.get("leader");
        let garbled = leader.filter(|entry| MemberName::new(&entry.value).is_err());
        let garbled = garbled.map(|entry| ("leader".to_owned(), entry.revision));
        garbled.into_iter().collect()
    }

    fn document<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Versioned<T>> {
        let Entry {
            value, revision, ..
        } = self.keys.get(key)?;
        Some(Versioned {
            value: parse(value)?,
            revision: *revision,
        })
    }
    /// Whether this cluster is to follow another one.
    pub(crate) fn follows_another(&self) -> bool {
        let Some(Ok(config)) = self.value("config").map(serde_json::from_str::<Value>) else {
            return false;
        };
        config
            .get("standby_cluster")
            .is_some_and(|section| !section.is_null())
    }

    pub(crate) fn failsafe(&self) -> BTreeMap<String, String> {
        let Some(Ok(Value::Object(map))) = self.value("failsafe").map(serde_json::from_str) else {
            return BTreeMap::new();
        };
        map.into_iter()
            .filter_map(|(name, url)| Some((name, url.as_str()?.to_owned())))
            .collect()
    }
}
