//! Two clocks: `Moment` for every decision, `WallTime` for what people read and schedule.

use std::fmt;
use std::time::Duration;

/// A point on the host's CLOCK_BOOTTIME, in nanoseconds since boot.
///
/// That clock counts the time a machine was suspended and never jumps, so a lease that ran out during a
/// suspend is seen to have run out. Moments of different hosts must never be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The moment `nanos` nanoseconds after boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `millis` milliseconds after boot.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment and `span` more; stops at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// This moment less `span`; stops at boot.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:03}s",
            self.0 / 1_000_000_000,
            self.0 / 1_000_000 % 1_000
        )
    }
}

/// A point on the wall clock: microseconds since 1970-01-01 UTC. Never used for safety.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(i64);

impl WallTime {
    /// The wall time `micros` microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, as `dcs_last_seen` has them (contract §4.7).
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Seconds from this until `later`; negative when `later` has passed.
    pub fn seconds_until(self, later: Self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "spans of years are exact to a millisecond"
        )]
        let micros = (later.0 - self.0) as f64;
        micros / 1e6
    }

    /// Reads an ISO 8601 time that names its offset or zone.
    ///
    /// # Errors
    /// `None` when the text is not such a time; a text without an offset is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let stamp: jiff::Timestamp = text.parse().ok()?;
        Some(Self(stamp.as_microsecond()))
    }

    /// ISO 8601 in UTC with microseconds, such as `2026-11-24T03:00:00.000000+00:00`.
    pub fn iso(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%S%.6f+00:00")
    }

    /// This time in UTC in a `strftime` pattern (jiff's own).
    pub fn format(self, pattern: &str) -> String {
        jiff::Timestamp::from_microsecond(self.0)
            .map(|stamp| stamp.strftime(pattern).to_string())
            .unwrap_or_default()
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso())
    }
}
