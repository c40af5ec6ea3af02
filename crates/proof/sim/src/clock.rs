//! The clocks of a member: virtual time with an offset, a drift and a wall clock that may jump.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{Moment, WallTime};
use pgherd_ports::Clock;

use crate::process::Process;

/// Where every wall clock stands when a universe begins: 2026-01-01 00:00:00 UTC, in microseconds.
const WALL_BEGIN: i64 = 1_767_225_600_000_000;

/// How a member's clocks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pendulum {
    /// CLOCK_BOOTTIME when the universe began.
    pub(crate) boot: Duration,
    /// How many nanoseconds too many (or too few) the clock counts in a millisecond, times 1000: parts per million.
    pub(crate) drift_ppm: i64,
    /// How far the wall clock is off.
    pub(crate) wall_skew_micros: i64,
}

impl Pendulum {
    pub(crate) const fn exact(boot: Duration) -> Self {
        Self {
            boot,
            drift_ppm: 0,
            wall_skew_micros: 0,
        }
    }

    /// Goes wrong by `drift_ppm` from `now` on; what it shows now stays.
    pub(crate) fn set_drift(&mut self, drift_ppm: i64, now: Duration) {
        let shows = self.moment(now);
        self.drift_ppm = drift_ppm;
        let fresh = Self {
            boot: Duration::ZERO,
            ..*self
        };
        self.boot = shows.since(fresh.moment(now));
    }

    /// What the clock shows at `virtual_time`.
    pub(crate) fn moment(&self, virtual_time: Duration) -> Moment {
        let nanos = i128::try_from(virtual_time.as_nanos()).unwrap_or(i128::MAX);
        let drifted = nanos + nanos * i128::from(self.drift_ppm) / 1_000_000;
        let span = Duration::from_nanos(u64::try_from(drifted).unwrap_or(0));
        Moment::from_nanos(0).plus(self.boot).plus(span)
    }

    /// How much virtual time passes until the clock shows `span` more.
    pub(crate) fn stretch(&self, span: Duration) -> Duration {
        let nanos = i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
        let virtual_nanos = nanos * 1_000_000 / (1_000_000 + i128::from(self.drift_ppm));
        Duration::from_nanos(u64::try_from(virtual_nanos).unwrap_or(u64::MAX))
    }

    pub(crate) fn wall(&self, virtual_time: Duration) -> WallTime {
        let micros = i64::try_from(virtual_time.as_micros()).unwrap_or(i64::MAX);
        WallTime::from_micros(WALL_BEGIN + micros + self.wall_skew_micros)
    }
}

/// The clock port of one member.
#[derive(Clone)]
pub(crate) struct SimClock {
    process: Process,
}

impl SimClock {
    pub(crate) const fn new(process: Process) -> Self {
        Self { process }
    }

    fn pendulum(&self) -> Pendulum {
        let Process { world, me, .. } = &self.process;
        world.look(|state| state.host(me).pendulum)
    }
}

impl fmt::Debug for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimClock({:?})", self.process)
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Moment {
        self.pendulum().moment(self.process.world.now())
    }

    fn wall(&self) -> WallTime {
        self.pendulum().wall(self.process.world.now())
    }

    async fn sleep_until(&self, moment: Moment) {
        loop {
            let left = moment.since(self.now());
            if left.is_zero() {
                break;
            }
            let span = self.pendulum().stretch(left);
            self.process.world.sleep(span).await;
        }
        self.process.gate().await;
    }
}

#[cfg(test)]
mod tests {
    use pgherd_domain::MemberName;

    use super::*;
    use crate::world::World;

    #[tokio::test(start_paused = true)]
    async fn a_fast_clock_wakes_early_and_a_frozen_member_late() {
        let world = World::new(1);
        let me = MemberName::new("a").unwrap();
        world.add_host(&me);
        world.change(|state| {
            let now = state.now;
            state.host_mut(&me).pendulum.set_drift(100_000, now);
        });
        let clock = SimClock::new(Process::of(&world, &me));
        let begin = clock.now();
        clock.sleep(Duration::from_secs(11)).await;
        assert!(clock.now().since(begin) >= Duration::from_secs(11));
        assert!(
            world.now() < Duration::from_millis(10_010),
            "{:?}",
            world.now()
        );

        world.change(|state| state.host_mut(&me).frozen = true);
        let thaw = world.clone();
        let who = me.clone();
        world.spawn(async move {
            thaw.sleep(Duration::from_secs(60)).await;
            thaw.change(|state| state.host_mut(&who).frozen = false);
        });
        clock.sleep(Duration::from_secs(1)).await;
        assert!(world.now() >= Duration::from_secs(70));
    }
}
