//! The DCS port: one cluster's prefix in the store, and this member's lease.
//!
//! Every write carries its fence: a condition that the store checks in the same transaction. Every error
//! means "unknown": the operation may or may not have happened (contract §4.6).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{ClusterView, MemberName, Revision};

/// A key below `/<namespace>/<scope>/` (contract §4.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `initialize`
    Initialize,
    /// `leader`
    Leader,
    /// `members/<name>`; written under this member's lease.
    Member(MemberName),
    /// `config`
    Config,
    /// `status`
    Status,
    /// `failover`
    Failover,
    /// `sync`
    Sync,
    /// `history`
    History,
    /// `failsafe`
    Failsafe,
    /// `pgherd_dr`: our own, written by operators' commands.
    Dr,
}

impl Key {
    /// The key below the cluster's prefix.
    pub fn path(&self) -> String {
        match self {
            Self::Initialize => "initialize".into(),
            Self::Leader => "leader".into(),
            Self::Member(name) => format!("members/{name}"),
            Self::Config => "config".into(),
            Self::Status => "status".into(),
            Self::Failover => "failover".into(),
            Self::Sync => "sync".into(),
            Self::History => "history".into(),
            Self::Failsafe => "failsafe".into(),
            Self::Dr => "pgherd_dr".into(),
        }
    }
}

/// What must hold for a write to happen; checked in the write's own transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The key must be at this revision; `Some(0)`: must not exist; `None`: whatever it is.
    pub revision: Option<Revision>,
    /// The leader key must hold my name on my lease.
    pub leading: bool,
}

impl Condition {
    /// No condition.
    pub const ALWAYS: Self = Self {
        revision: None,
        leading: false,
    };
    /// The key must not exist.
    pub const ABSENT: Self = Self {
        revision: Some(0),
        leading: false,
    };
    /// I must be the leader.
    pub const LEADING: Self = Self {
        revision: None,
        leading: true,
    };

    /// The key must be as I saw it; absent for `None`.
    pub fn unchanged(revision: Option<Revision>) -> Self {
        Self {
            revision: Some(revision.unwrap_or(0)),
            leading: false,
        }
    }

    /// The same, and I must be the leader.
    #[must_use]
    pub const fn and_leading(self) -> Self {
        Self {
            leading: true,
            ..self
        }
    }
}

/// What came of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Done; the key is at this revision now.
    Done(Revision),
    /// The condition did not hold; nothing was written.
    Refused,
}

/// Who holds the leader key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leading {
    /// I, on my lease.
    Me,
    /// Somebody else, proven by a linearizable read.
    Other(MemberName),
    /// Nobody.
    Nobody,
}

/// What came of a renewal that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// My lease lives on for `ttl` from the moment before the renewal was sent. When not, it had ended
    /// and the next write under a lease makes a new one.
    pub alive: bool,
    /// Who holds the leader key now.
    pub leading: Leading,
}

/// What came of an attempt to take the leader key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquisition {
    /// It is mine, on my lease. How long that lease is good only a renewal tells.
    Mine,
    /// Somebody was faster.
    Taken,
}

/// What came of handing the leader key over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandOver {
    /// The successor holds the key, on its own lease.
    Done,
    /// The key was not mine any more.
    NotMine,
    /// The successor has no lease to hold it on; nothing was changed.
    NoLease,
}

/// An operation whose outcome is not known. The text says which endpoint said what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DcsError {
    /// No endpoint answered in time.
    #[error("no answer from the DCS within {0:?}: {1}")]
    TimedOut(Duration, String),
    /// No endpoint could be reached.
    #[error("the DCS is not reachable: {0}")]
    Unreachable(String),
    /// The store refused this member's credentials.
    #[error("the DCS refused the credentials: {0}")]
    Denied(String),
    /// The store answered with an error.
    #[error("the DCS answered with an error: {0}")]
    Answered(String),
}

/// One cluster's prefix in the store, seen by one member. All reads are linearizable. Every call ends
/// within the store's own deadline (`retry_timeout` at most; renewals within a fraction of ttl), also with
/// a black-holed endpoint.
#[async_trait]
pub trait Dcs: Send + Sync + fmt::Debug {
    /// Reads the whole prefix at one revision.
    async fn load(&self) -> Result<ClusterView, DcsError>;

    /// Keeps my lease alive and reads who holds the leader key.
    async fn renew(&self) -> Result<Renewal, DcsError>;

    /// Creates the leader key with my name on my lease, if there is none. A key that is already mine on
    /// my lease counts as mine.
    async fn acquire_leader(&self) -> Result<Acquisition, DcsError>;

    /// Deletes the leader key if it is mine. `false`: it was not.
    async fn release_leader(&self) -> Result<bool, DcsError>;

    /// Puts `to` into the leader key on the lease of its member key, in one transaction, if the key is
    /// mine. The successor learns it by its watch; nobody can come between.
    async fn hand_over(&self, to: &MemberName) -> Result<HandOver, DcsError>;

    /// Writes `value` to `key` if `when` holds. Member keys hang on my lease, which is made if needed.
    async fn put(&self, key: &Key, value: &str, when: Condition) -> Result<Written, DcsError>;

    /// Deletes `key` if `when` holds. Deleting what is not there is done at once.
    async fn delete(&self, key: &Key, when: Condition) -> Result<Written, DcsError>;

    /// The ttl of leases from now on. A change takes effect with the next renewal.
    fn set_ttl(&self, ttl: Duration);

    /// The ttl of the lease that I have, where the store can tell: while a change is under way it may be the former one,
    /// and a store may have a limit of its own.
    fn lease_ttl(&self) -> Option<Duration> {
        None
    }

    /// Ends my lease: my member key, and the leader key if it is mine, are gone.
    async fn leave(&self) -> Result<(), DcsError>;
}

/// The DCS as an operator uses it: a cluster's prefix can also be erased as a whole.
#[async_trait]
pub trait OperatorDcs: Dcs {
    /// Deletes every key of the cluster, whoever wrote it (`remove`, contract §4.10). Deleting what is not there is
    /// done at once.
    async fn erase(&self) -> Result<(), DcsError>;

    /// The groups of a Citus cluster, in order: the numbers that keys below the cluster's prefix begin with
    /// (contract §4.1).
    async fn groups(&self) -> Result<Vec<u32>, DcsError>;
}
