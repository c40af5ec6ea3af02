//! `watchdog`: the device that resets a host whose agent hangs (contract §11).

use std::time::Duration;

use camino::Utf8PathBuf;
use pgherd_domain::WatchdogMode;

use crate::reader::Reader;

/// The watchdog device.
#[derive(Debug, Clone, PartialEq)]
pub struct Watchdog {
    /// Whether it is used.
    pub mode: WatchdogMode,
    /// Path of the device.
    pub device: Utf8PathBuf,
    /// How long before the lease's end it fires.
    pub safety_margin: SafetyMargin,
    /// `default`, or `testing` for a fifo or a file in place of a device.
    pub driver: String,
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

impl Watchdog {
    /// Reads section `watchdog`.
    pub(crate) fn read(reader: &Reader<'_>) -> Self {
        Self {
            mode: match reader.choice("watchdog.mode") {
                "required" | "require" => WatchdogMode::Required,
                "off" | "disable" | "disabled" | "false" => WatchdogMode::Off,
                _ => WatchdogMode::Automatic,
            },
            device: reader.text("watchdog.device").into(),
            safety_margin: match u64::try_from(reader.seconds("watchdog.safety_margin")) {
                Ok(seconds) => SafetyMargin::Fixed(Duration::from_secs(seconds)),
                Err(_) => SafetyMargin::HalfTtl,
            },
            driver: reader.choice("watchdog.driver").to_owned(),
        }
    }
}
