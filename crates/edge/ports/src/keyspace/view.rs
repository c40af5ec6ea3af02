//! The cluster out of its keys. Garbage counts as absent, never as an error (contract §4.1).

use std::collections::BTreeMap;

use pgherd_domain::documents::{FailoverDoc, HistoryDoc, MemberDoc, StatusDoc, SyncDoc};
use pgherd_domain::{ClusterView, LeaderKey, MemberName, Revision, Versioned};

/// One key below the prefix, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Below the prefix, such as `members/node1`.
    pub path: String,
    /// The value; bytes that are no UTF-8 are replaced.
    pub value: String,
    /// The store's number of its last change.
    pub revision: Revision,
    /// Whether it hangs on the reader's own lease.
    pub on_my_lease: bool,
}

/// Makes the view.
pub fn cluster(items: &[Item]) -> ClusterView {
    let mut view = ClusterView::default();
    let mut legacy_optime = None;
    let mut status = None;
    for item in items {
        let value = item.value.as_str();
        if is_garbage(&item.path, value) {
            view.garbage.insert(item.path.clone(), item.revision);
        }
        match item.path.as_str() {
            "initialize" => view.initialize = Some(versioned(value.to_owned(), item)),
            "leader" => view.leader = leader(item),
            "config" => {
                view.config_revision = Some(item.revision);
                view.config = serde_map(value).map(|value| versioned(value, item));
            }
            "status" => status = Some(StatusDoc::parse(value)),
            "optime/leader" => legacy_optime = Some(StatusDoc::parse(value)),
            "failover" => {
                view.failover_revision = Some(item.revision);
                view.failover = FailoverDoc::parse(value).map(|doc| versioned(doc, item));
            }
            "sync" => view.sync = Some(versioned(SyncDoc::parse(value), item)),
            "history" => view.history = HistoryDoc::parse(value),
            "failsafe" => view.failsafe = failsafe(value),
            "pgherd_dr" => view.dr = serde_list(value).map(|value| versioned(value, item)),
            path => {
                if let Some(name) = member(path) {
                    view.members.insert(name, MemberDoc::parse(value));
                }
            }
        }
    }
    view.status = status.or(legacy_optime).unwrap_or_default();
    view
}

/// Whether somebody wrote what is of no use there; an empty value is nothing at all, but for a name.
fn is_garbage(path: &str, value: &str) -> bool {
    let is_map = || serde_map(value).is_some();
    let is_list = || serde_list(value).is_some();
    match path {
        "leader" => MemberName::new(value).is_err(),
        _ if value.trim().is_empty() => false,
        "failover" => FailoverDoc::is_garbage(value),
        "sync" | "failsafe" => !is_map(),
        "status" => !is_map() && value.trim().parse::<u64>().is_err(),
        "history" | "pgherd_dr" => !is_list(),
        path if path.starts_with("members/") => {
            member(path).is_none() || (!is_map() && !value.contains("://"))
        }
        _ => false,
    }
}

/// The member whose key this is; `None` also for a name that no member may have.
pub(super) fn member(path: &str) -> Option<MemberName> {
    MemberName::new(path.strip_prefix("members/")?).ok()
}

const fn versioned<T>(value: T, item: &Item) -> Versioned<T> {
    Versioned {
        value,
        revision: item.revision,
    }
}

fn leader(item: &Item) -> Option<LeaderKey> {
    Some(LeaderKey {
        name: MemberName::new(&item.value).ok()?,
        revision: item.revision,
        on_my_lease: item.on_my_lease,
    })
}

fn serde_map(value: &str) -> Option<serde_json::Value> {
    let value: serde_json::Value = serde_json::from_str(value).ok()?;
    value.is_object().then_some(value)
}

fn serde_list(value: &str) -> Option<serde_json::Value> {
    let value: serde_json::Value = serde_json::from_str(value).ok()?;
    value.is_array().then_some(value)
}

fn failsafe(value: &str) -> BTreeMap<String, String> {
    let Some(serde_json::Value::Object(map)) = serde_map(value) else {
        return BTreeMap::new();
    };
    map.into_iter()
        .filter_map(|(name, url)| Some((name, url.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &str, value: &str) -> Item {
        Item {
            path: path.into(),
            value: value.into(),
            revision: 7,
            on_my_lease: true,
        }
    }

    #[test]
    fn every_key_finds_its_place() {
        let view = cluster(&[
            item("config", r#"{"ttl":30}"#),
            item("failover", "{}"),
            item("failsafe", r#"{"a":"http://a:8008/patroni","b":1}"#),
            item("history", "[]"),
            item("initialize", "7575757575757575757"),
            item("leader", "a"),
            item("members/a", r#"{"state":"running"}"#),
            item("optime/leader", "5"),
            item("status", r#"{"optime":6}"#),
            item("sync", r#"{"leader":"a","sync_standby":"b"}"#),
        ]);
        assert_eq!(view.system_id(), Some("7575757575757575757"));
        let leader = view.leader.as_ref().unwrap();
        assert!(leader.on_my_lease && leader.revision == 7);
        assert!(view.leader_member().unwrap().is_running());
        assert_eq!(view.status.optime, Some(pgherd_domain::Lsn::new(6)));
        assert_eq!((view.failover, view.failover_revision), (None, Some(7)));
        assert_eq!(view.failsafe.len(), 1);
        assert!(view.history.is_some() && view.config.is_some() && view.sync.is_some());
    }

    #[test]
    fn garbage_and_foreign_keys_count_as_absent() {
        let view = cluster(&[
            item("0/leader", "worker"),
            item("config", "[]"),
            item("history", "?"),
            item("leader", ""),
            item("members/", "{}"),
            item("members/a/b", "{}"),
            item("optime/leader", "5"),
            item("pgherd/extra", "1"),
            item("sync", "null"),
        ]);
        assert_eq!((&view.config, view.config_revision), (&None, Some(7)));
        assert_eq!(view.leader, None);
        assert_eq!(view.history, None);
        assert!(view.members.is_empty());
        assert_eq!(view.sync_state(), None);
        assert_eq!(view.status.optime, Some(pgherd_domain::Lsn::new(5)));
    }

    #[test]
    fn what_somebody_wrote_by_hand_is_told_and_what_may_be_empty_is_not() {
        let well = [
            ("failover", "{}"),
            ("failover", "a:b"),
            ("failsafe", ""),
            ("history", "[]"),
            ("leader", "a"),
            ("members/a", "postgres://h:1/d"),
            ("members/b", "{}"),
            ("optime/leader", "x"),
            ("pgherd/extra", "?"),
            ("status", "5"),
            ("sync", " "),
        ];
        let odd = [
            ("failover", "x"),
            ("failsafe", "[]"),
            ("history", "{}"),
            ("leader", ""),
            ("members/", "{}"),
            ("members/a", "?"),
            ("members/a/b", "{}"),
            ("pgherd_dr", "{}"),
            ("status", "x"),
            ("sync", "null"),
        ];
        let found = |pairs: &[(&str, &str)]| -> Vec<String> {
            let items: Vec<Item> = pairs
                .iter()
                .map(|(path, value)| item(path, value))
                .collect();
            cluster(&items).garbage.into_keys().collect()
        };
        assert_eq!(found(&well), [""; 0]);
        assert_eq!(found(&odd), odd.map(|(path, _)| path));
    }
}
