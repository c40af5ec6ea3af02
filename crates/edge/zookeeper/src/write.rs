//! Conditional writes: a read that tells the key's version, and one transaction that checks it.
//!
//! Revisions are mzxids, which never repeat; transactions check versions, which begin at 0 again when a node is
//! deleted and made anew. So the read also tells how many keys pgherd has deleted so far, and the transaction checks
//! that number too: a key that was deleted in between fails it. Keys that Patroni deletes beside its own session's are
//! `initialize` after a bootstrap that failed, and all of them by `patronictl remove`; both would have to fall, with
//! the key made anew and written as often as before, into the milliseconds between the read and the transaction.

use pgherd_domain::{MemberName, Revision};
use pgherd_ports::{Condition, DcsError, Key, Written};

use crate::lease::Lease;
use crate::link::Answer;
use crate::pace::Pace;
use crate::request::{ANY_VERSION, Node, Op, Request, code};
use crate::store::{Outcome, Store, barrier, data, node, outcome};

/// How often somebody else may be faster.
const ROUNDS_MAX: usize = 6;

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
struct Attempt<'a> {
    path: String,
    change: Change<'a>,
    when: Condition,
    /// Fails unless I lead; empty where I need not.
    proof: Vec<Op>,
    /// A transaction was sent whose answer did not come.
    perhaps: bool,
    /// Sent once at most: being equal does not make it mine.
    once: bool,
}

/// What to do after a look at the key.
#[derive(Debug)]
enum Next {
    Done(Written),
    /// Look again, behind a barrier.
    Look,
    Send(Vec<Op>),
}

impl Store {
    /// Writes a key that stays, if `when` holds.
    pub(crate) async fn write(
        &self,
        key: &Key,
        change: Change<'_>,
        when: Condition,
    ) -> Result<Written, DcsError> {
        let mut pace = self.operation();
        let path = self.paths.key(key);
        let Some(mut attempt) = self.attempt(path, change, when, &pace).await? else {
            return Ok(Written::Refused);
        };
        attempt.once = is_a_claim(key, when);
        let mut current = attempt.once;
        for _ in 0..ROUNDS_MAX {
            let look = [data(attempt.path.clone()), data(self.paths.own())];
            let look: Vec<Request> = match current {
                true => [barrier()].into_iter().chain(look).collect(),
                false => look.to_vec(),
            };
            let found = self.ask(&look, &mut pace).await?;
            let mut found = found.iter().skip(usize::from(current));
            let (there, own) = (node(found.next())?, node(found.next())?);
            let Some(own) = own else {
                self.ensure_parents(&mut pace).await?;
                continue;
            };
            let ops = match attempt.next(there, current) {
                Next::Done(written) => return Ok(written),
                Next::Look => {
                    current = true;
                    continue;
                }
                Next::Send(mut ops) => {
                    if !ops.is_empty() {
                        ops.push(self.count(change, own));
                    }
                    ops
                }
            };
            if attempt.once {
                pace.ask_once();
            }
            pace.repeated = false;
            let asked = [Request::Multi([attempt.proof.clone(), ops].concat())];
            let answers = self.ask(&asked, &mut pace).await?;
            if let Some(written) = attempt.read(&answers, &pace)? {
                return Ok(written);
            }
            current = true;
        }
        Err(attempt.gave_up())
    }

    /// Counts a deletion, or checks that none came in between.
    fn count(&self, change: Change<'_>, own: &Node) -> Op {
        let (path, version) = (self.paths.own(), own.stat.version);
        match change {
            Change::Put(_) | Change::Clear => Op::Check { path, version },
            Change::Delete => Op::Set {
                path,
                value: String::new(),
                version,
            },
        }
    }

    /// Writes a member key on my session, which begins if there is none.
    pub(crate) async fn put_member(
        &self,
        name: &MemberName,
        value: &str,
        when: Condition,
    ) -> Result<Written, DcsError> {
        let mut pace = self.operation();
        let path = self.paths.key(&Key::Member(name.clone()));
        let change = Change::Put(value);
        let Some(mut attempt) = self.attempt(path, change, when, &pace).await? else {
            return Ok(Written::Refused);
        };
        let mut lease = self.lease(&pace).await?;
        for _ in 0..ROUNDS_MAX {
            let written = self.put_once(&mut lease, name, &mut attempt, &mut pace);
            if let Some(written) = written.await? {
                return Ok(written);
            }
        }
        Err(attempt.gave_up())
    }

    async fn put_once(
        &self,
        lease: &mut Lease,
        name: &MemberName,
        attempt: &mut Attempt<'_>,
        pace: &mut Pace,
    ) -> Result<Option<Written>, DcsError> {
        let session = self.my_session(lease, pace).await?;
        let heir = self.paths.heir(name);
        let look = [
            barrier(),
            data(attempt.path.clone()),
            data(self.paths.own()),
            data(heir.clone()),
        ];
        let Some(found) = self.on_lease(lease, &look, false, pace).await? else {
            return Ok(None);
        };
        let there = node(found.get(1))?;
        if node(found.get(2))?.is_none() {
            self.ensure_parents(pace).await?;
            return Ok(None);
        }
        let mut ops = match attempt.next(there, true) {
            Next::Done(written) => return Ok(Some(written)),
            Next::Look => return Ok(None),
            Next::Send(ops) => ops,
        };
        if let Change::Put(value) = attempt.change {
            let mine = there.is_some_and(|there| there.stat.owner == session.id);
            if !mine {
                ops = there
                    .map(|there| delete(&attempt.path, there.stat.version))
                    .into_iter()
                    .chain(created(&attempt.path, value, true))
                    .collect();
            }
        }
        // By this others hand the leader key to me.
        let door = node(found.get(3))?;
        if self.me.as_ref() == Some(name) && door.is_none_or(|door| door.stat.owner != session.id) {
            ops.splice(
                0..0,
                door.map(|_| delete(&heir, ANY_VERSION))
                    .into_iter()
                    .chain([Op::Create {
                        path: heir,
                        value: String::new(),
                        ephemeral: true,
                    }]),
            );
        }
        pace.repeated = false;
        let asked = [Request::Multi([attempt.proof.clone(), ops].concat())];
        match self.on_lease(lease, &asked, false, pace).await? {
            Some(answers) => attempt.read(&answers, pace),
            None => Ok(None),
        }
    }

    /// `None`: I must lead, and do not.
    async fn attempt<'a>(
        &self,
        path: String,
        change: Change<'a>,
        when: Condition,
        pace: &Pace,
    ) -> Result<Option<Attempt<'a>>, DcsError> {
        let proof = if when.leading {
            match self.claim(pace).await? {
                Some(reign) => reign.proof(&self.paths),
                None => return Ok(None),
            }
        } else {
            Vec::new()
        };
        Ok(Some(Attempt {
            path,
            change,
            when,
            proof,
            perhaps: false,
            once: false,
        }))
    }
}

impl Attempt<'_> {
    /// What to do about the key as found; `current`: no older than this call.
    fn next(&self, there: Option<&Node>, current: bool) -> Next {
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
    fn read(&mut self, answers: &[Answer], pace: &Pace) -> Result<Option<Written>, DcsError> {
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

    fn gave_up(&self) -> DcsError {
        DcsError::Answered(format!(
            "`{}` or the session changed between {ROUNDS_MAX} attempts; try again",
            self.path
        ))
    }
}

fn delete(path: &str, version: i32) -> Op {
    Op::Delete {
        path: path.to_owned(),
        version,
    }
}

/// A new node, written twice: Patroni takes version 0 for no version at all and would not compare with it
/// (contract §4.6), and only the second part says what the node is like.
fn created(path: &str, value: &str, ephemeral: bool) -> [Op; 2] {
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

/// Whether this creates `initialize`, by which one member claims the right to bootstrap. Two members write the
/// same value there, so a write whose answer was lost can not be recognised as ours: it is sent once, and when
/// its outcome is unknown that is said.
fn is_a_claim(key: &Key, when: Condition) -> bool {
    *key == Key::Initialize && when.revision == Some(0)
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
