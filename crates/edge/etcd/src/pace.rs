//! How long one operation may take, and when it turns to another endpoint.

use std::time::Duration;

use tokio::time::Instant;

/// Deadlines of one operation on the store. All follow from ttl and `retry_timeout`.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// When the operation began.
    pub begun: Instant,
    /// When it ends, answered or not.
    pub deadline: Instant,
    /// How long an endpoint may be silent before the next is asked too; also the pause before one that
    /// failed is asked again.
    pub hedge: Duration,
    /// How long an endpoint may be silent before it is asked again over a new connection.
    pub again: Duration,
    /// Ask one endpoint once. For writes that must not happen twice.
    pub once: bool,
}

impl Pace {
    /// A renewal: over within a quarter of ttl, so that several fit into a lease.
    pub fn of_renewal(ttl: Duration, retry_timeout: Duration) -> Self {
        Self::within(ttl, (ttl / 4).min(retry_timeout))
    }

    /// Everything else: over within a third of ttl, at least a second, at most `retry_timeout`.
    pub fn of_operation(ttl: Duration, retry_timeout: Duration) -> Self {
        let total = (ttl / 3).max(Duration::from_secs(1)).min(retry_timeout);
        Self::within(ttl, total)
    }

    /// The same, with one endpoint asked once.
    pub const fn once(self) -> Self {
        Self { once: true, ..self }
    }

    /// How long it may take in all.
    pub fn total(&self) -> Duration {
        self.deadline - self.begun
    }

    fn within(ttl: Duration, total: Duration) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            deadline: begun + total,
            hedge: hedge(ttl),
            again: (total / 3).max(Duration::from_millis(250)),
            once: false,
        }
    }
}

/// A healthy etcd answers within some milliseconds; a disk that is busy for a moment is worth a short wait.
pub fn hedge(ttl: Duration) -> Duration {
    (ttl / 20).clamp(Duration::from_millis(100), Duration::from_millis(500))
}

/// How long a failing endpoint is asked after the others.
pub fn penalty(ttl: Duration) -> Duration {
    (ttl / 2).max(Duration::from_secs(1))
}

/// How long connecting and logging in may take.
pub fn connecting(ttl: Duration) -> Duration {
    (ttl / 10).clamp(Duration::from_millis(500), Duration::from_secs(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn several_renewals_fit_into_a_lease_and_several_endpoints_into_a_renewal() {
        for seconds in [2, 3, 10, 30, 300] {
            let ttl = Duration::from_secs(seconds);
            let pace = Pace::of_renewal(ttl, Duration::from_secs(10));
            assert!(pace.total() <= ttl / 4, "{ttl:?}");
            assert!(pace.total() >= pace.hedge * 4, "{ttl:?}");
        }
        let pace = Pace::of_operation(Duration::from_secs(30), Duration::from_secs(3));
        assert_eq!(pace.total(), Duration::from_secs(3));
    }
}
