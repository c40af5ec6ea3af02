//! Keys of one cluster: `/<namespace>/<scope>/<path>` (contract §4.1).

use std::collections::BTreeSet;

use crate::Key;

/// The prefix under which a cluster's keys live, with one slash in front and one behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Joins the parts; repeated slashes count as one.
    pub fn new(namespace: &str, scope: &str) -> Self {
        let parts = namespace.split('/').chain(scope.split('/'));
        let mut text = String::from("/");
        for part in parts.filter(|part| !part.is_empty()) {
            text.push_str(part);
            text.push('/');
        }
        Self(text)
    }

    /// The same for a store whose keys begin without a slash.
    #[must_use]
    pub fn without_slash_in_front(mut self) -> Self {
        if self.0.starts_with('/') {
            self.0.remove(0);
        }
        self
    }

    /// The full key.
    pub fn key(&self, key: &Key) -> String {
        format!("{}{}", self.0, key.path())
    }

    /// The part of a full key below the prefix.
    pub fn below<'a>(&self, full: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(full).ok()?.strip_prefix(&self.0)
    }

    /// The groups of a Citus cluster: the numbers that keys below the cluster's prefix begin with, in order.
    pub fn groups<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> Vec<u32> {
        let first = |key| self.below(key)?.split_once('/')?.0.parse().ok();
        let groups: BTreeSet<u32> = keys.into_iter().filter_map(first).collect();
        groups.into_iter().collect()
    }

    /// The prefix itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_around_the_namespace_do_not_matter() {
        for namespace in ["service", "/service", "/service/", "//service//"] {
            let prefix = Prefix::new(namespace, "demo");
            assert_eq!(prefix.key(&Key::Leader), "/service/demo/leader");
            assert_eq!(prefix.below(b"/service/demo/members/a"), Some("members/a"));
            assert_eq!(prefix.below(b"/service/demo2/leader"), None);
        }
        assert_eq!(Prefix::new("/", "demo").as_str(), "/demo/");
        let bare = Prefix::new("/service/", "demo").without_slash_in_front();
        assert_eq!(bare.key(&Key::Leader), "service/demo/leader");
    }

    #[test]
    fn groups_are_the_numbers_that_keys_begin_with() {
        let prefix = Prefix::new("service", "demo");
        let keys = ["1/leader", "config", "0/config", "x/1", "1/members/a"];
        let keys = keys.map(|key| format!("/service/demo/{key}").into_bytes());
        assert_eq!(prefix.groups(keys.iter().map(Vec::as_slice)), [0, 1]);
    }
}
