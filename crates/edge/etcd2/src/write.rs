//! Conditional writes. This API compares one key only, the one that is written: that the writer leads is read before, and
//! the write must be answered before the lease can have ended.

use pgherd_domain::Revision;
use pgherd_etcd::shared::{Fault, Pace, Tries};
use pgherd_ports::{Condition, DcsError, Key, Written};
use tokio::time::{Instant, timeout_at};

use crate::answer::Said;
use crate::http::Client;
use crate::keys::{moved, odd};
use crate::store::Store;

/// How often the key may turn out to have changed within one write.
const ROUNDS_MAX: usize = 4;

/// What is done to a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    Put(&'a str),
    Delete,
}

/// What came of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Done(Revision),
    NotLeading,
    /// The key is at another revision than expected.
    Moved(Revision),
}

/// One round: everything that its request is made of.
#[derive(Debug, Clone, Copy)]
struct Wish<'a> {
    key: &'a Key,
    change: Change<'a>,
    expected: Revision,
    leading: bool,
}

impl Store {
    /// Writes or deletes a key if `when` holds. Without a condition on the revision it compares with the last one seen and
    /// tries again, so that a write that is late never overtakes its successor.
    pub(crate) async fn write(
        &self,
        key: &Key,
        change: Change<'_>,
        when: Condition,
    ) -> Result<Written, DcsError> {
        let _key_stays = self.leases.in_use.read().await;
        let settled = !self.leases.is_unsettled();
        let of_sync = *key == Key::Sync;
        // While this is not answered, or when nobody waits for it any more, it is on its way.
        if of_sync {
            self.leases.set_unsettled(true);
        }
        let written = self.in_rounds(key, change, when).await;
        if of_sync && settled && written.is_ok() {
            self.leases.set_unsettled(false);
        }
        written
    }

    async fn in_rounds(
        &self,
        key: &Key,
        change: Change<'_>,
        when: Condition,
    ) -> Result<Written, DcsError> {
        let pace = self.operation();
        if matches!((key, change), (Key::Member(_), Change::Put(_))) {
            self.my_name()?;
        }
        let once = is_a_claim(key, when);
        if once {
            let asked = |client, _| async move { self.get(&client, key).await };
            if self.pool.ask(pace, asked).await?.0.is_some() {
                return Ok(Written::Refused);
            }
        }
        let pace = if once { pace.once() } else { pace };
        for _ in 0..ROUNDS_MAX {
            let wish = Wish {
                key,
                change,
                expected: when.revision.unwrap_or_else(|| self.known(&key.path())),
                leading: when.leading,
            };
            let asked = |client, tries| async move { self.round(&client, &tries, wish).await };
            match self.pool.ask(pace, asked).await? {
                Round::Done(revision) => {
                    self.note(key.path(), revision);
                    return Ok(Written::Done(revision));
                }
                Round::NotLeading => return Ok(Written::Refused),
                Round::Moved(revision) => {
                    self.note(key.path(), revision);
                    if when.revision.is_some_and(|wanted| wanted != revision) {
                        return Ok(Written::Refused);
                    }
                }
            }
        }
        Err(DcsError::Answered(format!(
            "`{}` changed between {ROUNDS_MAX} attempts; try again",
            self.prefix.key(key)
        )))
    }

    async fn round(&self, client: &Client, tries: &Tries, wish: Wish<'_>) -> Result<Round, Fault> {
        if !wish.leading {
            return self.change(client, tries, wish).await;
        }
        let Some(until) = self.leads_until(client).await? else {
            return Ok(Round::NotLeading);
        };
        match timeout_at(until, self.change(client, tries, wish)).await {
            Ok(round) => round,
            Err(_) => Err(Fault::Final(
                "the lease may have ended before the answer came".to_owned(),
            )),
        }
    }

    /// Until when the leader key is mine, by a read that a quorum stands behind and by my own clock. One that was given to
    /// me is renewed first, for only I know how long it is good.
    async fn leads_until(&self, client: &Client) -> Result<Option<Instant>, Fault> {
        let Some((lease, me)) = self.leases.current().zip(self.me.as_ref()) else {
            return Ok(None);
        };
        let (Some(holder), _) = self.get(client, &Key::Leader).await? else {
            return Ok(None);
        };
        if !lease.holds(&holder, me.as_str()) {
            return Ok(None);
        }
        if let Some(until) = lease.good_until.filter(|until| *until > Instant::now()) {
            return Ok(Some(until));
        }
        let until = Instant::now() + self.leases.ttl();
        match self.refresh(client, &Key::Leader, &holder).await? {
            Some(_) => {
                self.leases.leads(until);
                Ok(Some(until))
            }
            None => Err(moved(&holder.key)),
        }
    }

    async fn change(&self, client: &Client, tries: &Tries, wish: Wish<'_>) -> Result<Round, Fault> {
        let full = self.prefix.key(wish.key);
        let expected = wish.expected.to_string();
        let condition = match wish.expected {
            0 => ("prevExist", "false"),
            _ => ("prevIndex", expected.as_str()),
        };
        let said = match wish.change {
            Change::Put(value) => {
                let ttl = self.ttl_at(client);
                let all = [("value", value), condition, ("ttl", ttl.as_str())];
                let parameters = match wish.key {
                    Key::Member(_) => &all[..],
                    _ => all.get(..2).unwrap_or_default(),
                };
                client.write(&full, parameters).await?
            }
            // What is not there is not deleted.
            Change::Delete if wish.expected == 0 => Said::Changed,
            Change::Delete => client.remove(&full, &[condition]).await?,
        };
        match (said, wish.change) {
            (Said::Done(answer), Change::Put(_)) => {
                if matches!(wish.key, Key::Member(_)) {
                    self.leases.joined(answer.node.modified_index);
                }
                Ok(Round::Done(answer.node.revision()))
            }
            (Said::Done(_), Change::Delete) => Ok(Round::Done(0)),
            (Said::Absent(_) | Said::Changed, _) => self.as_it_is(client, tries, wish).await,
            (Said::Forgotten, _) => Err(odd(&full)),
        }
    }

    /// What a key that was not as expected means.
    async fn as_it_is(
        &self,
        client: &Client,
        tries: &Tries,
        wish: Wish<'_>,
    ) -> Result<Round, Fault> {
        let (there, _) = self.get(client, wish.key).await?;
        Ok(match (there, wish.change) {
            // An earlier attempt of ours brought it there.
            (Some(there), Change::Put(value)) if tries.repeated() && there.value == value => {
                if matches!(wish.key, Key::Member(_)) {
                    self.leases.joined(there.modified_index);
                }
                Round::Done(there.revision())
            }
            (Some(there), _) => Round::Moved(there.revision()),
            (None, Change::Put(_)) => Round::Moved(0),
            // Deleting what is not there is done at once.
            (None, Change::Delete) => Round::Done(0),
        })
    }

    /// Makes a write of `/sync` that may still be on its way come too late, whoever sent it: it is written as it is, so
    /// that its index is another. Who leads next, or reads it after this, has what counts.
    pub(crate) async fn settle(&self, pace: Pace) -> Result<(), DcsError> {
        if !self.leases.is_unsettled() {
            return Ok(());
        }
        let asked = |client, _| async move { self.touch_sync(&client).await };
        self.pool.ask(pace, asked).await?;
        self.leases.set_unsettled(false);
        Ok(())
    }

    async fn touch_sync(&self, client: &Client) -> Result<(), Fault> {
        let (Some(there), _) = self.get(client, &Key::Sync).await? else {
            return Ok(());
        };
        let index = there.modified_index.to_string();
        let parameters = [("value", there.value.as_str()), ("prevIndex", &index)];
        let full = self.prefix.key(&Key::Sync);
        match client.write(&full, &parameters).await? {
            Said::Done(answer) => {
                self.note(Key::Sync.path(), answer.node.revision());
                Ok(())
            }
            Said::Absent(_) | Said::Changed => Err(moved(&full)),
            Said::Forgotten => Err(odd(&full)),
        }
    }
}

/// Whether this creates `initialize`, by which one member claims the right to bootstrap. Two members write the same value
/// there, so a write whose answer was lost can not be recognised as ours: it is sent once, and when its outcome is unknown
/// that is said.
fn is_a_claim(key: &Key, when: Condition) -> bool {
    *key == Key::Initialize && when.revision == Some(0)
}
