//! Questions that are asked everywhere, and what their answers mean.

use pgherd_domain::MemberName;
use pgherd_ports::{DcsError, Leading};

use crate::fault::explain;
use crate::link::Answer;
use crate::request::{ANY_VERSION, Node, Op, Part, Reply, Request, Stat, code};

/// The value of a node, read once.
pub(crate) fn data(path: String) -> Request {
    Request::Data { path, watch: false }
}

/// A transaction that changes nothing. It passes through ZooKeeper's leader and a majority, so a read behind it on the
/// same connection is linearizable; `sync` would ask only who believes to be the leader.
pub(crate) fn barrier() -> Request {
    Request::Multi(vec![Op::Check {
        path: "/".into(),
        version: ANY_VERSION,
    }])
}

/// The node that a read found.
pub(crate) fn node(answer: Option<&Answer>) -> Result<Option<&Node>, DcsError> {
    match answer {
        Some(Ok(Reply::Node(node))) => Ok(Some(node)),
        Some(Err(code::NO_NODE)) => Ok(None),
        Some(Err(code)) => Err(DcsError::Answered(explain(*code))),
        Some(Ok(_)) | None => Err(unexpected()),
    }
}

/// What came of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of it was done.
    Done(Vec<Option<Stat>>),
    /// Nothing of it was done, because of this part.
    Failed { at: usize, code: i32 },
}

/// What came of a transaction, out of its answer.
pub(crate) fn outcome(answer: Option<&Answer>) -> Result<Outcome, DcsError> {
    let parts = match answer {
        Some(Ok(Reply::Multi(parts))) => parts,
        Some(Err(code)) => return Err(DcsError::Answered(explain(*code))),
        Some(Ok(_)) | None => return Err(unexpected()),
    };
    let mut done = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Done(stat) => done.push(*stat),
            // A part that would have been done, had not another failed.
            Part::Failed(0) => {}
            Part::Failed(code::NO_AUTH) => return Err(DcsError::Denied(explain(code::NO_AUTH))),
            Part::Failed(code) => return Ok(Outcome::Failed { at, code: *code }),
        }
    }
    Ok(Outcome::Done(done))
}

fn unexpected() -> DcsError {
    DcsError::Answered("the answer does not fit the question".into())
}

/// Somebody else's leader key, or nobody's.
pub(crate) fn of_others(leader: Option<&Node>) -> Leading {
    // A value that names no member is nobody's (contract §4.1).
    match leader.map(|leader| MemberName::new(&leader.value)) {
        Some(Ok(name)) => Leading::Other(name),
        Some(Err(_)) | None => Leading::Nobody,
    }
}
