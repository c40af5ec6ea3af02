//! This member's lease. The old API has none: the leader key and the member key each end by themselves, and what makes a
//! lease of the two is kept here.
//!
//! A lease begins with the first key that is written under it, or with the attempt to take the leader key. It lives on as
//! long as one of its keys was there to be renewed. What holds my name from before it began is of a former life.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::node::Node;

/// A lease, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The store's index when it began.
    pub(crate) since: u64,
    /// Whether the member key was written under it.
    pub(crate) member: bool,
    /// Until when the leader key is good that I hold, by my own clock; `None`: I have not renewed it yet.
    pub(crate) good_until: Option<Instant>,
    /// The ttl that its keys were last given.
    pub(crate) ttl: Duration,
}

/// What is known of this member's lease.
#[derive(Debug)]
pub(crate) struct Leases {
    state: Mutex<State>,
    /// Read while a write relies on the lease, written while the leader key is given away.
    pub(crate) in_use: tokio::sync::RwLock<()>,
}

#[derive(Debug)]
struct State {
    ttl: Duration,
    current: Option<Lease>,
    /// A write of `/sync` may still be on its way: mine whose answer was lost, or that of whoever led before me.
    unsettled: bool,
}

impl Lease {
    /// Whether a leader key is held on this lease: I took or renewed it since the lease began, or was given it.
    pub(crate) fn holds(&self, leader: &Node, me: &str) -> bool {
        leader.value == me && leader.modified_index > self.since
    }
}

impl Leases {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                ttl,
                current: None,
                unsettled: false,
            }),
            in_use: tokio::sync::RwLock::default(),
        }
    }

    /// The ttl of leases from now on.
    pub(crate) fn ttl(&self) -> Duration {
        self.state().ttl
    }

    /// Sets it.
    pub(crate) fn set_ttl(&self, ttl: Duration) {
        self.state().ttl = ttl;
    }

    /// The lease, as far as is known.
    pub(crate) fn current(&self) -> Option<Lease> {
        self.state().current
    }

    /// The lease; one that begins at `index` where there is none.
    pub(crate) fn begin(&self, index: u64) -> Lease {
        let mut state = self.state();
        let ttl = state.ttl;
        *state.current.get_or_insert(Lease {
            since: index,
            member: false,
            good_until: None,
            ttl,
        })
    }

    /// The member key was written.
    pub(crate) fn joined(&self, index: u64) {
        self.begin(index);
        if let Some(lease) = &mut self.state().current {
            lease.member = true;
        }
    }

    /// The leader key is mine, and good until then.
    pub(crate) fn leads(&self, until: Instant) {
        if let Some(lease) = &mut self.state().current {
            lease.good_until = Some(until);
        }
    }

    /// The leader key is not mine.
    pub(crate) fn leads_no_more(&self) {
        if let Some(lease) = &mut self.state().current {
            lease.good_until = None;
        }
    }

    /// What came of a renewal: which of the keys were there. With neither the lease has ended.
    pub(crate) fn renewed(&self, since: u64, leads: bool, member: bool, ttl: Duration) {
        let mut state = self.state();
        let Some(lease) = state.current.as_mut().filter(|lease| lease.since == since) else {
            return;
        };
        if !leads && !member {
            state.current = None;
            return;
        }
        lease.member = member;
        lease.ttl = ttl;
    }

    /// It has ended.
    pub(crate) fn end(&self) {
        self.state().current = None;
    }

    /// Whether a write of `/sync` may still be on its way.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.state().unsettled
    }

    /// Notes whether one may be.
    pub(crate) fn set_unsettled(&self, unsettled: bool) {
        self.state().unsettled = unsettled;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ttl as etcd takes it: whole seconds, rounded up, for the key must not end before we believe it does.
pub(crate) fn seconds(ttl: Duration) -> String {
    let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    whole.max(1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn leader(value: &str, created: u64, modified: u64) -> Node {
        Node {
            value: value.to_owned(),
            created_index: created,
            modified_index: modified,
            ..Node::default()
        }
    }

    #[test]
    fn a_key_of_a_former_life_is_not_mine_and_one_that_was_given_me_is() {
        let leases = Leases::new(TTL);
        leases.joined(10);
        let lease = leases.current().unwrap();
        assert!(!lease.holds(&leader("me", 3, 9), "me"), "of a former life");
        assert!(lease.holds(&leader("me", 3, 12), "me"), "given to me");
        assert!(!lease.holds(&leader("other", 3, 12), "me"));
    }

    #[test]
    fn a_lease_ends_with_the_last_of_its_keys() {
        let leases = Leases::new(TTL);
        leases.joined(10);
        leases.renewed(9, false, false, TTL);
        assert!(leases.current().is_some(), "that was another");
        leases.renewed(10, true, false, TTL * 2);
        let lease = leases.current().unwrap();
        assert_eq!((lease.member, lease.ttl), (false, TTL * 2));
        leases.renewed(10, false, false, TTL);
        assert_eq!(leases.current(), None);
        assert_eq!(leases.begin(20).since, 20);
    }

    #[test]
    fn a_key_never_ends_before_its_ttl() {
        let asked = |millis| seconds(Duration::from_millis(millis));
        assert_eq!(asked(30_000), "30");
        assert_eq!(asked(30_001), "31");
        assert_eq!(asked(300), "1");
    }
}
