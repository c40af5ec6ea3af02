//! Keys as this API shows them: a tree of directories.

use pgherd_domain::Revision;
use pgherd_ports::keyspace::{Item, Prefix};
use serde::Deserialize;

/// A key, or a directory of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Node {
    /// The whole key, with a slash in front.
    pub(crate) key: String,
    /// Empty for a directory.
    pub(crate) value: String,
    pub(crate) dir: bool,
    pub(crate) nodes: Vec<Self>,
    /// How many seconds it has left, rounded up, by the clock of the server that answered.
    pub(crate) ttl: Option<i64>,
    /// The store's index when it was last changed; also a renewal is a change.
    pub(crate) modified_index: u64,
    /// The store's index when it came to be; renewals keep it.
    pub(crate) created_index: u64,
}

impl Node {
    /// The number of its last change.
    pub(crate) fn revision(&self) -> Revision {
        Revision::try_from(self.modified_index).unwrap_or(Revision::MAX)
    }

    /// All keys in it.
    pub(crate) fn leaves(&self) -> Vec<&Self> {
        let mut found = Vec::new();
        let mut rest = vec![self];
        while let Some(node) = rest.pop() {
            match node.dir {
                true => rest.extend(&node.nodes),
                false => found.push(node),
            }
        }
        found
    }

    /// It as a key of the cluster. `mine`: the leader key is mine. Renewals change that key all the time, so what counts
    /// as its revision is when it came to be: one number for each term of office.
    pub(crate) fn item(&self, prefix: &Prefix, mine: impl Fn(&Self) -> bool) -> Option<Item> {
        let path = prefix.below(self.key.as_bytes())?.to_owned();
        let leads = path == "leader";
        let created = Revision::try_from(self.created_index).unwrap_or(Revision::MAX);
        Some(Item {
            value: self.value.clone(),
            revision: if leads { created } else { self.revision() },
            on_my_lease: leads && mine(self),
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_as_its_keys() {
        let tree: Node = serde_json::from_str(
            r#"{"key":"/service/demo","dir":true,"modifiedIndex":4,"createdIndex":4,"nodes":[
                {"key":"/service/demo/members","dir":true,"nodes":[
                    {"key":"/service/demo/members/a","value":"{}","ttl":30,"modifiedIndex":9,"createdIndex":5}]},
                {"key":"/service/demo/leader","value":"a","ttl":29,"modifiedIndex":10,"createdIndex":6},
                {"key":"/service/demo/empty","dir":true}]}"#,
        )
        .unwrap();
        let prefix = Prefix::new("service", "demo");
        let leaves = tree.leaves();
        let items = leaves
            .iter()
            .filter_map(|node| node.item(&prefix, |_| true));
        let mut items: Vec<_> = items
            .map(|item| (item.path, item.revision, item.on_my_lease))
            .collect();
        items.sort();
        let expected = [
            ("leader".to_owned(), 6, true),
            ("members/a".to_owned(), 9, false),
        ];
        assert_eq!(items, expected);
    }
}
