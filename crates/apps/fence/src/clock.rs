//! The host's clocks: CLOCK_BOOTTIME for deadlines, CLOCK_REALTIME for the log; and which boot this is.

use pgherd_domain::{Moment, WallTime};
use rustix::time::{ClockId, clock_gettime};

use crate::record::hash;

/// Now, on the clock that counts suspended time. The agent's deadlines are on the same.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Moment::from_nanos(seconds * 1_000_000_000 + nanos)
}

/// Now, on the wall.
pub(crate) fn wall() -> WallTime {
    let time = clock_gettime(ClockId::Realtime);
    WallTime::from_micros(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000)
}

/// What tells this boot from others: a [`Moment`] of another boot means nothing.
pub(crate) fn boot() -> u64 {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    hash(id.trim().as_bytes())
}
