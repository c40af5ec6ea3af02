//! What can go wrong with one request, and what follows.

use pgherd_ports::DcsError;

/// Why a request did not do what it was to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Asking again may help: the agent does not answer, or its servers have no leader at the moment.
    Passing {
        why: String,
        /// An answer came; without one the connection may lead nowhere.
        answered: bool,
    },
    /// The token is not known, or may not do this.
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

    /// What an answer with this status and text means where it is none of those that were expected.
    pub(crate) fn of_answer(status: u16, text: &str) -> Self {
        let text = text.trim();
        let why = match text {
            "" => format!("it answered with status {status}"),
            text => text.to_owned(),
        };
        match status {
            401 | 403 => Self::Denied(why),
            // Too many requests; everything from 500 on: no leader, leadership lost, an RPC that failed.
            429 | 500.. => Self::answered(why),
            _ => Self::Final(why),
        }
    }

    /// The error for the caller, or the text of what asking again may heal.
    pub(crate) fn settle(self, agent: &str) -> Result<(String, bool), DcsError> {
        match self {
            Self::Passing { why, answered } => Ok((why, answered)),
            Self::Denied(why) => Err(DcsError::Denied(format!("{agent}: {why}"))),
            Self::Final(why) => Err(DcsError::Answered(format!("{agent}: {why}"))),
        }
    }

    /// What it says.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Passing { why, .. } | Self::Denied(why) | Self::Final(why) => why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_servers_will_get_over_is_asked_again() {
        for (status, text) in [
            (500, "No cluster leader"),
            (
                500,
                "rpc error making call: leadership lost while committing log",
            ),
            (500, "Missing node registration"),
            (503, ""),
            (429, "Your IP is issuing too many concurrent connections"),
        ] {
            let fault = Fault::of_answer(status, text);
            assert!(
                matches!(fault, Fault::Passing { answered: true, .. }),
                "{fault:?}"
            );
        }
    }

    #[test]
    fn a_token_that_may_not_is_told_as_such_and_a_wrong_request_is_final() {
        for (status, text) in [(403, "Permission denied"), (403, "ACL not found")] {
            let told = Fault::of_answer(status, text).settle("http://c:8500");
            let expected = DcsError::Denied(format!("http://c:8500: {text}"));
            assert_eq!(told, Err(expected));
        }
        let told = Fault::of_answer(400, "").settle("http://c:8500");
        let expected = "http://c:8500: it answered with status 400".to_owned();
        assert_eq!(told, Err(DcsError::Answered(expected)));
    }
}
