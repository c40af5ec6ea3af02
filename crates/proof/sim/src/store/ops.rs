//! What the store does with one request, all at once.

use std::time::Duration;

use pgherd_domain::MemberName;
use pgherd_ports::{Acquisition, Condition, DcsError, HandOver, Key, Leading, Renewal, Written};

use super::Store;

/// Who asks: a member with its lease, if it has one.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) name: MemberName,
    pub(super) lease: Option<u64>,
    pub(super) ttl: Duration,
}

impl Store {
    /// Makes a lease for the caller when it has none that lives. The caller learns it by the answer.
    pub(super) fn lease_of(&mut self, now: Duration, caller: &Caller) -> u64 {
        match caller.lease {
            Some(lease) if self.leases.contains_key(&lease) => lease,
            Some(_) | None => self.grant(now, caller.name.as_str(), caller.ttl),
        }
    }

    fn leading(&self, caller: &Caller) -> Leading {
        let Some(entry) = self.keys.get("leader") else {
            return Leading::Nobody;
        };
        if entry.value == caller.name.as_str() && entry.lease == caller.lease {
            return Leading::Me;
        }
        match MemberName::new(&entry.value) {
            Ok(name) => Leading::Other(name),
            Err(_) => Leading::Nobody,
        }
    }

    pub(super) fn renew(&mut self, now: Duration, caller: &Caller) -> Renewal {
        let alive = caller
            .lease
            .is_some_and(|lease| self.keep_alive(now, lease, caller.ttl));
        Renewal {
            alive,
            leading: self.leading(caller),
        }
    }

    /// The caller's lease must live: it is `caller.lease`. A key that holds my name on the lease of a former
    /// life is moved to this one.
    pub(super) fn acquire(&mut self, caller: &Caller) -> Result<Acquisition, DcsError> {
        if self.leading(caller) == Leading::Me {
            return Ok(Acquisition::Mine);
        }
        let taken = self
            .value("leader")
            .is_some_and(|name| name != caller.name.as_str());
        if taken {
            return Ok(Acquisition::Taken);
        }
        match self.write("leader", caller.name.as_str(), caller.lease) {
            Some(_) if caller.lease.is_some() => Ok(Acquisition::Mine),
            Some(_) | None => Err(no_such_lease()),
        }
    }

    /// The same without the condition: for a planted bug.
    pub(super) fn seize(&mut self, caller: &Caller) -> Result<Acquisition, DcsError> {
        let written = self.write("leader", caller.name.as_str(), caller.lease);
        written.map(|_| Acquisition::Mine).ok_or_else(no_such_lease)
    }

    pub(super) fn release(&mut self, caller: &Caller) -> bool {
        if self.leading(caller) != Leading::Me {
            return false;
        }
        self.erase("leader", "released");
        true
    }

    pub(super) fn hand_over(&mut self, caller: &Caller, to: &MemberName) -> HandOver {
        if self.leading(caller) != Leading::Me {
            return HandOver::NotMine;
        }
        let lease = self
            .keys
            .get(&format!("members/{to}"))
            .and_then(|entry| entry.lease);
        let Some(lease) = lease else {
            return HandOver::NoLease;
        };
        match self.write("leader", to.as_str(), Some(lease)) {
            Some(_) => HandOver::Done,
            None => HandOver::NoLease,
        }
    }

    fn holds(&self, caller: &Caller, key: &str, when: Condition) -> bool {
        let is = self.keys.get(key).map_or(0, |entry| entry.revision);
        when.revision.is_none_or(|wanted| wanted == is)
            && (!when.leading || self.leading(caller) == Leading::Me)
    }

    pub(super) fn put(
        &mut self,
        caller: &Caller,
        key: &Key,
        value: &str,
        when: Condition,
    ) -> Result<Written, DcsError> {
        let path = key.path();
        if !self.holds(caller, &path, when) {
            return Ok(Written::Refused);
        }
        let lease = match key {
            Key::Member(_) => Some(caller.lease.ok_or_else(no_such_lease)?),
            Key::Initialize
            | Key::Leader
            | Key::Config
            | Key::Status
            | Key::Failover
            | Key::Sync
            | Key::History
            | Key::Failsafe
            | Key::Dr => None,
        };
        self.write(&path, value, lease)
            .map(Written::Done)
            .ok_or_else(no_such_lease)
    }

    pub(super) fn delete(&mut self, caller: &Caller, key: &Key, when: Condition) -> Written {
        let path = key.path();
        if !self.keys.contains_key(&path) {
            return Written::Done(self.revision);
        }
        if !self.holds(caller, &path, when) {
            return Written::Refused;
        }
        self.erase(&path, "deleted");
        Written::Done(self.revision)
    }

    pub(super) fn leave(&mut self, caller: &Caller) {
        if let Some(lease) = caller.lease {
            self.revoke(lease, "left");
        }
    }
}

pub(super) fn no_such_lease() -> DcsError {
    DcsError::Answered("requested lease not found".to_owned())
}
