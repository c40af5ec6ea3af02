//! One conditional write under way: what is to be done about the key as found, and what came of it. Nothing is sent here.

use pgherd_domain::Revision;
use pgherd_ports::{Condition, DcsError, Written};

use crate::answer::{Outcome, outcome};
use crate::link::Answer;
use crate::pace::Pace;
use crate::request::{Node, Op, code};

/// How often somebody else may be faster.
pub(crate) const ROUNDS_MAX: usize = 6;

/// What happens to a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// It gets this value.
    Put(&'a str),
    /// It goes away.
    Delete,
    /// It says nothing any more, as Patroni deletes `/sync` (contract §4.6): a key that was made anew would be at a
    /// version again that Patroni's members may have seen, and they compare with nothing else.
    Clear,
}

/// What a key that says nothing holds.
const NOTHING: &str = "{}";

/// One write under way.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) path: String,
    pub(crate) change: Change<'a>,
    pub(crate) when: Condition,
    /// Fails unless I lead; empty where I need not.
    pub(crate) proof: Vec<Op>,
    /// A transaction was sent whose answer did not come.
    pub(crate) perhaps: bool,
    /// Sent once at most: being equal does not make it mine.
    pub(crate) once: bool,
}

/// What to do after a look at the key.
#[derive(Debug)]
pub(crate) enum Next {
    Done(Written),
    /// Look again, behind a barrier.
    Look,
    Send(Vec<Op>),
}

impl Attempt<'_> {
    /// What to do about the key as found; `current`: no older than this call.
    pub(crate) fn next(&self, there: Option<&Node>, current: bool) -> Next {
        let revision = there.map_or(0, |there| there.stat.mzxid);
        let wanted = self.when.revision.is_none_or(|wanted| wanted == revision);
        match (self.change, there) {
            // Deleting what is not there is done at once; who must lead still proves it.
            (Change::Delete | Change::Clear, None) if self.proof.is_empty() && current => {
                Next::Done(Written::Done(0))
            }
            (Change::Delete | Change::Clear, None) if current => Next::Send(Vec::new()),
            (Change::Put(_) | Change::Clear, Some(there))
                if !wanted
                    && current
                    && self.perhaps
                    && !self.once
                    && Some(there.value.as_str()) == self.value() =>
            {
                Next::Done(Written::Done(revision))
            }
            _ if !wanted && current => Next::Done(Written::Refused),
            (Change::Delete | Change::Clear, None) => Next::Look,
            _ if !wanted => Next::Look,
            (Change::Delete, Some(there)) => {
                Next::Send(vec![delete(&self.path, there.stat.version)])
            }
            (Change::Put(value), None) => Next::Send(created(&self.path, value, false).to_vec()),
            (Change::Put(_) | Change::Clear, Some(there)) => Next::Send(vec![Op::Set {
                path: self.path.clone(),
                value: self.value().unwrap_or_default().to_owned(),
                version: there.stat.version,
            }]),
        }
    }

    /// What the key holds afterwards; `None`: it is gone.
    const fn value(&self) -> Option<&str> {
        match self.change {
            Change::Put(value) => Some(value),
            Change::Clear => Some(NOTHING),
            Change::Delete => None,
        }
    }

    /// What came of the transaction; `None`: look again.
    pub(crate) fn read(
        &mut self,
        answers: &[Answer],
        pace: &Pace,
    ) -> Result<Option<Written>, DcsError> {
        self.perhaps |= pace.repeated;
        Ok(match outcome(answers.first())? {
            Outcome::Done(stats) => {
                let written = |revision: Revision| Some(Written::Done(revision));
                match self.change {
                    Change::Put(_) | Change::Clear => {
                        // The key is the last that was set.
                        let stat = stats.iter().rev().find_map(|stat| *stat);
                        written(stat.map_or(0, |stat| stat.mzxid))
                    }
                    Change::Delete => written(0),
                }
            }
            // Not leading.
            Outcome::Failed { at, .. } if at < self.proof.len() => Some(Written::Refused),
            Outcome::Failed {
                code: code::NODE_EXISTS,
                ..
            } if self.once => Some(Written::Refused),
            Outcome::Failed { .. } => None,
        })
    }

    pub(crate) fn gave_up(&self) -> DcsError {
        DcsError::Answered(format!(
            "`{}` or the session changed between {ROUNDS_MAX} attempts; try again",
            self.path
        ))
    }
}

pub(crate) fn delete(path: &str, version: i32) -> Op {
    Op::Delete {
        path: path.to_owned(),
        version,
    }
}

/// A new node, written twice: Patroni takes version 0 for no version at all and would not compare with it
/// (contract §4.6), and only the second part says what the node is like.
pub(crate) fn created(path: &str, value: &str, ephemeral: bool) -> [Op; 2] {
    [
        Op::Create {
            path: path.to_owned(),
            value: value.to_owned(),
            ephemeral,
        },
        Op::Set {
            path: path.to_owned(),
            value: value.to_owned(),
            version: 0,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Stat;

    fn at(revision: Revision, value: &str) -> Node {
        Node {
            value: value.into(),
            stat: Stat {
                mzxid: revision,
                version: 3,
                ..Stat::default()
            },
        }
    }

    fn attempt(change: Change<'_>, when: Condition) -> Attempt<'_> {
        Attempt {
            path: "/k".into(),
            change,
            when,
            proof: Vec::new(),
            perhaps: false,
            once: false,
        }
    }

    #[test]
    fn a_read_that_may_be_old_refuses_nothing() {
        let put = attempt(Change::Put("x"), Condition::unchanged(Some(7)));
        let there = at(6, "w");
        assert!(matches!(put.next(Some(&there), false), Next::Look));
        assert!(matches!(
            put.next(Some(&there), true),
            Next::Done(Written::Refused)
        ));
        assert!(matches!(put.next(Some(&at(7, "w")), false), Next::Send(_)));
    }

    #[test]
    fn a_key_that_is_cleared_stays() {
        let clear = attempt(Change::Clear, Condition::unchanged(Some(7)));
        let set = Next::Send(vec![Op::Set {
            path: "/k".into(),
            value: NOTHING.into(),
            version: 3,
        }]);
        let next = clear.next(Some(&at(7, "w")), true);
        assert_eq!(format!("{next:?}"), format!("{set:?}"));
        assert!(matches!(
            clear.next(None, true),
            Next::Done(Written::Done(0))
        ));
    }

    #[test]
    fn only_who_may_have_written_takes_an_equal_value_for_its_own() {
        let mut put = attempt(Change::Put("x"), Condition::unchanged(Some(7)));
        let there = at(8, "x");
        assert!(matches!(
            put.next(Some(&there), true),
            Next::Done(Written::Refused)
        ));
        put.perhaps = true;
        assert!(matches!(
            put.next(Some(&there), true),
            Next::Done(Written::Done(8))
        ));
        put.once = true;
        assert!(matches!(
            put.next(Some(&there), true),
            Next::Done(Written::Refused)
        ));
    }
}
