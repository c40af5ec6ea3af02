//! `ttl`, `loop_wait`, `retry_timeout` and the rule between them (contract §2.2).

use std::time::Duration;

/// The three times everything else is derived from. Whole seconds, adjusted to keep the rule
/// `loop_wait + 2 * retry_timeout <= ttl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the leader's lease lives without renewal.
    pub ttl: Duration,
    /// The longest sleep between two turns.
    pub loop_wait: Duration,
    /// The deadline of one operation on the DCS.
    pub retry_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(30),
            loop_wait: Duration::from_secs(10),
            retry_timeout: Duration::from_secs(10),
        }
    }
}
