//! Orders that come in over REST: bodies are read and checked here, without asking anybody (contract §16.7).

mod body;
mod delayed;
mod reinitialize;
mod restart;
mod switch;

pub use body::{optional, required};
pub use delayed::delayed;
pub use reinitialize::reinitialize;
pub use restart::{restart, version_num};
pub use switch::{Outcome, SwitchKind, SwitchOrder, judge};

use pgherd_domain::WallTime;

use crate::when::{NoMoment, When};

/// Why an order is refused: the status code, and what is said with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// An error of the HTTP layer: its own page.
    Page(u16),
    /// A code with a text of the contract.
    Text(u16, String),
}

impl Rejection {
    pub(crate) fn text(code: u16, text: impl Into<String>) -> Self {
        Self::Text(code, text.into())
    }
}

/// Reads the moment of a planned `what` (`switchover` or `restart`).
fn planned(text: &str, what: &str, now: WallTime) -> Result<When, Rejection> {
    let when = When::parse(text).map_err(|why| match why {
        NoMoment::NoOffset => Rejection::text(
            400,
            format!("Timezone information is mandatory for the scheduled {what}"),
        ),
        NoMoment::NotUnderstood => Rejection::text(
            422,
            "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601",
        ),
    })?;
    if when.at() < now {
        return Err(Rejection::text(
            422,
            format!("Cannot schedule {what} in the past"),
        ));
    }
    Ok(when)
}

#[cfg(test)]
mod tests;
