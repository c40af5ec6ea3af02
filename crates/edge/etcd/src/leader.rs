//! The leader key: taking it, giving it up, handing it over (contract §4.6).

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp, TxnResponse};
use futures_util::future::try_join;
use pgherd_domain::{MemberName, Revision};
use pgherd_ports::{Acquisition, DcsError, HandOver, Key};

use crate::fault::Fault;
use crate::lease::{Lease, keep_alive, revoke};
use crate::pace::Pace;
use crate::store::{Holder, Store};
use crate::write::holder;

/// How often the lease may turn out to be gone, or the key to change, within one acquisition.
const ROUNDS_MAX: usize = 3;

/// What came of one attempt to take the key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Taking {
    Mine,
    Taken,
    /// It holds my name on a lease of a former life, at this revision.
    FormerLife(Revision),
    LeaseGone,
}

impl Store {
    /// Creates the leader key on my lease. A key with my name on another lease is taken over: that was this
    /// member before it restarted.
    pub(crate) async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        let pace = self.operation();
        let _lease_stays = self.leases.in_use.read().await;
        let mut former = None;
        for _ in 0..ROUNDS_MAX {
            let (me, lease, fresh) = self.my_lease(pace).await?;
            match self.take(me, lease, fresh, former, pace).await? {
                Taking::Mine => return Ok(Acquisition::Mine),
                Taking::Taken => return Ok(Acquisition::Taken),
                Taking::FormerLife(revision) => former = Some(revision),
                Taking::LeaseGone => self.leases.forget(lease.id),
            }
        }
        Err(DcsError::Answered(format!(
            "the lease or the leader key changed between {ROUNDS_MAX} attempts; try again"
        )))
    }

    /// One transaction for the key, and beside it a renewal: who takes the key must have a whole ttl.
    async fn take(
        &self,
        me: &str,
        lease: Lease,
        fresh: bool,
        former: Option<Revision>,
        pace: Pace,
    ) -> Result<Taking, DcsError> {
        let key = self.prefix.key(&Key::Leader);
        let key = key.as_str();
        self.pool
            .ask(pace, |mut client, _| async move {
                let compares = match former {
                    None => vec![Compare::create_revision(key, CompareOp::Equal, 0)],
                    Some(revision) => vec![
                        Compare::value(key, CompareOp::Equal, me),
                        Compare::mod_revision(key, CompareOp::Equal, revision),
                    ],
                };
                let put = TxnOp::put(key, me, Some(PutOptions::new().with_lease(lease.id)));
                let txn = Txn::new()
                    .when(compares)
                    .and_then([put])
                    .or_else([TxnOp::get(key, None)]);
                let mut keeper = client.clone();
                let renewal = async {
                    match fresh {
                        true => Ok(true),
                        false => keep_alive(&mut keeper, lease.id).await,
                    }
                };
                let taking = async { self.taking(client.txn(txn).await, me, lease) };
                let (alive, taking) = try_join(renewal, taking).await?;
                Ok(if alive { taking } else { Taking::LeaseGone })
            })
            .await
    }

    fn taking(
        &self,
        answer: Result<TxnResponse, etcd_client::Error>,
        me: &str,
        lease: Lease,
    ) -> Result<Taking, Fault> {
        let answer = match answer.map_err(Fault::from) {
            Ok(answer) => answer,
            Err(Fault::LeaseGone) => return Ok(Taking::LeaseGone),
            Err(fault) => return Err(fault),
        };
        self.terms.admit(answer.header())?;
        if answer.succeeded() {
            return Ok(Taking::Mine);
        }
        Ok(match holder(answer.op_responses().first()) {
            Some(holder) if holder.is(me, lease) => Taking::Mine,
            Some(holder) if holder.name == me => Taking::FormerLife(holder.revision),
            Some(_) => Taking::Taken,
            // It was my former life's and went away meanwhile; from the start again.
            None => Taking::LeaseGone,
        })
    }

    /// Deletes the leader key if it holds my name.
    pub(crate) async fn release_leader(&self) -> Result<bool, DcsError> {
        let Some(me) = &self.me else {
            return Ok(false);
        };
        let _lease_stays = self.leases.in_use.read().await;
        let key = self.prefix.key(&Key::Leader);
        let key = key.as_str();
        self.pool
            .ask(self.operation(), |mut client, tries| async move {
                let txn = Txn::new()
                    .when([Compare::value(key, CompareOp::Equal, me.as_str())])
                    .and_then([TxnOp::delete(key, None)])
                    .or_else([TxnOp::get(key, None)]);
                let answer = client.txn(txn).await?;
                self.terms.admit(answer.header())?;
                let gone = holder(answer.op_responses().first()).is_none();
                // An earlier attempt of ours may have deleted it.
                Ok(answer.succeeded() || (tries.repeated() && gone))
            })
            .await
    }

    /// Puts `to` into the leader key on its own lease, if the key is mine.
    pub(crate) async fn hand_over(&self, to: &MemberName) -> Result<HandOver, DcsError> {
        let pace = self.operation();
        let _lease_stays = self.leases.in_use.read().await;
        let Some((me, mine)) = self.claim()? else {
            return Ok(HandOver::NotMine);
        };
        let member = self.prefix.key(&Key::Member(to.clone()));
        let Some(theirs) = self.lease_of(&member, pace).await? else {
            return Ok(HandOver::NoLease);
        };
        let leader = self.prefix.key(&Key::Leader);
        let (leader, member) = (leader.as_str(), member.as_str());
        self.pool
            .ask(pace, |mut client, tries| async move {
                let options = PutOptions::new().with_lease(theirs);
                let txn = Txn::new()
                    .when([
                        Compare::value(leader, CompareOp::Equal, me),
                        Compare::lease(leader, CompareOp::Equal, mine.id),
                        Compare::lease(member, CompareOp::Equal, theirs),
                    ])
                    .and_then([TxnOp::put(leader, to.as_str(), Some(options))])
                    .or_else([TxnOp::get(leader, None)]);
                let answer = match client.txn(txn).await.map_err(Fault::from) {
                    Ok(answer) => answer,
                    Err(Fault::LeaseGone) => return Ok(HandOver::NoLease),
                    Err(fault) => return Err(fault),
                };
                self.terms.admit(answer.header())?;
                if answer.succeeded() {
                    return Ok(HandOver::Done);
                }
                Ok(match holder(answer.op_responses().first()) {
                    Some(holder) if holder.is(me, mine) => HandOver::NoLease,
                    Some(holder)
                        if tries.repeated()
                            && holder.name == to.as_str()
                            && holder.lease == theirs =>
                    {
                        HandOver::Done
                    }
                    Some(_) | None => HandOver::NotMine,
                })
            })
            .await
    }

    /// The lease that a key hangs on.
    async fn lease_of(&self, full: &str, pace: Pace) -> Result<Option<i64>, DcsError> {
        self.pool
            .ask(pace, |mut client, _| async move {
                let found = client.get(full, None).await?;
                self.terms.admit(found.header())?;
                Ok(Holder::of(&found)
                    .map(|holder| holder.lease)
                    .filter(|lease| *lease != 0))
            })
            .await
    }

    /// Takes my member key and, if it is mine, the leader key away, and ends the lease.
    pub(crate) async fn leave(&self) -> Result<(), DcsError> {
        let Some(me) = &self.me else {
            return Ok(());
        };
        let pace = self.operation();
        let leader = self.prefix.key(&Key::Leader);
        let member = self.prefix.key(&Key::Member(me.clone()));
        let (leader, member) = (leader.as_str(), member.as_str());
        self.pool
            .ask(pace, |mut client, _| async move {
                let txn = Txn::new()
                    .when([Compare::value(leader, CompareOp::Equal, me.as_str())])
                    .and_then([TxnOp::delete(leader, None), TxnOp::delete(member, None)])
                    .or_else([TxnOp::delete(member, None)]);
                let answer = client.txn(txn).await?;
                self.terms.admit(answer.header())
            })
            .await?;
        let leases = [self.leases.current(), self.leases.next()];
        for lease in leases.into_iter().flatten() {
            revoke(&self.pool, lease.id, pace).await?;
            self.leases.forget(lease.id);
        }
        Ok(())
    }
}
