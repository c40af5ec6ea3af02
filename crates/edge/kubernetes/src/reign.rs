//! Whether the leader key is mine. It is when the leader's object says so on the lease of this process, when that lease has not
//! run out on our own clock, and when no write of a former leader can come late any more.
//!
//! Kubernetes has no transactions over several objects. A former leader may have found that it leads, and be stuck before
//! its write of `/sync` reaches the server. So whoever gets the key changes those objects before it takes itself for the
//! leader: a write that was prepared before is then one against an old version, and refused. For the same reason a writer
//! reads what it is to change first, and then who leads.

use std::time::Duration;

use pgherd_domain::{MemberName, Moment};
use pgherd_ports::Clock as _;
use serde_json::Value;

use crate::api::Came;
use crate::body::{self, Annotations};
use crate::fault::Fault;
use crate::names::Thing;
use crate::object::Object;
use crate::pace::Pace;
use crate::record::{Owner, Record};
use crate::store::Store;

/// The annotation by which a new leader makes stale writes fail.
const TERM: &str = "pgherd_term";
/// The objects that a leader writes beside its own.
const WRITTEN: [Thing; 3] = [Thing::Sync, Thing::Config, Thing::Failover];

/// Who holds the leader key, for this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    Me,
    /// It is on my lease, but I have not taken it up: it was handed over to me, or an acquisition is not finished.
    Unsettled,
    /// It says my name, on the lease of a former life.
    FormerLife,
    Other(MemberName),
}

/// My term of office.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reign {
    /// `acquireTime`, which tells it from others.
    acquired: String,
    /// When the lease behind it ends; `None`: it was handed over, and never renewed by me.
    until: Option<Moment>,
    ttl: Duration,
    settled: bool,
}

/// What this process knows of its own term, the last one that it took up.
#[derive(Debug, Default)]
pub(crate) struct Mine {
    reign: Option<Reign>,
}

impl Mine {
    /// What a record on my lease is to me. One that ran out on our clock is nobody's, though it may still stand there.
    fn look(&self, acquired: &str, now: Moment) -> Holder {
        match &self.reign {
            Some(reign) if reign.acquired == acquired => match (reign.until, reign.settled) {
                (Some(until), _) if now >= until => Holder::Nobody,
                (Some(_) | None, true) => Holder::Me,
                (Some(_) | None, false) => Holder::Unsettled,
            },
            Some(_) | None => Holder::Unsettled,
        }
    }

    /// A term begins; it is not settled.
    pub(crate) fn begin(&mut self, acquired: &str, until: Option<Moment>, ttl: Duration) {
        self.reign = Some(Reign {
            acquired: acquired.to_owned(),
            until,
            ttl,
            settled: false,
        });
    }

    /// The same for a term that somebody gave to me, unless it has begun.
    fn take_up(&mut self, acquired: &str, ttl: Duration) {
        let begun = self.reign.as_ref().map(|reign| reign.acquired.as_str());
        if begun != Some(acquired) {
            self.begin(acquired, None, ttl);
        }
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        self.reign = None;
    }

    /// Whether I lead, as far as is known without asking.
    pub(crate) fn leads(&self, now: Moment) -> bool {
        let reign = self.reign.as_ref();
        reign.is_some_and(|reign| reign.settled && reign.until.is_some_and(|until| now < until))
    }

    /// The ttl of my lease as the leader.
    pub(crate) fn ttl(&self) -> Option<Duration> {
        self.reign.as_ref().map(|reign| reign.ttl)
    }

    fn renewed(&mut self, acquired: &str, until: Moment, ttl: Duration) {
        if let Some(reign) = self.reign.as_mut().filter(|one| one.acquired == acquired) {
            (reign.until, reign.ttl) = (Some(until), ttl);
        }
    }

    fn settle(&mut self, acquired: &str) {
        if let Some(reign) = self.reign.as_mut().filter(|one| one.acquired == acquired) {
            reign.settled = true;
        }
    }
}

impl Store {
    /// Who holds the key, by the leader's object as it was read a moment ago.
    pub(crate) fn holder(&self, object: Option<&Object>) -> Holder {
        let Some(object) = object else {
            return Holder::Nobody;
        };
        let (now, record) = (self.clock.now(), Record::of(object));
        let since = self.watched.leader(object, &record, now);
        if record.leader.is_empty() {
            return Holder::Nobody;
        }
        let my_name = self.me.as_ref().map(MemberName::as_str) == Some(&record.leader);
        let owner = Owner::of(object, &record);
        if my_name && owner.is_some_and(|owner| owner.lease == self.lease) {
            return self.mine().look(&record.acquired, now);
        }
        if now >= since.plus(record.ttl(self.ttl())) {
            return Holder::Nobody;
        }
        match MemberName::new(&record.leader) {
            Ok(_) if my_name => Holder::FormerLife,
            Ok(name) => Holder::Other(name),
            // A value that names no member is nobody's (contract §4.1).
            Err(_) => Holder::Nobody,
        }
    }

    /// Whether I lead, by the leader's object as it was read a moment ago, and for as long as `pace` lasts at least.
    pub(crate) async fn leads(&self, object: Option<&Object>, pace: Pace) -> Result<bool, Fault> {
        let Some(object) = object else {
            return Ok(false);
        };
        match self.holder(Some(object)) {
            Holder::Me => {}
            Holder::Unsettled => {
                self.take_up(object, pace).await?;
                return Ok(true);
            }
            Holder::Nobody | Holder::FormerLife | Holder::Other(_) => return Ok(false),
        }
        let left = self.mine().reign.as_ref().and_then(|reign| reign.until);
        let left = left.map(|until| until.since(self.clock.now()));
        if left.is_none_or(|left| left <= pace.total()) {
            let renewed = self.renew_record(object, pace).await?;
            renewed.ok_or_else(|| changed(&object.name))?;
        }
        Ok(true)
    }

    /// Takes up a key that is on my lease: renews it, so that there is a lease to count on, and closes the door behind those
    /// who led before.
    pub(crate) async fn take_up(&self, object: &Object, pace: Pace) -> Result<Object, Fault> {
        let acquired = Record::of(object).acquired;
        self.mine().take_up(&acquired, self.ttl());
        let renewed = self.renew_record(object, pace).await?;
        let renewed = renewed.ok_or_else(|| changed(&object.name))?;
        self.settle(&acquired, pace).await?;
        Ok(renewed)
    }

    /// Makes writes fail that others have prepared before, and counts as the leader from then on.
    pub(crate) async fn settle(&self, acquired: &str, pace: Pace) -> Result<(), Fault> {
        let [sync, config, failover] = WRITTEN.map(|thing| self.touch(thing, acquired, pace));
        let touched = tokio::try_join!(sync, config, failover);
        touched?;
        self.mine().settle(acquired);
        Ok(())
    }

    /// The same before the key goes to somebody who does not do so: what of ours may still be on its way is refused from now
    /// on.
    pub(crate) async fn close_behind_me(&self, pace: Pace) -> Result<(), Fault> {
        let left = format!("left {}", self.next_number());
        let [sync, config, failover] = WRITTEN.map(|thing| self.touch(thing, &left, pace));
        tokio::try_join!(sync, config, failover).map(drop)
    }

    async fn touch(&self, thing: Thing, acquired: &str, pace: Pace) -> Result<(), Fault> {
        let term = format!("{acquired} {}", self.lease);
        let annotations = Annotations::from([(TERM, Some(term))]);
        let body = body::patch(&Default::default(), &annotations, None);
        let (kind, name) = (self.names.things(), self.names.name(thing));
        match self.patch(kind, &name, &body, pace).await? {
            Came::Done(_) => return Ok(()),
            // Nobody can create the others wrongly: what is in them is compared with what was seen.
            Came::Missing if thing != Thing::Sync => return Ok(()),
            Came::Missing => {}
            Came::Conflict => return Err(changed(&name)),
        }
        match self.change(thing, None, &annotations, None, pace).await? {
            Came::Done(_) => Ok(()),
            Came::Conflict | Came::Missing => Err(changed(&name)),
        }
    }

    /// Renews the record of a key that is mine, as it was read. The lease counts from before. `None`: the object has changed.
    pub(crate) async fn renew_record(
        &self,
        object: &Object,
        pace: Pace,
    ) -> Result<Option<Object>, Fault> {
        let (record, ttl, sent) = (Record::of(object), self.ttl(), self.clock.now());
        let annotations = Annotations::from([
            ("leader", Some(record.leader.clone())),
            ("renewTime", Some(self.clock.wall().iso())),
            ("ttl", Some(seconds(ttl))),
        ]);
        let subsets = self.my_subsets();
        let came = self
            .change(Thing::Leader, Some(object), &annotations, subsets, pace)
            .await
            .map_err(Fault::that_may_pass)?;
        match came {
            Came::Done(renewed) => {
                self.mine().renewed(&record.acquired, sent.plus(ttl), ttl);
                self.keep_leader(Some(renewed.clone()));
                // Noted, so that it counts from now.
                self.holder(Some(&renewed));
                Ok(Some(renewed))
            }
            Came::Conflict | Came::Missing => {
                self.keep_leader(None);
                Ok(None)
            }
        }
    }

    /// What the Endpoints of the leader say while I lead; `None` where there are none.
    pub(crate) fn my_subsets(&self) -> Option<Value> {
        let endpoints = self.settings.endpoints.as_ref()?;
        let name = self.me.as_ref().map_or("", MemberName::as_str);
        let pod = (self.names.namespace.as_str(), name, "");
        Some(body::subsets(endpoints, endpoints.pod_ip.as_deref(), pod))
    }
}

/// Whole seconds, as Patroni reads them; never fewer than are believed.
pub(crate) fn seconds(ttl: Duration) -> String {
    let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    whole.to_string()
}

pub(crate) fn changed(name: &str) -> Fault {
    Fault::answered(format!("`{name}` changed in between"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_mine_from_when_it_is_settled_until_it_runs_out() {
        let (mut mine, ttl) = (Mine::default(), Duration::from_secs(30));
        let at = |seconds: u64| Moment::from_millis(seconds * 1000);
        assert_eq!(mine.look("t1", at(1)), Holder::Unsettled);
        mine.take_up("t1", ttl);
        mine.renewed("t1", at(31), ttl);
        assert_eq!(mine.look("t1", at(2)), Holder::Unsettled);
        assert!(!mine.leads(at(2)));
        mine.settle("t0");
        assert!(!mine.leads(at(2)), "that was another term");
        mine.settle("t1");
        mine.take_up("t1", ttl);
        assert_eq!(mine.look("t1", at(30)), Holder::Me);
        assert!(mine.leads(at(30)));
        assert_eq!(mine.look("t1", at(31)), Holder::Nobody);
        // Handed over to me once more; what a late watch brings of the former term changes nothing.
        assert_eq!(mine.look("t2", at(33)), Holder::Unsettled);
        mine.begin("t2", Some(at(63)), ttl);
        mine.settle("t2");
        assert_eq!(mine.look("t1", at(34)), Holder::Unsettled);
        assert_eq!(mine.look("t2", at(34)), Holder::Me);
    }

    #[test]
    fn seconds_are_whole_and_never_fewer() {
        assert_eq!(seconds(Duration::from_millis(1500)), "2");
        assert_eq!(seconds(Duration::from_secs(30)), "30");
    }
}
