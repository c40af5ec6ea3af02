//! How a transaction proves that the leader key is mine.
//!
//! ZooKeeper's transactions can check the version of a node, and nothing else: not its value, not its owner, and a
//! node that is deleted and made anew begins at version 0 again. So a leader key of ours is known by three nodes that
//! are written in one transaction when the key is taken, and checked together in every transaction that needs the
//! key to be mine:
//!
//! - `leader` is at version 1, for we write it once more in the same transaction: Patroni's leaders leave it at 0;
//! - the node of the reign is there. It hangs on the same session, and its name is never used again;
//! - `term` is at the version that the acquisition gave it: no other pgherd has taken the key since.
//!
//! A key that somebody else holds fails one of them: a Patroni's is at version 0, another pgherd's has raised the
//! term, and where all of the prefix was removed and made anew the node of the reign is gone.

use crate::paths::Paths;
use crate::request::{Node, Op};

/// The version of a leader key that pgherd wrote.
const OURS: i32 = 1;
const PREFIX: &str = "reign-";

/// One term of office of somebody who is pgherd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reign {
    /// The session that it hangs on.
    pub(crate) owner: i64,
    /// Its node's name.
    pub(crate) name: String,
    /// The version of `term` that belongs to it.
    pub(crate) term: i32,
}

impl Reign {
    /// A name that no other reign has: sessions are numbered by ZooKeeper, and `number` counts within one.
    pub(crate) fn name(session: i64, number: u32) -> String {
        format!("{PREFIX}{session:016x}-{number}")
    }

    /// The reign that nodes as read belong to; `None` for a leader key that is not pgherd's.
    pub(crate) fn of(leader: Option<&Node>, term: Option<&Node>) -> Option<Self> {
        let (leader, term) = (leader?, term?);
        let owner = leader.stat.owner;
        let named = term.value.strip_prefix(PREFIX)?.split_once('-')?.0;
        let belongs = named == format!("{owner:016x}") && leader.stat.version == OURS;
        belongs.then(|| Self {
            owner,
            name: term.value.clone(),
            term: term.stat.version,
        })
    }

    /// Fails unless the leader key is this reign's.
    pub(crate) fn proof(&self, paths: &Paths) -> Vec<Op> {
        let check = |path, version| Op::Check { path, version };
        vec![
            check(paths.leader(), OURS),
            check(paths.reign(&self.name), 0),
            check(paths.term(), self.term),
        ]
    }

    /// Takes the key away, which must be this reign's.
    pub(crate) fn end(&self, paths: &Paths) -> Vec<Op> {
        vec![
            Op::Check {
                path: paths.term(),
                version: self.term,
            },
            Op::Delete {
                path: paths.leader(),
                version: OURS,
            },
            Op::Delete {
                path: paths.reign(&self.name),
                version: 0,
            },
        ]
    }

    /// Creates the key for `me` and a reign `name` on the session that asks. The first part fails when there is one;
    /// the last but one says the version of the term.
    pub(crate) fn begin(paths: &Paths, me: &str, name: &str) -> Vec<Op> {
        let path = paths.leader();
        vec![
            Op::Create {
                path: path.clone(),
                value: me.to_owned(),
                ephemeral: true,
            },
            Op::Set {
                path,
                value: me.to_owned(),
                version: 0,
            },
            Op::Set {
                path: paths.term(),
                value: name.to_owned(),
                version: crate::request::ANY_VERSION,
            },
            Op::Create {
                path: paths.reign(name),
                value: String::new(),
                ephemeral: true,
            },
        ]
    }

    /// The same reign under another name: whatever was handed out with the old one is void.
    pub(crate) fn rename(&self, paths: &Paths, name: &str) -> Vec<Op> {
        vec![
            Op::Check {
                path: paths.leader(),
                version: OURS,
            },
            Op::Delete {
                path: paths.reign(&self.name),
                version: 0,
            },
            Op::Set {
                path: paths.term(),
                value: name.to_owned(),
                version: self.term,
            },
            Op::Create {
                path: paths.reign(name),
                value: String::new(),
                ephemeral: true,
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Stat;

    fn node(value: &str, owner: i64, version: i32) -> Node {
        Node {
            value: value.into(),
            stat: Stat {
                owner,
                version,
                ..Stat::default()
            },
        }
    }

    #[test]
    fn a_key_belongs_to_the_reign_that_the_term_names_and_to_no_other() {
        let term = node(&Reign::name(-7, 2), 0, 5);
        let found = Reign::of(Some(&node("a", -7, 1)), Some(&term)).unwrap();
        assert_eq!((found.owner, found.term), (-7, 5));
        assert_eq!(found.name, "reign-fffffffffffffff9-2");
        for (leader, term) in [
            // Patroni's; of another session; written by hand; a term that names nothing
            (node("a", -7, 0), &term),
            (node("a", 8, 1), &term),
            (node("a", -7, 2), &term),
            (node("a", 0, 1), &node("", 0, 0)),
        ] {
            assert_eq!(Reign::of(Some(&leader), Some(term)), None, "{leader:?}");
        }
        assert_eq!(Reign::of(None, Some(&term)), None);
    }
}
