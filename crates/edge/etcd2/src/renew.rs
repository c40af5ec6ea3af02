//! Keeping the lease alive (contract §4.6).
//!
//! Each key is read as a quorum has it, and then given ttl anew if it is still as it was read. So a renewal that was held
//! up somewhere on its way finds the key changed by a later one, and never takes time away from it.

use std::time::Duration;

use pgherd_domain::MemberName;
use pgherd_etcd::shared::Fault;
use pgherd_ports::{DcsError, Key, Renewal};
use tokio::time::Instant;

use crate::http::Client;
use crate::keys::moved;
use crate::lease::Lease;
use crate::node::Node;
use crate::store::{Store, leading};

/// What a renewal found and did.
#[derive(Debug)]
struct Found {
    holder: Option<Node>,
    leads: bool,
    member: bool,
}

impl Store {
    /// Renews the keys of the lease once, and reads who holds the leader key.
    pub(crate) async fn renew(&self) -> Result<Renewal, DcsError> {
        let pace = self.renewal();
        let ttl = self.leases.ttl();
        let lease = self.leases.current();
        let asked = |client, _| async move { self.renew_at(&client, lease).await };
        let found = self.pool.ask(pace, asked).await?;
        if let Some(lease) = lease {
            self.note_renewal(lease, &found, pace.begun, ttl);
        }
        Ok(Renewal {
            alive: found.leads || found.member,
            leading: leading(found.holder.as_ref(), found.leads),
        })
    }

    fn note_renewal(&self, lease: Lease, found: &Found, begun: Instant, ttl: Duration) {
        match found.leads {
            true => self.leases.leads(begun + ttl),
            false => self.leases.leads_no_more(),
        }
        self.leases
            .renewed(lease.since, found.leads, found.member, ttl);
    }

    async fn renew_at(&self, client: &Client, lease: Option<Lease>) -> Result<Found, Fault> {
        let Some((lease, me)) = lease.zip(self.me.as_ref()) else {
            let (holder, _) = self.get(client, &Key::Leader).await?;
            return Ok(Found {
                holder,
                leads: false,
                member: false,
            });
        };
        let (leader, member) = tokio::join!(
            self.renew_leader(client, &lease, me),
            self.renew_member(client, &lease, me),
        );
        let (holder, leads) = leader?;
        Ok(Found {
            holder,
            leads,
            member: member?,
        })
    }

    /// The leader key, renewed if it is mine.
    async fn renew_leader(
        &self,
        client: &Client,
        lease: &Lease,
        me: &MemberName,
    ) -> Result<(Option<Node>, bool), Fault> {
        let (holder, _) = self.get(client, &Key::Leader).await?;
        let Some(there) = &holder else {
            return Ok((None, false));
        };
        if !lease.holds(there, me.as_str()) {
            return Ok((holder, false));
        }
        match self.refresh(client, &Key::Leader, there).await? {
            Some(renewed) => Ok((Some(renewed), true)),
            None => Err(moved(&self.prefix.key(&Key::Leader))),
        }
    }

    /// The member key, renewed if it is there.
    async fn renew_member(
        &self,
        client: &Client,
        lease: &Lease,
        me: &MemberName,
    ) -> Result<bool, Fault> {
        if !lease.member {
            return Ok(false);
        }
        let key = Key::Member(me.clone());
        let (Some(there), _) = self.get(client, &key).await? else {
            return Ok(false);
        };
        match self.refresh(client, &key, &there).await? {
            Some(renewed) => {
                self.note(key.path(), renewed.revision());
                Ok(true)
            }
            None => Err(moved(&self.prefix.key(&key))),
        }
    }
}
