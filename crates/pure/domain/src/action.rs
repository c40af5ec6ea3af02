//! What a turn may do: one variant per effect, with every detail, so that nothing is left to choose.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::documents::{FailoverDoc, HistoryDoc, MemberDoc, StatusDoc, SyncDoc};
use crate::{Lsn, MemberName, RequestId, Revision, SlotName, SlotParameters, Upstream, Work};

/// One effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Writes my member key, under my lease.
    PublishMember(Box<MemberDoc>),
    /// Creates the leader key under my lease, if nobody holds it.
    AcquireLeader,
    /// Deletes the leader key, if it is mine. `optime` is written to `/status` first.
    ReleaseLeader {
        /// Where the WAL of the stopped primary ends.
        optime: Option<Lsn>,
    },
    /// Gives the leader key to `to`, under its lease, in one transaction, if it is mine: no race.
    HandOver {
        /// The successor.
        to: MemberName,
        /// Where the WAL of the stopped primary ends.
        optime: Option<Lsn>,
    },
    /// Writes `initialize` = "" if there is no such key: the right to bootstrap.
    TakeInitialize,
    /// Writes the system identifier to `initialize`, if it is still at `expected` (absent: `None`).
    WriteInitialize {
        /// The identifier.
        system_id: String,
        /// The revision this replaces.
        expected: Option<Revision>,
    },
    /// Gives the right to bootstrap back after a failure.
    DeleteInitialize {
        /// The revision this deletes.
        expected: Revision,
    },
    /// Writes `config` in the place of none, or of one that is of no use, while leading.
    RestoreConfig {
        /// The dynamic configuration.
        config: Value,
        /// The revision this replaces; `None`: there is no such key.
        expected: Option<Revision>,
    },
    /// Writes `status`, while leading.
    WriteStatus(StatusDoc),
    /// Writes `sync`, if it is still at `expected`, while leading.
    WriteSync {
        /// The document.
        doc: SyncDoc,
        /// The revision this replaces; `None`: there must be no key.
        expected: Option<Revision>,
    },
    /// Deletes `sync`, if it is still at `expected`, while leading.
    DeleteSync {
        /// The revision this deletes.
        expected: Revision,
    },
    /// Writes `history`, while leading.
    WriteHistory(HistoryDoc),
    /// Writes `failsafe`, name to api_url, while leading: who may race, and who has to promise not to.
    WriteFailsafe(BTreeMap<String, String>),
    /// Deletes `failsafe`, while leading: the mode is off.
    DeleteFailsafe,
    /// Replaces or clears the order in `failover`, if it is still at `expected`.
    WriteFailover {
        /// The order that stays; the empty one clears the key.
        doc: FailoverDoc,
        /// The revision this replaces.
        expected: Revision,
    },
    /// A small change to the running PostgreSQL.
    Adjust(Adjustment),
    /// Lets the watchdog count from now on, before this member becomes a primary.
    ArmWatchdog,
    /// Begins a long work. None may be running.
    Begin(Work),
    /// Calls the running work off.
    CancelWork,
    /// Answers an operator.
    Answer {
        /// Whom.
        to: RequestId,
        /// What.
        answer: Answer,
    },
    /// Asks. The answer wakes the loop.
    Ask(Question),
    /// Ends the agent, its work being done.
    Exit {
        /// Why, when it is an error.
        because: Option<String>,
    },
}

/// Small changes to a running PostgreSQL: each takes milliseconds and is safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adjustment {
    /// Streams from `upstream` from now on (a reload where the version can, contract §3.5).
    Follow {
        /// The server to stream from; `None` for none.
        upstream: Option<Upstream>,
    },
    /// Sets `synchronous_standby_names`; `None` gives it back to the user's own value.
    SetSynchronousStandbyNames(Option<String>),
    /// Makes a physical slot that keeps WAL from now on.
    CreateSlot(SlotName),
    /// Makes a logical slot on a primary.
    CreateLogicalSlot {
        /// Its name.
        slot: SlotName,
        /// The database whose changes it decodes.
        database: String,
        /// The output plugin.
        plugin: String,
        /// PostgreSQL itself takes it to the standbys (17+).
        failover: bool,
    },
    /// Moves the copies of the primary's logical slots forward, in the background: decoding takes its time.
    /// While it goes on it is not begun again.
    KeepLogicalSlots {
        /// Which, in which database, to where.
        advance: BTreeMap<SlotName, (String, Lsn)>,
        /// The primary whose horizons are compared, the slot this member has there, and the copies that are
        /// not known to be safe; `None`: all are.
        compare: Option<(Upstream, SlotName, Vec<SlotName>)>,
    },
    /// Sets what logical slots need of this server.
    SetSlotParameters(SlotParameters),
    /// Drops an inactive slot.
    DropSlot(SlotName),
    /// Moves an inactive physical slot forward.
    AdvanceSlot {
        /// Which.
        slot: SlotName,
        /// To where.
        to: Lsn,
    },
    /// Goes on with a replay that waits for larger parameters: the server then ends by itself, and its next
    /// start has them.
    ResumeReplay,
    /// Removes the old data directory that a clone had set aside: the new one streams.
    ForgetOldDirectory,
    /// Lets no client in from the next start on.
    CloseEntry,
    /// Lets clients in: at once where the server runs.
    OpenEntry,
    /// Has a standby look for its upstream now, and not when `wal_retrieve_retry_interval` is over.
    SeekUpstream,
}

impl fmt::Display for Adjustment {
    /// As the log says it when it fails.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Follow { upstream: Some(to) } => write!(f, "follow {to}"),
            Self::Follow { upstream: None } => f.write_str("follow nobody"),
            Self::SetSynchronousStandbyNames(Some(names)) => {
                write!(f, "set synchronous_standby_names to '{names}'")
            }
            Self::SetSynchronousStandbyNames(None) => {
                f.write_str("give synchronous_standby_names back")
            }
            Self::CreateSlot(slot) => write!(f, "create the replication slot '{slot}'"),
            Self::CreateLogicalSlot {
                slot,
                database,
                plugin,
                ..
            } => write!(
                f,
                "create the permanent logical slot '{slot}' in the database '{database}' with the plugin \
                 '{plugin}' (see `slots.{slot}` in the dynamic configuration)"
            ),
            Self::KeepLogicalSlots { .. } => f.write_str("advance the copies of logical slots"),
            Self::SetSlotParameters(_) => f.write_str("set what logical slots need"),
            Self::DropSlot(slot) => write!(f, "drop the replication slot '{slot}'"),
            Self::AdvanceSlot { slot, to } => {
                write!(f, "advance the replication slot '{slot}' to {to}")
            }
            Self::ResumeReplay => f.write_str("resume replay"),
            Self::ForgetOldDirectory => f.write_str("remove the old data directory"),
            Self::CloseEntry => f.write_str("close the server to clients"),
            Self::OpenEntry => f.write_str("open the server to clients"),
            Self::SeekUpstream => f.write_str("look for the upstream at once"),
        }
    }
}

/// What is asked of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The REST status of a peer, within `patience`.
    Peer {
        /// Whom.
        name: MemberName,
        /// Its `api_url`.
        api_url: String,
        /// How long an answer is waited for.
        patience: Duration,
        /// For whom it is asked to vote, if it is: who does leaves whomever it streams from before it answers.
        vote_for: Option<MemberName>,
    },
    /// The history of a server.
    History(Upstream),
}

/// What an operator is told. The REST server turns it into codes and texts (contract §16.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Done(String),
    /// Will be done later.
    Accepted(String),
    /// Not done.
    Refused(Refusal, String),
}

/// Why an operator's request is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The state of the member or the cluster forbids it now (503).
    Unavailable,
    /// Something else is in the way (409).
    Conflict,
    /// There is no such thing (404).
    NotFound,
    /// It can not be planned now (500).
    Impossible,
}
