//! What an endpoint's failure means: ask another one, or give up.

use std::error::Error as _;

use etcd_client::Error;
use pgherd_ports::DcsError;

/// etcd's words for a lease that is gone.
const LEASE_NOT_FOUND: &str = "requested lease not found";
/// etcd's words when a user logs in although no users are needed.
const AUTH_NOT_ENABLED: &str = "authentication is not enabled";
/// etcd's words for faults that a new login may mend (contract §4.6), and for a login that failed.
const DENIED: [&str; 6] = [
    "user name is empty",
    "permission denied",
    "invalid auth token",
    "revision of auth store is old",
    "authentication failed",
    "user name not found",
];

// Codes of gRPC that no other endpoint would answer differently.
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
const PERMISSION_DENIED: i32 = 7;
const FAILED_PRECONDITION: i32 = 9;
const OUT_OF_RANGE: i32 = 11;
const UNIMPLEMENTED: i32 = 12;
const UNAUTHENTICATED: i32 = 16;

/// One attempt on one endpoint that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Another endpoint, or the same a little later, may answer.
    Passing {
        /// What was wrong.
        why: String,
        /// The endpoint itself said so: its connection works.
        answered: bool,
    },
    /// The credentials were refused.
    Denied(String),
    /// The lease of the request does not exist.
    LeaseGone,
    /// Every endpoint would say the same.
    Final(String),
}

impl Fault {
    /// A passing fault that the endpoint told itself.
    pub(crate) const fn answered(why: String) -> Self {
        Self::Passing {
            why,
            answered: true,
        }
    }

    /// A passing fault of the connection.
    pub(crate) const fn silent(why: String) -> Self {
        Self::Passing {
            why,
            answered: false,
        }
    }

    /// The error that the caller of the port gets, or what is to be noted before others are asked.
    pub(crate) fn settle(self, endpoint: &str) -> Result<String, DcsError> {
        match self {
            Self::Passing { why, .. } => Ok(why),
            Self::Denied(why) => Err(DcsError::Denied(format!("{endpoint}: {why}"))),
            Self::Final(why) => Err(DcsError::Answered(format!("{endpoint}: {why}"))),
            Self::LeaseGone => Err(DcsError::Answered(format!("{endpoint}: {LEASE_NOT_FOUND}"))),
        }
    }
}

/// Whether etcd refused a login only because it asks nobody to log in.
pub(crate) fn needs_no_login(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.message().contains(AUTH_NOT_ENABLED))
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let Error::GRpcStatus(status) = error else {
            return Self::silent(root(&error));
        };
        // A status with a source was made on this side, out of what happened to the connection.
        if let Some(source) = status.source() {
            return Self::silent(format!("{}: {}", status.message(), root(source)));
        }
        let message = status.message();
        if message.contains(LEASE_NOT_FOUND) {
            return Self::LeaseGone;
        }
        if DENIED.iter().any(|words| message.contains(words)) {
            return Self::Denied(message.to_owned());
        }
        match i32::from(status.code()) {
            PERMISSION_DENIED | UNAUTHENTICATED => Self::Denied(message.to_owned()),
            INVALID_ARGUMENT | NOT_FOUND | ALREADY_EXISTS | FAILED_PRECONDITION | OUT_OF_RANGE
            | UNIMPLEMENTED => Self::Final(message.to_owned()),
            // Unavailable, no leader, not a primary lessor, too busy, internal: others may do better.
            _ => Self::answered(message.to_owned()),
        }
    }
}

/// The innermost cause: the outer ones only say that something went wrong in between.
fn root(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
