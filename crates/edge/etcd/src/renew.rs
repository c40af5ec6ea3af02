//! Keeping the lease alive, and moving to another one when ttl changes (contract §4.6).

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use futures_util::future::try_join;
use pgherd_domain::MemberName;
use pgherd_ports::{DcsError, Key, Renewal};

use crate::fault::Fault;
use crate::lease::{Lease, grant, keep_alive, revoke};
use crate::pace::Pace;
use crate::store::{Holder, Store, leading};

impl Store {
    /// Renews the lease once and reads who holds the leader key, side by side on one endpoint: the read needs
    /// a quorum, so a member that is cut off can not make us believe in a renewal that only it knows of.
    pub(crate) async fn renew(&self) -> Result<Renewal, DcsError> {
        let pace = self.renewal();
        self.follow_ttl(pace).await?;
        let lease = self.leases.current();
        let key = self.prefix.key(&Key::Leader);
        let key = key.as_str();
        let (alive, holder) = self
            .pool
            .ask(pace, |client, _| async move {
                let (mut keeper, mut reader) = (client.clone(), client.clone());
                let renewal = async {
                    match lease {
                        Some(lease) => keep_alive(&mut keeper, lease.id).await,
                        None => Ok(false),
                    }
                };
                let read = async { self.leader(&mut reader, key).await };
                let (alive, holder) = try_join(renewal, read).await?;
                if !alive && let Some(lease) = lease {
                    self.confirm_gone(client, lease).await?;
                }
                Ok((alive, holder))
            })
            .await?;
        if !alive && let Some(lease) = lease {
            self.leases.forget(lease.id);
        }
        let me = self.me.as_ref().map(MemberName::as_str);
        let claim = me.zip(lease.filter(|_| alive));
        Ok(Renewal {
            alive,
            leading: leading(holder.as_ref(), claim),
        })
    }

    async fn leader(&self, client: &mut Client, key: &str) -> Result<Option<Holder>, Fault> {
        let found = client.get(key, None).await?;
        self.terms.admit(found.header())?;
        Ok(Holder::of(&found))
    }

    /// An etcd leader that was elected this moment may not know a lease yet that was granted before. While a
    /// key hangs on it the lease lives, whatever was said of it.
    async fn confirm_gone(&self, mut client: Client, lease: Lease) -> Result<(), Fault> {
        let Some(me) = &self.me else {
            return Ok(());
        };
        for key in [Key::Leader, Key::Member(me.clone())] {
            let full = self.prefix.key(&key);
            let there = self.leader(&mut client, &full).await?;
            if there.is_some_and(|there| there.lease == lease.id) {
                return Err(Fault::answered(format!(
                    "it does not know the lease, although `{full}` hangs on it"
                )));
            }
        }
        Ok(())
    }

    /// When ttl has changed: a new lease, the keys moved onto it, the old one revoked. While it is not known
    /// whether the keys have moved the renewal counts as unknown.
    async fn follow_ttl(&self, pace: Pace) -> Result<(), DcsError> {
        let Some(current) = self.leases.current() else {
            self.leases.set_next(None);
            return Ok(());
        };
        let ttl = self.leases.ttl();
        if current.ttl == ttl && self.leases.next().is_none() {
            return Ok(());
        }
        // Writes that rely on the lease come first; the next renewal is soon.
        let Ok(_nobody_else) = self.leases.in_use.try_write() else {
            return Ok(());
        };
        let next = match self.leases.next() {
            Some(next) => next,
            None => match grant(&self.pool, &self.terms, ttl, pace).await {
                Ok(next) => next,
                // Nothing has moved yet: the current lease serves on.
                Err(error) => {
                    tracing::warn!(%error, "cannot get a lease with the new ttl; keep the old one");
                    return Ok(());
                }
            },
        };
        self.leases.set_next(Some(next));
        if !self.move_keys(current, next, pace).await? {
            self.leases.set_next(None);
            return Ok(());
        }
        if let Some(former) = self.leases.succeed()
            && let Err(error) = revoke(&self.pool, former.id, pace).await
        {
            tracing::debug!(%error, "cannot revoke the former lease; it ends by itself");
        }
        Ok(())
    }

    /// Moves the leader key and the member key from one lease to the other. `false`: the new one is gone.
    async fn move_keys(&self, from: Lease, to: Lease, pace: Pace) -> Result<bool, DcsError> {
        let Some(me) = &self.me else {
            return Ok(true);
        };
        let leader = self.prefix.key(&Key::Leader);
        let member = self.prefix.key(&Key::Member(me.clone()));
        for key in [leader.as_str(), member.as_str()] {
            let there = self
                .pool
                .ask(pace, |mut client, _| async move {
                    let options = PutOptions::new().with_ignore_value().with_lease(to.id);
                    let txn = Txn::new()
                        .when([Compare::lease(key, CompareOp::Equal, from.id)])
                        .and_then([TxnOp::put(key, "", Some(options))]);
                    match client.txn(txn).await.map_err(Fault::from) {
                        Ok(answer) => self.terms.admit(answer.header()).map(|()| true),
                        Err(Fault::LeaseGone) => Ok(false),
                        Err(fault) => Err(fault),
                    }
                })
                .await?;
            if !there {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
