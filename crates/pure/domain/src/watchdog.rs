//! The Linux watchdog: which figures it may run with, and what is known of it (contract §11).

use std::time::Duration;

use crate::Moment;

/// Whether the watchdog is used (`watchdog.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WatchdogMode {
    /// Never.
    Off,
    /// When it works.
    #[default]
    Automatic,
    /// No leader without it.
    Required,
}

/// What the device is to do, from the settings. The timeout is counted in whole seconds, as devices do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchdogPlan {
    /// Whether it is used.
    pub mode: WatchdogMode,
    /// Path of the device.
    pub device: String,
    /// A fifo or a file stands in for the device: timeouts are written to it as lines.
    pub testing: bool,
    /// How long after a renewal of the lease it resets the host.
    pub timeout: Duration,
    /// The longest sleep between two turns.
    pub loop_wait: Duration,
}

/// What becomes of a device that runs with another timeout than it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeoutVerdict {
    /// It resets the host before the lease ends.
    Good,
    /// It may reset the host only after the lease has ended: better than nothing, and to be told.
    TooLong,
    /// It must not be used.
    Refused(String),
}

impl WatchdogPlan {
    /// Whether the figures leave room: the timeout must not be shorter than `loop_wait`.
    ///
    /// # Errors
    /// Why not, with what to change.
    pub fn check(&self) -> Result<(), String> {
        let (timeout, loop_wait) = (self.timeout, self.loop_wait);
        if timeout < loop_wait.max(Duration::from_secs(1)) {
            return Err(format!(
                "its timeout of {timeout:?} (ttl less safety_margin) is shorter than loop_wait \
                 ({loop_wait:?}): lower watchdog.safety_margin or loop_wait, or raise ttl"
            ));
        }
        Ok(())
    }

    /// What to think of a device that was asked for `asked` and runs with `actual`.
    pub fn judge(&self, asked: Duration, actual: Duration) -> TimeoutVerdict {
        if actual < self.loop_wait || actual.is_zero() {
            return TimeoutVerdict::Refused(format!(
                "it resets the host after {actual:?} whatever it is asked for, and that is shorter than \
                 loop_wait ({:?}): lower loop_wait",
                self.loop_wait
            ));
        }
        if actual <= asked {
            return TimeoutVerdict::Good;
        }
        match self.mode {
            WatchdogMode::Required => TimeoutVerdict::Refused(format!(
                "it resets the host after {actual:?} at the earliest, and the lease allows {asked:?}: raise \
                 ttl, or set watchdog.mode to automatic"
            )),
            WatchdogMode::Automatic | WatchdogMode::Off => TimeoutVerdict::TooLong,
        }
    }

    /// With which timeout the device may be kept alive at `now` for a lease that is good until `good_until`:
    /// the host must have been reset when the lease ends. `None`: it is too late, and nothing may be sent.
    pub fn timeout_at(&self, now: Moment, good_until: Moment) -> Option<Duration> {
        let left = Duration::from_secs(good_until.since(now).as_secs());
        let timeout = self.timeout.min(left);
        (!timeout.is_zero()).then_some(timeout)
    }
}

/// What is known of the watchdog in a turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WatchdogSeen {
    /// It is not used by the settings, or nothing was asked of it yet.
    #[default]
    Off,
    /// It does not count, and could.
    Ready,
    /// It counts: the host is reset unless the lease is renewed.
    Counting {
        /// When.
        resets_at: Moment,
        /// How long after it was last kept alive.
        timeout: Duration,
    },
    /// It can not be used.
    Unusable {
        /// Why.
        why: String,
    },
}

impl WatchdogSeen {
    /// Whether it counts.
    pub const fn counts(&self) -> bool {
        matches!(self, Self::Counting { .. })
    }

    /// Why a member that needs it has none.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Unusable { why } => Some(why),
            Self::Off | Self::Ready | Self::Counting { .. } => None,
        }
    }

    /// When it resets the host, if it counts.
    pub const fn resets_at(&self) -> Option<Moment> {
        match self {
            Self::Counting { resets_at, .. } => Some(*resets_at),
            Self::Off | Self::Ready | Self::Unusable { .. } => None,
        }
    }

    /// How long after its last renewal a lease may be used: ttl, or less while a watchdog counts.
    pub fn span_of(&self, ttl: Duration) -> Duration {
        match self {
            Self::Counting { timeout, .. } => ttl.min(*timeout),
            Self::Off | Self::Ready | Self::Unusable { .. } => ttl,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn plan(mode: WatchdogMode, timeout: u64) -> WatchdogPlan {
        WatchdogPlan {
            mode,
            device: "/dev/watchdog".to_owned(),
            testing: false,
            timeout: secs(timeout),
            loop_wait: secs(10),
        }
    }

    #[test]
    fn the_timeout_must_leave_room_for_a_turn() {
        for (timeout, fits) in [(25, true), (10, true), (9, false), (0, false)] {
            let checked = plan(WatchdogMode::Automatic, timeout).check();
            assert_eq!(checked.is_ok(), fits, "{timeout}");
        }
        let without_wait = WatchdogPlan {
            loop_wait: Duration::ZERO,
            ..plan(WatchdogMode::Automatic, 0)
        };
        assert!(without_wait.check().is_err(), "no device counts to zero");
    }

    #[test]
    fn a_device_with_a_timeout_of_its_own_is_judged_by_the_mode() {
        use WatchdogMode::{Automatic, Required};
        let judge = |mode, actual| plan(mode, 25).judge(secs(25), secs(actual));
        for mode in [Automatic, Required] {
            assert_eq!(judge(mode, 25), TimeoutVerdict::Good);
            assert_eq!(judge(mode, 10), TimeoutVerdict::Good, "earlier is safe");
            assert!(matches!(judge(mode, 9), TimeoutVerdict::Refused(_)));
        }
        assert_eq!(judge(Automatic, 26), TimeoutVerdict::TooLong);
        assert!(matches!(judge(Required, 26), TimeoutVerdict::Refused(_)));
    }

    #[test]
    fn the_reset_never_comes_after_the_end_of_the_lease() {
        let plan = plan(WatchdogMode::Required, 25);
        let good_until = Moment::from_millis(130_000);
        for (now, timeout) in [
            (100_000, Some(25)),
            (105_000, Some(25)),
            // An answer of the store that came late, or an agent that was frozen meanwhile.
            (105_001, Some(24)),
            (128_500, Some(1)),
            (129_001, None),
            (130_000, None),
            (500_000, None),
        ] {
            let now = Moment::from_millis(now);
            let sent = plan.timeout_at(now, good_until);
            assert_eq!(sent, timeout.map(secs), "{now:?}");
            assert!(sent.is_none_or(|sent| now.plus(sent) <= good_until));
        }
    }

    #[test]
    fn only_a_device_that_counts_shortens_the_use_of_a_lease() {
        let counts = WatchdogSeen::Counting {
            resets_at: Moment::from_millis(1),
            timeout: secs(25),
        };
        assert_eq!(counts.span_of(secs(30)), secs(25));
        assert_eq!(counts.span_of(secs(20)), secs(20));
        assert_eq!(WatchdogSeen::Ready.span_of(secs(30)), secs(30));
    }
}
