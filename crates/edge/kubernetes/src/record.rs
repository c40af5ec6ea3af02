//! The leader's lease as others see it (contract §4.9): a record that changes with each renewal. Kubernetes ends nothing by
//! itself, so everybody waits, on a clock of its own, until the record has not changed for the ttl that it names.
//!
//! Whoever holds the key counts from before a renewal was sent, and everybody else from after having seen it, so the holder
//! is the first to know that its time is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgherd_domain::{Moment, Revision};
use serde_json::{Value, json};

use crate::object::Object;

/// The annotation with which pgherd says on whose lease the key is.
pub(crate) const LEASE: &str = "pgherd_lease";

/// What of the leader's object tells of its lease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Record {
    /// Empty: nobody.
    pub(crate) leader: String,
    pub(crate) acquired: String,
    renewed: String,
    ttl: String,
    pub(crate) transitions: u64,
}

impl Record {
    /// Reads it.
    pub(crate) fn of(object: &Object) -> Self {
        let text = |name| object.get(name).unwrap_or_default().to_owned();
        Self {
            leader: text("leader"),
            acquired: text("acquireTime"),
            renewed: text("renewTime"),
            ttl: text("ttl"),
            transitions: text("transitions").trim().parse().unwrap_or(0),
        }
    }

    /// How long it counts without a change; `fallback` where it does not say.
    pub(crate) fn ttl(&self, fallback: Duration) -> Duration {
        let seconds = self.ttl.trim().parse::<u64>().ok();
        let seconds = seconds.filter(|seconds| *seconds > 0);
        seconds.map_or(fallback, Duration::from_secs)
    }
}

/// On whose lease a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The lease of one process of a member.
    pub(crate) lease: String,
    /// Orders terms of office: the revision of the leader key.
    pub(crate) term: Revision,
}

impl Owner {
    /// Reads it; `None` where the record is not the one that it was written with, as when Patroni took the key.
    pub(crate) fn of(object: &Object, record: &Record) -> Option<Self> {
        let value: Value = serde_json::from_str(object.get(LEASE)?).ok()?;
        let same = |key: &str, text: &str| value.get(key).and_then(Value::as_str) == Some(text);
        (same("leader", &record.leader) && same("acquired", &record.acquired)).then_some(())?;
        Some(Self {
            lease: value.get("lease")?.as_str()?.to_owned(),
            term: value.get("term")?.as_i64()?,
        })
    }

    /// The annotation beside a record with this leader and this time.
    pub(crate) fn written(&self, leader: &str, acquired: &str) -> String {
        json!({"leader": leader, "acquired": acquired, "lease": self.lease, "term": self.term})
            .to_string()
    }
}

/// What was seen last, and since when it has been so, for the leader and for each member.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    seen: Mutex<BTreeMap<String, Sight>>,
    /// Since when the leader's record has been as it is, and how long it counts; `None`: nobody leads.
    last: Mutex<Option<(Moment, Duration)>>,
}

#[derive(Debug, Clone)]
struct Sight {
    text: String,
    number: Revision,
    since: Moment,
}

impl Watched {
    /// Notes what an object said when its answer had come, at `now`; since when it has said so. An older version than
    /// one that was seen before, as a watch may still bring, is passed over.
    pub(crate) fn note(&self, name: &str, number: Revision, text: &str, now: Moment) -> Moment {
        let mut seen = self.lock();
        if let Some(sight) = seen.get_mut(name)
            && (sight.text == text || number < sight.number)
        {
            sight.number = sight.number.max(number);
            // An older version that differs says nothing of how long it has been so.
            return if sight.text == text { sight.since } else { now };
        }
        let sight = Sight {
            text: text.to_owned(),
            number,
            since: now,
        };
        seen.insert(name.to_owned(), sight);
        now
    }

    /// Since when the record of the leader has been as it is.
    pub(crate) fn leader(&self, object: &Object, record: &Record, now: Moment) -> Moment {
        // No member may be called so.
        let since = self.note("", object.number, &format!("{record:?}"), now);
        if self.is_last("", object.number) {
            let ends = (!record.leader.is_empty()).then(|| (since, record.ttl(Duration::MAX)));
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = ends;
        }
        since
    }

    /// Since when the last record of a leader has been as it is, and how long it counts.
    pub(crate) fn last_leader(&self) -> Option<(Moment, Duration)> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_last(&self, name: &str, number: Revision) -> bool {
        let seen = self.lock();
        seen.get(name).is_some_and(|sight| sight.number == number)
    }

    /// Forgets objects that are not there any more.
    pub(crate) fn keep(&self, there: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| name.is_empty() || there(name));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Sight>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn object(renewed: &str, number: Revision) -> Object {
        let pairs = [
            ("leader", "a"),
            ("acquireTime", "t0"),
            ("renewTime", renewed),
            ("ttl", "30"),
        ];
        Object {
            number,
            annotations: pairs.map(|(n, t)| (n.to_owned(), t.to_owned())).into(),
            ..Object::default()
        }
    }

    #[test]
    fn time_runs_from_when_the_record_was_first_seen() {
        let watched = Watched::default();
        let see = |renewed, number, now| {
            let object = object(renewed, number);
            watched.leader(&object, &Record::of(&object), at(now))
        };
        assert_eq!(see("t1", 5, 100), at(100));
        // Something else in the object changed.
        assert_eq!(see("t1", 6, 120), at(100));
        assert_eq!(see("t2", 7, 125), at(125));
        // A watch that is late brings what was there before: it neither renews the lease nor ends it.
        assert_eq!(see("t1", 6, 150), at(150));
        assert_eq!(see("t2", 7, 151), at(125));
    }

    #[test]
    fn an_owner_is_one_of_its_own_record_only() {
        let mut leader = object("t1", 5);
        let owner = Owner {
            lease: "l1".into(),
            term: 6,
        };
        leader
            .annotations
            .insert(LEASE.into(), owner.written("a", "t0"));
        assert_eq!(Owner::of(&leader, &Record::of(&leader)), Some(owner));
        leader.annotations.insert("leader".into(), "patroni".into());
        assert_eq!(Owner::of(&leader, &Record::of(&leader)), None);
    }

    #[test]
    fn a_record_without_a_ttl_has_that_of_the_reader() {
        let record = Record::of(&Object::default());
        assert_eq!(record.ttl(Duration::from_secs(20)), Duration::from_secs(20));
        assert_eq!(
            Record::of(&object("t", 1)).ttl(Duration::ZERO),
            Duration::from_secs(30)
        );
    }
}
