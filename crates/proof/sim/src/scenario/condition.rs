//! Conditions: what `until` waits for and `expect` demands.

use std::time::Duration;

use pgherd_domain::{MemberName, SlotName};

use super::parse::name;
use crate::invariants;
use crate::world::State;

/// A slot that keeps less than this follows what is written.
const SLOT_KEEPS: u64 = 1 << 20;

/// Something that holds or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// A member holds the leader key and accepts writes.
    Leads(MemberName),
    /// A member holds the leader key and streams from another cluster.
    LeadsStandby(MemberName),
    /// Nobody holds the leader key.
    NobodyLeads,
    /// A server accepts writes.
    Primary(MemberName),
    /// A server runs in recovery.
    Replica(MemberName),
    /// No postmaster runs.
    Stopped(MemberName),
    /// A replica streams.
    Streams(MemberName),
    /// A leader serves, and everybody else streams.
    Healed,
    /// The timeline of the leader's server.
    Timeline(u32),
    /// Every acknowledged commit is on the leader's server.
    NothingLost,
    /// The slot of a member on a server keeps next to no WAL.
    SlotMoves(MemberName, MemberName),
    /// The last start of a server had this value of a controlled parameter.
    StartedWith(MemberName, String, String),
    /// A key of the DCS has this value, or does not exist.
    Key(String, Option<String>),
}

impl Condition {
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        Ok(match words {
            ["nobody", "leads"] => Self::NobodyLeads,
            ["healed"] => Self::Healed,
            ["nothing", "lost"] => Self::NothingLost,
            ["timeline", number] => Self::Timeline(
                number
                    .parse()
                    .map_err(|_| format!("`{number}` is not a timeline"))?,
            ),
            ["slot", of, "on", who, "moves"] => Self::SlotMoves(name(of)?, name(who)?),
            ["key", key, "gone"] => Self::Key((*key).to_owned(), None),
            ["key", key, "=", value] => Self::Key((*key).to_owned(), Some((*value).to_owned())),
            [who, "started", "with", setting] => {
                let (key, value) = setting
                    .split_once('=')
                    .ok_or_else(|| format!("`{setting}` is not parameter=value"))?;
                Self::StartedWith(name(who)?, key.to_owned(), value.to_owned())
            }
            [who, "leads", "standby"] => Self::LeadsStandby(name(who)?),
            [who, "leads"] => Self::Leads(name(who)?),
            [who, "streams"] => Self::Streams(name(who)?),
            [who, "is", "primary"] => Self::Primary(name(who)?),
            [who, "is", "replica"] => Self::Replica(name(who)?),
            [who, "is", "stopped"] => Self::Stopped(name(who)?),
            words => {
                return Err(format!(
                    "`{}` is no condition; docs/simulator.md lists them",
                    words.join(" ")
                ));
            }
        })
    }

    /// Whether it holds. `since` is when service must have come back for `healed`.
    pub(super) fn holds(&self, state: &State, since: Duration) -> bool {
        let server = |name: &MemberName| state.hosts.get(name).map(|host| &host.server);
        match self {
            Self::Leads(who) => {
                state.store.leader() == Some(who.as_str())
                    && server(who).is_some_and(|server| server.takes_writes())
            }
            Self::LeadsStandby(who) => {
                state.store.leader() == Some(who.as_str())
                    && server(who)
                        .and_then(|server| server.postmaster.as_ref()?.receiver.as_ref())
                        .is_some_and(|receiver| receiver.from.name.is_none())
            }
            Self::NobodyLeads => state.store.leader().is_none(),
            Self::Primary(who) => server(who).is_some_and(|server| server.takes_writes()),
            Self::Replica(who) => {
                server(who).is_some_and(|server| server.is_open() && !server.runs_as_primary())
            }
            Self::Stopped(who) => server(who).is_some_and(|server| server.postmaster.is_none()),
            Self::Streams(who) => server(who)
                .and_then(|server| server.postmaster.as_ref())
                .is_some_and(|postmaster| postmaster.receiver.is_some()),
            Self::Healed => invariants::not_healed(state, since).is_none(),
            Self::Timeline(wanted) => leader(state)
                .and_then(|name| server(&name)?.cluster())
                .is_some_and(|cluster| cluster.wal.timeline.0 == *wanted),
            Self::NothingLost => leader(state)
                .and_then(|name| server(&name)?.cluster())
                .is_some_and(|cluster| {
                    let acknowledged = &state.ledger.acknowledged;
                    acknowledged
                        .iter()
                        .all(|done| cluster.wal.has_commit(done.id))
                }),
            Self::SlotMoves(of, who) => server(who)
                .and_then(|server| server.cluster())
                .is_some_and(|cluster| {
                    let restart = cluster.slots.get(&SlotName::of_member(of));
                    let end = cluster.wal.end().as_u64();
                    restart.is_some_and(|restart| end - restart.as_u64() < SLOT_KEEPS)
                }),
            Self::StartedWith(who, key, value) => {
                server(who).is_some_and(|server| server.started_with.get(key) == Some(value))
            }
            Self::Key(key, value) => state.store.value(key) == value.as_deref(),
        }
    }
}

fn leader(state: &State) -> Option<MemberName> {
    MemberName::new(state.store.leader()?).ok()
}
