//! What a server's failure means: ask another one, begin a new session, or give up.

use pgherd_ports::DcsError;

use crate::request::code;
use crate::wire::Broken;

/// One attempt on one server that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Another server, or the same a little later, may answer.
    Passing(String),
    /// The credentials were refused.
    Denied(String),
    /// The session has ended; what hung on it is gone, or is going at this moment.
    SessionGone,
    /// Every server would say the same.
    Final(String),
}

impl Fault {
    /// What an error code means for a request as a whole.
    pub(crate) fn of_code(of: i32) -> Self {
        match of {
            code::SESSION_EXPIRED => Self::SessionGone,
            // Another connection has taken the session over, or this server lags behind.
            code::SESSION_MOVED => Self::Passing("the session is served by another server".into()),
            code::NO_AUTH | code::AUTH_FAILED => Self::Denied(explain(of)),
            code::INVALID_ACL => Self::Final(explain(of)),
            _ => Self::Passing(explain(of)),
        }
    }

    /// The error that the caller of the port gets, or what is to be noted before others are asked.
    pub(crate) fn settle(self, server: &str) -> Result<String, DcsError> {
        match self {
            Self::Passing(why) => Ok(why),
            Self::SessionGone => Ok("the session has ended".into()),
            Self::Denied(why) => Err(DcsError::Denied(format!("{server}: {why}"))),
            Self::Final(why) => Err(DcsError::Answered(format!("{server}: {why}"))),
        }
    }
}

/// An error code in words.
pub(crate) fn explain(of: i32) -> String {
    match of {
        code::NO_AUTH => {
            "no permission on the node; look at its ACL, and at `auth_data`, `cert` and `set_acls`"
                .into()
        }
        code::AUTH_FAILED => "the login was refused; look at `auth_data`".into(),
        code::INVALID_ACL => "the ACL was refused; look at `set_acls`".into(),
        code::NO_NODE => "there is no such node".into(),
        code::NODE_EXISTS => "the node is there already".into(),
        code::NOT_EMPTY => "the node has children".into(),
        other => format!("ZooKeeper's error {other}"),
    }
}

impl From<Broken> for Fault {
    fn from(_: Broken) -> Self {
        Self::Passing("the answer is not ZooKeeper's".into())
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Passing(error.to_string())
    }
}
