//! The leader key: taking it, giving it up, handing it over (contract §4.6).

use pgherd_domain::MemberName;
use pgherd_etcd::shared::{Fault, Pace, Tries};
use pgherd_ports::{Acquisition, DcsError, HandOver, Key};
use tokio::time::Instant;

use crate::answer::Said;
use crate::http::Client;
use crate::keys::{moved, odd};
use crate::node::Node;
use crate::store::Store;

/// How often the key may turn out to have changed within one acquisition.
const ROUNDS_MAX: usize = 3;

/// What came of one attempt to take the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    /// It is mine, on a lease that began at this index, until then.
    Mine {
        index: u64,
        until: Instant,
    },
    Taken,
    /// It went away or changed meanwhile.
    Again,
}

impl Store {
    /// Creates the leader key. A key with my name from before my lease began is taken over: that was this member before it
    /// restarted.
    pub(crate) async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        let me = self.my_name()?;
        let pace = self.operation();
        let _key_stays = self.leases.in_use.read().await;
        for _ in 0..ROUNDS_MAX {
            let asked = |client, _| async move { self.take(&client, me).await };
            match self.pool.ask(pace, asked).await? {
                Taking::Mine { index, until } => {
                    self.leases.begin(index);
                    self.leases.leads(until);
                    self.settle(pace).await?;
                    return Ok(Acquisition::Mine);
                }
                Taking::Taken => return Ok(Acquisition::Taken),
                Taking::Again => {}
            }
        }
        Err(DcsError::Answered(format!(
            "the leader key changed between {ROUNDS_MAX} attempts; try again"
        )))
    }

    async fn take(&self, client: &Client, me: &str) -> Result<Taking, Fault> {
        let (holder, index) = self.get(client, &Key::Leader).await?;
        if holder.as_ref().is_some_and(|holder| holder.value != me) {
            return Ok(Taking::Taken);
        }
        let lease = self.leases.current();
        let mine = holder
            .as_ref()
            .zip(lease)
            .is_some_and(|(holder, lease)| lease.holds(holder, me));
        if !mine {
            self.leases.begin(index);
            // What the leader before wrote last may still be on its way.
            self.leases.set_unsettled(true);
        }
        let until = Instant::now() + self.leases.ttl();
        let taken = match &holder {
            // Who takes the key must have a whole ttl.
            Some(there) => self.refresh(client, &Key::Leader, there).await?.is_some(),
            None => {
                self.is_free(client).await?;
                self.create(client, me).await?
            }
        };
        Ok(match taken {
            true => Taking::Mine { index, until },
            false => Taking::Again,
        })
    }

    async fn create(&self, client: &Client, me: &str) -> Result<bool, Fault> {
        let full = self.prefix.key(&Key::Leader);
        let ttl = self.ttl_at(client);
        let parameters = [("value", me), ("ttl", ttl.as_str()), ("prevExist", "false")];
        match client.write(&full, &parameters).await? {
            Said::Done(_) => Ok(true),
            Said::Changed | Said::Absent(_) => Ok(false),
            Said::Forgotten => Err(odd(&full)),
        }
    }

    /// Deletes the leader key if it holds my name.
    pub(crate) async fn release_leader(&self) -> Result<bool, DcsError> {
        let Some(me) = &self.me else {
            return Ok(false);
        };
        let pace = self.operation();
        let _nobody_writes = self.leases.in_use.write().await;
        self.release(me, pace).await
    }

    async fn release(&self, me: &MemberName, pace: Pace) -> Result<bool, DcsError> {
        self.settle(pace).await?;
        let asked = |client, tries| async move { self.release_at(&client, &tries, me).await };
        let released = self.pool.ask(pace, asked).await?;
        self.leases.leads_no_more();
        Ok(released)
    }

    async fn release_at(
        &self,
        client: &Client,
        tries: &Tries,
        me: &MemberName,
    ) -> Result<bool, Fault> {
        match self.get(client, &Key::Leader).await?.0 {
            // An earlier attempt of ours may have deleted it.
            None => Ok(tries.repeated()),
            Some(holder) if holder.value != me.as_str() => Ok(false),
            Some(holder) => match self.remove(client, &Key::Leader, &holder).await? {
                true => Ok(true),
                false => Err(moved(&holder.key)),
            },
        }
    }

    /// Puts `to` into the leader key, with a whole ttl, if the key is mine and `to` is there.
    pub(crate) async fn hand_over(&self, to: &MemberName) -> Result<HandOver, DcsError> {
        let pace = self.operation();
        // No write of mine may come after this.
        let _nobody_writes = self.leases.in_use.write().await;
        if self.me.is_none() || self.leases.current().is_none() {
            return Ok(HandOver::NotMine);
        }
        self.settle(pace).await?;
        let asked = |client, tries| async move { self.hand_over_at(&client, &tries, to).await };
        let handed = self.pool.ask(pace, asked).await?;
        if handed == HandOver::Done {
            self.leases.leads_no_more();
        }
        Ok(handed)
    }

    async fn hand_over_at(
        &self,
        client: &Client,
        tries: &Tries,
        to: &MemberName,
    ) -> Result<HandOver, Fault> {
        let holder = match self.get(client, &Key::Leader).await?.0 {
            Some(holder) if self.is_mine(&holder) => holder,
            // An earlier attempt of ours may have put it there.
            Some(holder) if tries.repeated() && holder.value == to.as_str() => {
                return Ok(HandOver::Done);
            }
            Some(_) | None => return Ok(HandOver::NotMine),
        };
        let (member, _) = self.get(client, &Key::Member(to.clone())).await?;
        if member.is_none() {
            return Ok(HandOver::NoLease);
        }
        let (ttl, index) = (self.ttl_at(client), holder.modified_index.to_string());
        let parameters = [
            ("value", to.as_str()),
            ("ttl", ttl.as_str()),
            ("prevIndex", index.as_str()),
        ];
        match client.write(&holder.key, &parameters).await? {
            Said::Done(_) => Ok(HandOver::Done),
            Said::Absent(_) | Said::Changed => Err(moved(&holder.key)),
            Said::Forgotten => Err(odd(&holder.key)),
        }
    }

    fn is_mine(&self, holder: &Node) -> bool {
        let lease = self.leases.current().zip(self.me.as_ref());
        lease.is_some_and(|(lease, me)| lease.holds(holder, me.as_str()))
    }

    /// Takes my member key and, if it is mine, the leader key away, and ends the lease.
    pub(crate) async fn leave(&self) -> Result<(), DcsError> {
        let Some(me) = &self.me else {
            return Ok(());
        };
        let pace = self.operation();
        let _nobody_writes = self.leases.in_use.write().await;
        self.release(me, pace).await?;
        let key = Key::Member(me.clone());
        let key = &key;
        let asked = |client, _| async move {
            let (Some(there), _) = self.get(&client, key).await? else {
                return Ok(());
            };
            match self.remove(&client, key, &there).await? {
                true => Ok(()),
                false => Err(moved(&there.key)),
            }
        };
        self.pool.ask(pace, asked).await?;
        self.leases.end();
        Ok(())
    }
}
