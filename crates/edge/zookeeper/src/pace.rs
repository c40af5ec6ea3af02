//! How long one operation may take, and when it turns to another server.

use std::time::Duration;

use pgherd_ports::DcsError;
use tokio::time::Instant;

/// The shortest that a server is waited for.
const ATTEMPT_MIN: Duration = Duration::from_millis(250);

/// One operation under way: its deadline, and what came of the attempts so far.
#[derive(Debug)]
pub(crate) struct Pace {
    begun: Instant,
    deadline: Instant,
    /// How long one server may be silent before the next is asked.
    attempt: Duration,
    /// Ask one server once. For writes that must not happen twice.
    once: bool,
    /// Requests were sent whose answers did not come: they may have been carried out.
    pub(crate) repeated: bool,
    trouble: String,
}

impl Pace {
    /// A renewal: over within a quarter of ttl, so that several fit into a lease.
    pub(crate) fn of_renewal(ttl: Duration, retry_timeout: Duration) -> Self {
        Self::within((ttl / 4).min(retry_timeout))
    }

    /// Everything else: over within a third of ttl, at least a second, at most `retry_timeout`.
    pub(crate) fn of_operation(ttl: Duration, retry_timeout: Duration) -> Self {
        Self::within((ttl / 3).max(Duration::from_secs(1)).min(retry_timeout))
    }

    fn within(total: Duration) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            deadline: begun + total,
            attempt: (total / 4).max(ATTEMPT_MIN),
            once: false,
            repeated: false,
            trouble: String::new(),
        }
    }

    /// From now on nothing is sent a second time.
    pub(crate) fn ask_once(&mut self) {
        self.once = true;
    }

    /// When the operation ends, answered or not.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When the attempt that begins now is given up.
    pub(crate) fn attempt_until(&self) -> Instant {
        match self.once {
            true => self.deadline,
            false => self.deadline.min(Instant::now() + self.attempt),
        }
    }

    /// Notes what a server said or did not say. An error: there is no time for another.
    pub(crate) fn failed(&mut self, server: &str, why: &str, sent: bool) -> Result<(), DcsError> {
        self.trouble = format!("{server}: {why}");
        self.repeated |= sent;
        if Instant::now() >= self.deadline || (self.once && sent) {
            return Err(self.over());
        }
        Ok(())
    }

    /// The error of an operation that found no time or no server.
    pub(crate) fn over(&self) -> DcsError {
        DcsError::TimedOut(self.deadline - self.begun, self.trouble.clone())
    }
}

/// The pause before servers that all failed are asked again.
pub(crate) fn pause(ttl: Duration) -> Duration {
    (ttl / 20).clamp(Duration::from_millis(50), Duration::from_millis(500))
}

/// How long a failing server is asked after the others.
pub(crate) fn penalty(ttl: Duration) -> Duration {
    (ttl / 2).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn several_renewals_fit_into_a_lease_and_several_servers_into_a_renewal() {
        for seconds in [4, 10, 30, 300] {
            let ttl = Duration::from_secs(seconds);
            let pace = Pace::of_renewal(ttl, Duration::from_secs(10));
            assert!(pace.deadline - pace.begun <= ttl / 4, "{ttl:?}");
            assert!(pace.attempt * 3 <= pace.deadline - pace.begun, "{ttl:?}");
        }
    }

    #[tokio::test]
    async fn what_was_sent_once_is_not_sent_again() {
        let ttl = Duration::from_secs(30);
        let mut pace = Pace::of_operation(ttl, ttl);
        pace.ask_once();
        assert_eq!(pace.failed("a:2181", "refused", false), Ok(()));
        assert!(pace.failed("b:2181", "silent", true).is_err());
    }
}
