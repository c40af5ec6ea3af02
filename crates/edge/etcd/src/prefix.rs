//! Keys of one cluster: `/<namespace>/<scope>/<path>` (contract §4.1).

use pgherd_ports::Key;

/// The prefix under which a cluster's keys live, with one slash in front and one behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// Joins the parts; repeated slashes count as one.
    pub(crate) fn new(namespace: &str, scope: &str) -> Self {
        let parts = namespace.split('/').chain(scope.split('/'));
        let mut text = String::from("/");
        for part in parts.filter(|part| !part.is_empty()) {
            text.push_str(part);
            text.push('/');
        }
        Self(text)
    }

    /// The full key.
    pub(crate) fn key(&self, key: &Key) -> String {
        format!("{}{}", self.0, key.path())
    }

    /// The part of a full key below the prefix.
    pub(crate) fn below<'a>(&self, full: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(full).ok()?.strip_prefix(&self.0)
    }

    /// The prefix itself.
    pub(crate) fn as_str(&self) -> &str {
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
    }
}
