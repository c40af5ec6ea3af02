//! What can go wrong with one request, and what follows (contract §4.9).

use pgherd_ports::DcsError;

/// Why a request did not do what it was to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Asking again may help.
    Passing {
        why: String,
        /// An answer came; without one the connection may lead nowhere.
        answered: bool,
    },
    /// This account may not do that.
    Denied(String),
    /// Asking again changes nothing.
    Final(String),
}

impl Fault {
    pub(crate) fn answered(why: impl Into<String>) -> Self {
        Self::Passing {
            why: why.into(),
            answered: true,
        }
    }

    pub(crate) fn silent(why: impl Into<String>) -> Self {
        Self::Passing {
            why: why.into(),
            answered: false,
        }
    }

    /// What an answer with this status means where it is none of those that were expected.
    pub(crate) fn of_answer(status: u16, text: &str, asks_for_another: bool) -> Self {
        let why = match text.trim() {
            "" => format!("it answered with status {status}"),
            text => format!("{text} (status {status})"),
        };
        match status {
            // The token may have been replaced a moment ago; it is read again.
            401 | 429 | 500.. => Self::answered(why),
            _ if asks_for_another => Self::answered(why),
            403 => Self::Denied(why),
            _ => Self::Final(why),
        }
    }

    /// The error for the caller, or the text of what asking again may heal.
    pub(crate) fn settle(self, server: &str) -> Result<(String, bool), DcsError> {
        match self {
            Self::Passing { why, answered } => Ok((why, answered)),
            Self::Denied(why) => Err(DcsError::Denied(format!("{server}: {why}"))),
            Self::Final(why) => Err(DcsError::Answered(format!("{server}: {why}"))),
        }
    }

    /// What it says.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Passing { why, .. } | Self::Denied(why) | Self::Final(why) => why,
        }
    }

    /// The same where a refusal may pass: a policy that is being changed must not cost the leader its key.
    #[must_use]
    pub(crate) fn that_may_pass(self) -> Self {
        match self {
            Self::Denied(why) => Self::answered(why),
            other @ (Self::Passing { .. } | Self::Final(_)) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_asked_again_and_a_wrong_request_is_final() {
        for (status, asks) in [(401, false), (429, false), (500, false), (504, false)] {
            let fault = Fault::of_answer(status, "", asks);
            assert!(matches!(fault, Fault::Passing { .. }), "{fault:?}");
        }
        let passing = Fault::of_answer(422, "", true);
        assert!(matches!(passing, Fault::Passing { .. }), "{passing:?}");
        let denied = Fault::of_answer(403, "configmaps is forbidden", false);
        assert!(matches!(denied, Fault::Denied(_)), "{denied:?}");
        let wrong = Fault::of_answer(422, "Invalid value", false);
        assert_eq!(
            wrong.settle("https://k"),
            Err(DcsError::Answered(
                "https://k: Invalid value (status 422)".into()
            ))
        );
    }
}
