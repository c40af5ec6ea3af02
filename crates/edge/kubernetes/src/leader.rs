//! The leader key: taking it, giving it up, handing it over (contract §4.9).

use pgherd_domain::MemberName;
use pgherd_ports::{Acquisition, Clock as _, DcsError, HandOver};
use serde_json::{Value, json};

use crate::api::Came;
use crate::body::{self, Annotations};
use crate::fault::Fault;
use crate::names::Thing;
use crate::object::Object;
use crate::pace::Pace;
use crate::pod::{Presence, presence};
use crate::record::{LEASE, Owner, Record};
use crate::reign::{Holder, changed, seconds};
use crate::store::Store;

/// How often the key may change within one attempt.
const ROUNDS_MAX: usize = 4;

impl Store {
    /// Takes the key if nobody holds it, or this member did in a former life.
    pub(crate) async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        let pace = self.operation();
        if self.me.is_none() {
            return Err(DcsError::Answered(
                "this client has no lease, for it is not a member".to_owned(),
            ));
        }
        self.http
            .ask(pace, |_| async move {
                for _ in 0..ROUNDS_MAX {
                    if let Some(acquisition) = self.take(pace).await? {
                        return Ok(acquisition);
                    }
                }
                Err(changed(&self.names.name(Thing::Leader)))
            })
            .await
    }

    /// `None`: the object has changed meanwhile.
    async fn take(&self, pace: Pace) -> Result<Option<Acquisition>, Fault> {
        let object = self.thing(Thing::Leader, pace).await?;
        match (self.holder(object.as_ref()), &object) {
            (Holder::Me, _) => return Ok(Some(Acquisition::Mine)),
            (Holder::Unsettled, Some(object)) => {
                self.take_up(object, pace).await?;
                return Ok(Some(Acquisition::Mine));
            }
            (Holder::Other(_), _) => return Ok(Some(Acquisition::Taken)),
            (Holder::Unsettled, None) | (Holder::Nobody | Holder::FormerLife, _) => {}
        }
        let me = self.me.as_ref().map_or("", MemberName::as_str);
        let (ttl, sent) = (self.ttl(), self.clock.now());
        let acquired = self.clock.wall().iso();
        let annotations = self.record(object.as_ref(), me, Some(&self.lease), &acquired);
        let came = self
            .change(
                Thing::Leader,
                object.as_ref(),
                &annotations,
                self.my_subsets(),
                pace,
            )
            .await?;
        let Came::Done(now) = came else {
            return Ok(None);
        };
        self.mine().begin(&acquired, Some(sent.plus(ttl)), ttl);
        self.keep_leader(Some(now));
        self.settle(&acquired, pace).await?;
        Ok(Some(Acquisition::Mine))
    }

    /// The annotations of somebody who takes the key now, with what was there before. `lease`: the one it is on; without, it
    /// is a member of Patroni's.
    fn record(
        &self,
        before: Option<&Object>,
        leader: &str,
        lease: Option<&str>,
        acquired: &str,
    ) -> Annotations {
        let former = before.map(Record::of);
        let transitions = match &former {
            None => 0,
            Some(record) => record.transitions + u64::from(record.leader != leader),
        };
        let term = 1 + before.map_or_else(
            || self.highest.load(std::sync::atomic::Ordering::Relaxed),
            |object| object.number,
        );
        let owner = lease.map(|lease| Owner {
            lease: lease.to_owned(),
            term,
        });
        Annotations::from([
            ("leader", Some(leader.to_owned())),
            ("acquireTime", Some(acquired.to_owned())),
            ("renewTime", Some(acquired.to_owned())),
            ("ttl", Some(seconds(self.ttl()))),
            ("transitions", Some(transitions.to_string())),
            (LEASE, owner.map(|owner| owner.written(leader, acquired))),
        ])
    }

    /// Gives the key up if it holds my name.
    pub(crate) async fn release_leader(&self) -> Result<bool, DcsError> {
        let pace = self.operation();
        self.http
            .ask(pace, |repeated| async move {
                for _ in 0..ROUNDS_MAX {
                    if let Some(was_mine) = self.release(repeated, pace).await? {
                        return Ok(was_mine);
                    }
                }
                Err(changed(&self.names.name(Thing::Leader)))
            })
            .await
    }

    async fn release(&self, repeated: bool, pace: Pace) -> Result<Option<bool>, Fault> {
        let object = self.thing(Thing::Leader, pace).await?;
        let Some(object) = object else {
            return Ok(Some(false));
        };
        let leader = Record::of(&object).leader;
        let me = self.me.as_ref().map_or("", MemberName::as_str);
        if leader != me || me.is_empty() {
            // An earlier attempt of ours may have given it up.
            return Ok(Some(repeated && leader.is_empty()));
        }
        if !repeated && let Err(fault) = self.close_behind_me(pace).await {
            // Whoever is ours does so when it acquires.
            tracing::debug!(why = fault.text(), "released with the door open");
        }
        let annotations = Annotations::from([("leader", None), (LEASE, None)]);
        let nobody = self.settings.endpoints.as_ref().map(|_| json!([]));
        let came = self
            .change(Thing::Leader, Some(&object), &annotations, nobody, pace)
            .await?;
        match came {
            Came::Done(now) => {
                self.mine().end();
                self.keep_leader(Some(now));
                Ok(Some(true))
            }
            Came::Conflict => Ok(None),
            Came::Missing => Ok(Some(repeated)),
        }
    }

    /// Puts `to` into the key, on its own lease, if the key is mine.
    pub(crate) async fn hand_over(&self, to: &MemberName) -> Result<HandOver, DcsError> {
        let pace = self.operation();
        let acquired = self.clock.wall().iso();
        let acquired = acquired.as_str();
        self.http
            .ask(pace, |_| async move {
                for _ in 0..ROUNDS_MAX {
                    if let Some(came) = self.give(to, acquired, pace).await? {
                        return Ok(came);
                    }
                }
                Err(changed(&self.names.name(Thing::Leader)))
            })
            .await
    }

    async fn give(
        &self,
        to: &MemberName,
        acquired: &str,
        pace: Pace,
    ) -> Result<Option<HandOver>, Fault> {
        let pod = self.pod(to.as_str(), pace).await?;
        let object = self.thing(Thing::Leader, pace).await?;
        if !self.leads(object.as_ref(), pace).await? {
            let record = object.as_ref().map(Record::of).unwrap_or_default();
            // An attempt whose answer was lost.
            let given = record.leader == to.as_str() && record.acquired == acquired;
            return Ok(Some(match given {
                true => HandOver::Done,
                false => HandOver::NotMine,
            }));
        }
        let Some(pod) = pod else {
            return Ok(Some(HandOver::NoLease));
        };
        let lease = match presence(&pod, &self.watched, self.clock.now()) {
            Presence::Absent | Presence::Ended => return Ok(Some(HandOver::NoLease)),
            Presence::Foreign => {
                // Patroni does not do so when it gets the key.
                self.close_behind_me(pace).await?;
                None
            }
            Presence::On(lease) => Some(lease),
        };
        let annotations = self.record(object.as_ref(), to.as_str(), lease.as_deref(), acquired);
        let subsets = self.subsets_of(&pod);
        let came = self
            .change(Thing::Leader, object.as_ref(), &annotations, subsets, pace)
            .await?;
        match came {
            Came::Done(_) => {
                self.mine().end();
                self.keep_leader(None);
                Ok(Some(HandOver::Done))
            }
            Came::Conflict | Came::Missing => Ok(None),
        }
    }

    fn subsets_of(&self, pod: &Object) -> Option<Value> {
        let endpoints = self.settings.endpoints.as_ref()?;
        let place = (
            self.names.namespace.as_str(),
            pod.name.as_str(),
            pod.uid.as_str(),
        );
        Some(body::subsets(endpoints, pod.ip.as_deref(), place))
    }

    /// Gives up the key if it is mine, and takes what my pod says of me away.
    pub(crate) async fn leave(&self) -> Result<(), DcsError> {
        let Some(me) = &self.me else {
            return Ok(());
        };
        self.release_leader().await?;
        self.mine().end();
        self.leave_pod(me).await
    }
}
