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
pub enum Fault {
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
    #[must_use]
    pub const fn answered(why: String) -> Self {
        Self::Passing {
            why,
            answered: true,
        }
    }

    /// A passing fault of the connection.
    #[must_use]
    pub const fn silent(why: String) -> Self {
        Self::Passing {
            why,
            answered: false,
        }
    }

    /// The error that the caller of the port gets, or what is to be noted before others are asked.
    ///
    /// # Errors
    /// When asking others is of no use.
    pub fn settle(self, endpoint: &str) -> Result<String, DcsError> {
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

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::*;

    /// What is done about a failure.
    #[derive(Debug, PartialEq)]
    enum Means {
        /// Others are asked, and the same one a little later.
        AskOthers,
        /// The caller hears of it at once.
        Told(DcsError),
    }

    fn means(error: Error) -> Means {
        match Fault::from(error).settle("e1") {
            Ok(_) => Means::AskOthers,
            Err(error) => Means::Told(error),
        }
    }

    fn denied(text: &str) -> Means {
        Means::Told(DcsError::Denied(format!("e1: {text}")))
    }

    fn answered(text: &str) -> Means {
        Means::Told(DcsError::Answered(format!("e1: {text}")))
    }

    /// etcd's own words for each class of failures, with the codes it gives them.
    const SAID: [(Code, &str); 22] = [
        (Code::Unavailable, "etcdserver: request timed out"),
        (
            Code::Unavailable,
            "etcdserver: request timed out, possibly due to previous leader failure",
        ),
        (
            Code::Unavailable,
            "etcdserver: request timed out, possibly due to connection lost",
        ),
        (Code::Unavailable, "etcdserver: no leader"),
        (Code::Unavailable, "etcdserver: leader changed"),
        (Code::Unavailable, "etcdserver: not leader"),
        (Code::Unavailable, "etcdserver: server stopped"),
        (Code::Unavailable, "etcdserver: unhealthy cluster"),
        (Code::ResourceExhausted, "etcdserver: too many requests"),
        (
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded",
        ),
        (Code::DataLoss, "etcdserver: corrupt cluster"),
        (Code::Internal, "etcdserver: something nobody knows"),
        (Code::Unknown, "etcdserver: not capable"),
        (Code::DeadlineExceeded, "context deadline exceeded"),
        (Code::Cancelled, "context canceled"),
        (Code::Aborted, "aborted"),
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted",
        ),
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        (
            Code::InvalidArgument,
            "etcdserver: duplicate key given in txn request",
        ),
        (Code::FailedPrecondition, "etcdserver: lease already exists"),
        (Code::NotFound, "etcdserver: requested lease not found"),
        (Code::Unimplemented, "unknown service etcdserverpb.Lease"),
    ];

    #[test]
    fn what_the_store_says_of_itself_lets_others_be_asked() {
        let passing = SAID[..16].iter();
        for (code, text) in passing {
            let error = Error::from(Status::new(*code, *text));
            assert_eq!(means(error), Means::AskOthers, "{text}");
        }
        for (code, text) in &SAID[16..] {
            let error = Error::from(Status::new(*code, *text));
            let told = text.trim_start_matches("etcdserver: ");
            let told = if told == LEASE_NOT_FOUND { told } else { text };
            assert_eq!(means(error), answered(told), "{text}");
        }
    }

    #[test]
    fn refused_credentials_are_told_as_such_whatever_the_code() {
        for (code, text) in [
            (Code::PermissionDenied, "etcdserver: permission denied"),
            (Code::Unauthenticated, "etcdserver: invalid auth token"),
            (Code::InvalidArgument, "etcdserver: user name is empty"),
            (
                Code::InvalidArgument,
                "etcdserver: revision of auth store is old",
            ),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
            ),
            (Code::FailedPrecondition, "etcdserver: user name not found"),
            (Code::PermissionDenied, "anything"),
            (Code::Unauthenticated, "anything"),
        ] {
            assert_eq!(means(Error::from(Status::new(code, text))), denied(text));
        }
    }

    #[test]
    fn what_happened_to_the_connection_lets_others_be_asked() {
        let io = |kind| Error::from(std::io::Error::new(kind, "down here"));
        for kind in [
            std::io::ErrorKind::ConnectionRefused,
            std::io::ErrorKind::ConnectionReset,
            std::io::ErrorKind::TimedOut,
            std::io::ErrorKind::NotFound,
            std::io::ErrorKind::UnexpectedEof,
        ] {
            assert_eq!(means(io(kind)), Means::AskOthers, "{kind:?}");
        }
        // A status that was made on this side: TLS, name resolution, a broken stream.
        for cause in [
            "dns error: failed to lookup address information",
            "invalid peer certificate: UnknownIssuer",
            "h2 protocol error",
        ] {
            let inner = std::io::Error::other(cause);
            let mut status = Status::new(Code::Unauthenticated, "transport error");
            status.set_source(std::sync::Arc::new(inner));
            let fault = Fault::from(Error::from(status));
            let silent = Fault::silent(format!("transport error: {cause}"));
            assert_eq!(fault, silent, "{cause}");
        }
        let strange = Error::InvalidArgs("no endpoint".to_owned());
        assert_eq!(means(strange), Means::AskOthers);
    }
}
