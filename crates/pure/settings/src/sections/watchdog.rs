//! `watchdog`: the device that resets a host whose agent hangs (contract §11).

use std::time::Duration;

use camino::Utf8PathBuf;

/// The watchdog device.
#[derive(Debug, Clone, PartialEq)]
pub struct Watchdog {
    /// Whether it is used.
    pub mode: WatchdogMode,
    /// Path of the device.
    pub device: Utf8PathBuf,
    /// How long before the lease's end it fires.
    pub safety_margin: SafetyMargin,
    /// `default`, or `testing` for a fifo in place of a device.
    pub driver: String,
}

/// Whether the watchdog is used.
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

/// How long before the lease's end the watchdog fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SafetyMargin {
    /// That long before: timeout = ttl - margin.
    Fixed(Duration),
    /// -1: timeout = ttl / 2.
    HalfTtl,
}

impl SafetyMargin {
    /// The watchdog's timeout for a lease of `ttl`.
    pub fn timeout(self, ttl: Duration) -> Duration {
        match self {
            Self::Fixed(margin) => ttl.saturating_sub(margin),
            Self::HalfTtl => Duration::from_secs(ttl.as_secs() / 2),
        }
    }
}

impl Default for Watchdog {
    fn default() -> Self {
        Self {
            mode: WatchdogMode::Automatic,
            device: Utf8PathBuf::from("/dev/watchdog"),
            safety_margin: SafetyMargin::Fixed(Duration::from_secs(5)),
            driver: "default".to_owned(),
        }
    }
}
