//! The clock port: the only place that may ask what time it is.

use std::os::fd::OwnedFd;
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use pgherd_domain::{Moment, WallTime};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
        loop {
            let left = moment.since(self.now());
            if left.is_zero() {
                return;
            }
            // The runtime's timer stands still while the machine is suspended, so a long sleep is the kernel's, whose
            // timer does not; a system that has none for us is asked the time again and again.
            if left <= PIECE || alarm(moment).await.is_err() {
                tokio::time::sleep(left.min(PIECE)).await;
            }
        }
    }
}

/// After a resume a short sleep is late by this at most. A shorter one costs less with the runtime's own timer.
const PIECE: Duration = Duration::from_millis(500);

/// Waits with a timer of the kernel on CLOCK_BOOTTIME, which wakes nobody before its time (timerfd_create(2)).
async fn alarm(moment: Moment) -> io::Result<()> {
    let timer = timerfd_create(
        TimerfdClockId::Boottime,
        TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
    )?;
    let at = Duration::from_nanos(moment.as_nanos());
    let at = Timespec::try_from(at).map_err(io::Error::other)?;
    let once = Itimerspec {
        it_interval: Timespec::default(),
        it_value: at,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &once)?;
    registered(timer)?.readable().await?.retain_ready();
    Ok(())
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe; an owned descriptor stays open as long as it is registered"
)]
fn registered(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_and_a_short_sleep_end_when_they_are_due() {
        let clock = SystemClock;
        for span in [PIECE.mul_f64(1.2), Duration::from_millis(5), Duration::ZERO] {
            let due = clock.now().plus(span);
            clock.sleep_until(due).await;
            assert!(clock.now() >= due, "woken too early of {span:?}");
        }
        alarm(clock.now()).await.unwrap();
        clock.sleep_until(Moment::from_nanos(1)).await;
    }
}
