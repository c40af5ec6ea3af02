//! Conditional writes: a read that tells the key's version, and one transaction that checks it.
//!
//! Revisions are mzxids, which never repeat; transactions check versions, which begin at 0 again when a node is
//! deleted and made anew. So the read also tells how many keys pgherd has deleted so far, and the transaction checks
//! that number too: a key that was deleted in between fails it. Keys that Patroni deletes beside its own session's are
//! `initialize` after a bootstrap that failed, and all of them by `patronictl remove`; both would have to fall, with
//! the key made anew and written as often as before, into the milliseconds between the read and the transaction.

use pgherd_domain::MemberName;
use pgherd_ports::{Condition, DcsError, Key, Written};

use crate::answer::{barrier, data, node};
use crate::attempt::{Attempt, Change, Next, ROUNDS_MAX, created, delete};
use crate::lease::Lease;
use crate::pace::Pace;
use crate::request::{ANY_VERSION, Node, Op, Request};
use crate::store::Store;

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

/// Whether this creates `initialize`, by which one member claims the right to bootstrap. Two members write the
/// same value there, so a write whose answer was lost can not be recognised as ours: it is sent once, and when
/// its outcome is unknown that is said.
fn is_a_claim(key: &Key, when: Condition) -> bool {
    *key == Key::Initialize && when.revision == Some(0)
}
