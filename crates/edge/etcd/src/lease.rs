//! This member's lease: one for the process; the member key and the leader key hang on it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Client, Error};
use pgherd_ports::DcsError;

use crate::fault::Fault;
use crate::pace::Pace;
use crate::pool::Pool;
use crate::terms::Terms;

/// A lease that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    /// etcd's number for it; never 0.
    pub(crate) id: i64,
    /// The ttl that was asked for.
    pub(crate) ttl: Duration,
}

/// What is known of this member's lease.
#[derive(Debug)]
pub(crate) struct Leases {
    state: Mutex<State>,
    /// Held while a lease is granted, so that there is one.
    granting: tokio::sync::Mutex<()>,
    /// Read while a write relies on the lease, written while keys move to another one.
    pub(crate) in_use: tokio::sync::RwLock<()>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    ttl: Duration,
    current: Option<Lease>,
    /// Granted to succeed the current one; keys may hang on either.
    next: Option<Lease>,
}

impl Leases {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                ttl,
                current: None,
                next: None,
            }),
            granting: tokio::sync::Mutex::default(),
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

    /// The lease that is about to succeed it.
    pub(crate) fn next(&self) -> Option<Lease> {
        self.state().next
    }

    /// Notes the successor, or that there is none.
    pub(crate) fn set_next(&self, next: Option<Lease>) {
        self.state().next = next;
    }

    /// The keys have moved: the successor is the lease. Gives the former one.
    pub(crate) fn succeed(&self) -> Option<Lease> {
        let mut state = self.state();
        let next = state.next.take()?;
        state.current.replace(next)
    }

    /// This lease is known to be gone.
    pub(crate) fn forget(&self, id: i64) {
        let mut state = self.state();
        state.current = state.current.filter(|lease| lease.id != id);
        state.next = state.next.filter(|lease| lease.id != id);
    }

    /// The lease, granted now if there is none. `true`: it was granted by this very call.
    pub(crate) async fn ensure(
        &self,
        pool: &Pool,
        terms: &Terms,
        pace: Pace,
    ) -> Result<(Lease, bool), DcsError> {
        if let Some(lease) = self.current() {
            return Ok((lease, false));
        }
        let _one_at_a_time = self.granting.lock().await;
        if let Some(lease) = self.current() {
            return Ok((lease, false));
        }
        let lease = grant(pool, terms, self.ttl(), pace).await?;
        self.state().current = Some(lease);
        Ok((lease, true))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Grants a lease. One whose answer was lost ends by itself; nothing hangs on it.
pub(crate) async fn grant(
    pool: &Pool,
    terms: &Terms,
    ttl: Duration,
    pace: Pace,
) -> Result<Lease, DcsError> {
    let seconds = whole_seconds(ttl);
    let id = pool
        .ask(pace, |mut client, _| async move {
            let granted = client.lease_grant(seconds, None).await?;
            terms.admit(granted.header())?;
            Ok(granted.id())
        })
        .await?;
    Ok(Lease { id, ttl })
}

/// Renews a lease once. `false`: it does not exist any more.
pub(crate) async fn keep_alive(client: &mut Client, id: i64) -> Result<bool, Fault> {
    // The client sends one request and awaits its answer; dropping what it returns ends the stream.
    match client.lease_keep_alive(id).await {
        Ok((_keeper, _answers)) => Ok(true),
        Err(Error::LeaseKeepAliveError(_)) => Ok(false),
        Err(error) => match error.into() {
            Fault::LeaseGone => Ok(false),
            fault => Err(fault),
        },
    }
}

/// Ends a lease, and with it all keys on it.
pub(crate) async fn revoke(pool: &Pool, id: i64, pace: Pace) -> Result<(), DcsError> {
    pool.ask(pace, |mut client, _| async move {
        match client.lease_revoke(id).await.map_err(Fault::from) {
            Ok(_) | Err(Fault::LeaseGone) => Ok(()),
            Err(fault) => Err(fault),
        }
    })
    .await
}

/// etcd counts whole seconds; rounded up, for the lease must not end before we believe it does.
fn whole_seconds(ttl: Duration) -> i64 {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(seconds.max(1)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_never_shorter_than_believed() {
        assert_eq!(whole_seconds(Duration::from_millis(2500)), 3);
        assert_eq!(whole_seconds(Duration::from_secs(30)), 30);
        assert_eq!(whole_seconds(Duration::ZERO), 1);
    }

    #[test]
    fn a_forgotten_lease_is_not_confused_with_its_successor() {
        let leases = Leases::new(Duration::from_secs(30));
        let lease = |id| Lease {
            id,
            ttl: Duration::from_secs(30),
        };
        leases.set_next(Some(lease(1)));
        assert_eq!(leases.succeed(), None);
        leases.set_next(Some(lease(2)));
        assert_eq!(leases.succeed(), Some(lease(1)));
        leases.forget(1);
        assert_eq!(leases.current(), Some(lease(2)));
        leases.forget(2);
        assert_eq!(leases.current(), None);
    }
}
