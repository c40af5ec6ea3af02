//! Conditional writes. Each is one transaction; each may be sent twice and happens once.
//!
//! A write without a condition on the key compares with the revision last seen all the same, and tries again
//! with the actual one: so a request that was given up and arrives late can not undo a later one.

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use pgherd_domain::Revision;
use pgherd_ports::{Condition, DcsError, Key, Written};

use crate::fault::Fault;
use crate::lease::Lease;
use crate::pace::Pace;
use crate::pool::Tries;
use crate::store::{Holder, Store};

/// How often an unconditional write may find that somebody else was faster.
const ROUNDS_MAX: usize = 5;

/// What happens to a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// It gets this value.
    Put(&'a str),
    /// It goes away.
    Delete,
}

/// One transaction on one key.
#[derive(Debug, Clone, Copy)]
struct Attempt<'a> {
    full: &'a str,
    leader: &'a str,
    change: Change<'a>,
    expected: Revision,
    /// The lease that the key hangs on; 0: none.
    lease: i64,
    /// Who must hold the leader key.
    claim: Option<(&'a str, Lease)>,
}

/// What came of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Done(Revision),
    /// The leader key does not hold what it must.
    NotLeading,
    /// The key is at another revision; `ours`: it is as we want it, and an earlier attempt may have done that.
    Moved {
        revision: Revision,
        ours: bool,
    },
    LeaseGone,
}

impl Store {
    /// Writes if `when` holds.
    pub(crate) async fn write(
        &self,
        key: &Key,
        change: Change<'_>,
        when: Condition,
    ) -> Result<Written, DcsError> {
        let pace = self.operation();
        let _lease_stays = self.leases.in_use.read().await;
        let full = self.prefix.key(key);
        let leader = self.prefix.key(&Key::Leader);
        let once = is_a_claim(key, when);
        if once && self.exists(&full, pace).await? {
            return Ok(Written::Refused);
        }
        for _ in 0..ROUNDS_MAX {
            let lease = match (key, change) {
                (Key::Member(_), Change::Put(_)) => self.my_lease(pace).await?.1.id,
                _ => 0,
            };
            let claim = if when.leading { self.claim()? } else { None };
            if when.leading && claim.is_none() {
                return Ok(Written::Refused);
            }
            let attempt = Attempt {
                full: &full,
                leader: &leader,
                change,
                expected: when.revision.unwrap_or_else(|| self.known(&key.path())),
                lease,
                claim,
            };
            let pace = if once { pace.once() } else { pace };
            match self.transact(attempt, pace).await? {
                Came::Done(revision) => {
                    self.note(key.path(), attempt.revision_after(revision));
                    return Ok(Written::Done(revision));
                }
                Came::NotLeading => return Ok(Written::Refused),
                Came::LeaseGone => self.leases.forget(lease),
                Came::Moved { revision, ours } => {
                    self.note(key.path(), revision);
                    if ours {
                        return Ok(Written::Done(revision));
                    }
                    if when.revision.is_some() {
                        return Ok(Written::Refused);
                    }
                }
            }
        }
        Err(DcsError::Answered(format!(
            "`{full}` or the lease changed between {ROUNDS_MAX} attempts; try again"
        )))
    }

    async fn exists(&self, full: &str, pace: Pace) -> Result<bool, DcsError> {
        self.pool
            .ask(pace, |mut client, _| async move {
                let found = client.get(full, None).await?;
                self.terms.admit(found.header())?;
                Ok(found.count() > 0)
            })
            .await
    }

    async fn transact(&self, attempt: Attempt<'_>, pace: Pace) -> Result<Came, DcsError> {
        self.pool
            .ask(pace, |mut client, tries| async move {
                let answer = match client.txn(attempt.txn()).await.map_err(Fault::from) {
                    Ok(answer) => answer,
                    Err(Fault::LeaseGone) => return Ok(Came::LeaseGone),
                    Err(fault) => return Err(fault),
                };
                self.terms.admit(answer.header())?;
                Ok(attempt.read(&answer, &tries))
            })
            .await
    }
}

impl Attempt<'_> {
    fn txn(&self) -> Txn {
        let mut compares = vec![Compare::mod_revision(
            self.full,
            CompareOp::Equal,
            self.expected,
        )];
        let mut otherwise = vec![TxnOp::get(self.full, None)];
        if let Some((name, lease)) = self.claim {
            compares.push(Compare::value(self.leader, CompareOp::Equal, name));
            compares.push(Compare::lease(self.leader, CompareOp::Equal, lease.id));
            otherwise.push(TxnOp::get(self.leader, None));
        }
        let change = match self.change {
            Change::Put(value) => {
                let options = PutOptions::new().with_lease(self.lease);
                TxnOp::put(self.full, value, Some(options))
            }
            Change::Delete => TxnOp::delete(self.full, None),
        };
        Txn::new()
            .when(compares)
            .and_then([change])
            .or_else(otherwise)
    }

    fn read(&self, answer: &TxnResponse, tries: &Tries) -> Came {
        let store_revision = answer.header().map_or(0, |header| header.revision());
        if answer.succeeded() {
            return Came::Done(store_revision);
        }
        let found = answer.op_responses();
        if let Some((name, lease)) = self.claim
            && !holder(found.get(1)).is_some_and(|holder| holder.is(name, lease))
        {
            return Came::NotLeading;
        }
        let there = holder(found.first());
        match (self.change, there) {
            (Change::Put(value), Some(there)) => Came::Moved {
                revision: there.revision,
                ours: tries.repeated() && there.name == value && there.lease == self.lease,
            },
            (Change::Put(_), None) => Came::Moved {
                revision: 0,
                ours: false,
            },
            (Change::Delete, Some(there)) => Came::Moved {
                revision: there.revision,
                ours: false,
            },
            // Deleting what is not there is done at once.
            (Change::Delete, None) => Came::Done(store_revision),
        }
    }

    /// The key's own revision after the write.
    const fn revision_after(&self, store_revision: Revision) -> Revision {
        match self.change {
            Change::Put(_) => store_revision,
            Change::Delete => 0,
        }
    }
}

/// The key that a `get` within a transaction found.
pub(crate) fn holder(response: Option<&TxnOpResponse>) -> Option<Holder> {
    match response {
        Some(TxnOpResponse::Get(found)) => Holder::of(found),
        _ => None,
    }
}

/// Whether this creates `initialize`, by which one member claims the right to bootstrap. Two members write the
/// same value there, so a write whose answer was lost can not be recognised as ours: it is sent once, and when
/// its outcome is unknown that is said.
fn is_a_claim(key: &Key, when: Condition) -> bool {
    *key == Key::Initialize && when.revision == Some(0)
}
