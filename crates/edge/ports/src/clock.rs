//! The clock port: the only place that may ask what time it is.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{Moment, WallTime};

/// Tells and awaits the time.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now, on a clock that counts suspended time and never jumps.
    fn now(&self) -> Moment;
    /// Now, on the wall.
    fn wall(&self) -> WallTime;
    /// Waits until `moment`; returns at once when it has passed.
    async fn sleep_until(&self, moment: Moment);
    /// Waits for `span`.
    async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now().plus(span)).await;
    }
}

/// The host's own clocks: CLOCK_BOOTTIME and CLOCK_REALTIME.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        Moment::from_nanos(seconds * 1_000_000_000 + nanos)
    }

    fn wall(&self) -> WallTime {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        WallTime::from_micros(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000)
    }

    async fn sleep_until(&self, moment: Moment) {
        // The runtime's timer stands still while the machine is suspended, so long sleeps are cut into
        // pieces: after a resume nothing is late by more than one.
        const PIECE: Duration = Duration::from_millis(500);
        loop {
            let left = moment.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(PIECE)).await;
        }
    }
}
