//! How long one operation may take, and when it asks again.

use std::time::Duration;

use tokio::time::Instant;

/// Deadlines of one operation on the store. All follow from ttl and `retry_timeout`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    begun: Instant,
    /// When it ends, answered or not.
    pub(crate) deadline: Instant,
    /// How long one request may stay unanswered before it is sent again over a new connection.
    pub(crate) again: Duration,
    /// The pause before a server that failed is asked again.
    pub(crate) pause: Duration,
}

impl Pace {
    /// A renewal: over within a quarter of ttl, so that several fit into a lease.
    pub(crate) fn of_renewal(ttl: Duration, retry_timeout: Duration) -> Self {
        Self::within(ttl, (ttl / 4).min(retry_timeout))
    }

    /// Everything else: over within a third of ttl, at least a second, at most `retry_timeout`.
    pub(crate) fn of_operation(ttl: Duration, retry_timeout: Duration) -> Self {
        let total = (ttl / 3).max(Duration::from_secs(1)).min(retry_timeout);
        Self::within(ttl, total)
    }

    /// How long it may take in all.
    pub(crate) fn total(&self) -> Duration {
        self.deadline - self.begun
    }

    fn within(ttl: Duration, total: Duration) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            deadline: begun + total,
            again: (total / 3).max(Duration::from_millis(250)),
            pause: pause(ttl),
        }
    }
}

/// A server whose etcd elects a leader answers again within some hundred milliseconds.
pub(crate) fn pause(ttl: Duration) -> Duration {
    (ttl / 20).clamp(Duration::from_millis(50), Duration::from_millis(500))
}

/// How long connecting may take.
pub(crate) fn connecting(ttl: Duration) -> Duration {
    (ttl / 10).clamp(Duration::from_millis(500), Duration::from_secs(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn several_renewals_fit_into_a_lease_and_several_requests_into_a_renewal() {
        for seconds in [4, 10, 20, 30, 300] {
            let ttl = Duration::from_secs(seconds);
            let pace = Pace::of_renewal(ttl, Duration::from_secs(10));
            assert!(pace.total() <= ttl / 4, "{ttl:?}");
            assert!(pace.total() >= pace.again * 2, "{ttl:?}");
            assert!(pace.total() >= pace.pause * 4, "{ttl:?}");
        }
        let pace = Pace::of_operation(Duration::from_secs(30), Duration::from_secs(3));
        assert_eq!(pace.total(), Duration::from_secs(3));
    }
}
