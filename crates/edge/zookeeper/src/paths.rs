//! Where the nodes of one cluster lie: Patroni's, and below `pgherd_zookeeper` our own.
//!
//! ```text
//! pgherd_zookeeper                  its version counts deletions of keys: a version that was read before one is stale
//! pgherd_zookeeper/term             its version counts acquisitions of the leader key; holds the name of the reign
//! pgherd_zookeeper/reign-SESSION-N  ephemeral, made and deleted with the leader key (`reign`)
//! pgherd_zookeeper/heir-MEMBER      ephemeral, by which a leader hands the key over (`hand_over`)
//! ```
//!
//! Patroni leaves alone what it does not know (contract §4.10).

use pgherd_domain::MemberName;
use pgherd_ports::Key;
use pgherd_ports::keyspace::Prefix;

/// The nodes of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Paths(Prefix);

impl Paths {
    /// `chroot` goes before all, as in `host:2181/chroot`.
    pub(crate) fn new(chroot: &str, namespace: &str, scope: &str) -> Self {
        Self(Prefix::new(&format!("{chroot}/{namespace}"), scope))
    }

    /// The cluster's node.
    pub(crate) fn base(&self) -> String {
        self.0.as_str().trim_end_matches('/').to_owned()
    }

    /// A node below it.
    pub(crate) fn below(&self, path: &str) -> String {
        format!("{}{path}", self.0.as_str())
    }

    pub(crate) fn key(&self, key: &Key) -> String {
        self.0.key(key)
    }

    pub(crate) fn leader(&self) -> String {
        self.key(&Key::Leader)
    }

    pub(crate) fn members(&self) -> String {
        self.below("members")
    }

    /// The node of our own.
    pub(crate) fn own(&self) -> String {
        self.below("pgherd_zookeeper")
    }

    pub(crate) fn term(&self) -> String {
        self.below("pgherd_zookeeper/term")
    }

    /// The node of a reign of this name.
    pub(crate) fn reign(&self, name: &str) -> String {
        self.below(&format!("pgherd_zookeeper/{name}"))
    }

    pub(crate) fn heir(&self, member: &MemberName) -> String {
        self.below(&format!("pgherd_zookeeper/heir-{member}"))
    }

    /// Every node that must be there before keys can be written, parents first.
    pub(crate) fn parents(&self) -> Vec<String> {
        let base = self.base();
        let mut all: Vec<String> = base
            .match_indices('/')
            .skip(1)
            .filter_map(|(at, _)| base.get(..at))
            .map(str::to_owned)
            .collect();
        all.extend([base, self.members(), self.own(), self.term()]);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_before_children() {
        let paths = Paths::new("/root/", "/service/", "demo/0");
        assert_eq!(
            paths.parents(),
            [
                "/root",
                "/root/service",
                "/root/service/demo",
                "/root/service/demo/0",
                "/root/service/demo/0/members",
                "/root/service/demo/0/pgherd_zookeeper",
                "/root/service/demo/0/pgherd_zookeeper/term",
            ]
        );
        assert_eq!(
            Paths::new("", "service", "demo").leader(),
            "/service/demo/leader"
        );
    }
}
