//! Health checks: which of them this member passes (contract §16.3). Load balancers ask thousands of times a
//! second, so nothing here allocates.

use pgherd_domain::{Lsn, PgRole, SyncMode, WalBytes};
use pgherd_settings::value::{self, SizeUnit};
use serde_json::Value;

use crate::member::MemberFacts;
use crate::query::Query;

/// What a load balancer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// `/`, `/primary`, `/master`, `/read-write`: the leader of a normal cluster.
    Primary,
    /// `/standby-leader`: the leader of a standby cluster.
    StandbyLeader,
    /// `/leader`: either of them.
    Leader,
    /// `/replica`: a replica that may be read from.
    Replica,
    /// `/read-only`: any of the above.
    ReadOnly,
    /// `/health`: PostgreSQL runs.
    Health,
    /// `/synchronous`, `/sync`: a replica listed in `/sync`.
    Synchronous,
    /// `/quorum`: a replica that votes, in quorum mode.
    Quorum,
    /// `/asynchronous`, `/async`: a replica that is neither.
    Asynchronous,
    /// `/read-only-sync`: a leader or a synchronous replica.
    ReadOnlySync,
    /// `/read-only-quorum`: a leader or a voter.
    ReadOnlyQuorum,
    /// Any other path: nobody passes.
    Nothing,
}

impl Check {
    /// The check behind a path (without its query): by parts of the path in the contract's order first,
    /// then by its exact name.
    pub fn of_path(path: &str) -> Self {
        let has = |part: &str| path.contains(part);
        let name = path.trim_start_matches('/');
        if name.is_empty() {
            Self::Primary
        } else if has("standby_leader") || has("standby-leader") {
            Self::StandbyLeader
        } else if has("leader") {
            Self::Leader
        } else if has("master") || has("primary") || has("read-write") {
            Self::Primary
        } else if has("replica") {
            Self::Replica
        } else if has("read-only") && !has("sync") && !has("quorum") {
            Self::ReadOnly
        } else if has("health") {
            Self::Health
        } else {
            match name {
                "sync" | "synchronous" => Self::Synchronous,
                "quorum" => Self::Quorum,
                "async" | "asynchronous" => Self::Asynchronous,
                "read-only-sync" | "read-only-synchronous" => Self::ReadOnlySync,
                "read-only-quorum" => Self::ReadOnlyQuorum,
                _ => Self::Nothing,
            }
        }
    }

    /// Leader checks do not look at `?tag_NAME=VALUE`.
    const fn is_for_leaders(self) -> bool {
        match self {
            Self::Primary | Self::StandbyLeader | Self::Leader => true,
            Self::Replica
            | Self::ReadOnly
            | Self::Health
            | Self::Synchronous
            | Self::Quorum
            | Self::Asynchronous
            | Self::ReadOnlySync
            | Self::ReadOnlyQuorum
            | Self::Nothing => false,
        }
    }
}

/// Whether the member passes `check`: 200, else 503.
pub fn passes(check: Check, query: &Query, member: &MemberFacts<'_>) -> bool {
    // A server that is closed to clients runs, and is no place to send them to.
    let leads = member.counts_as_leader() && !member.is_closed();
    let primary = leads && !member.standby_cluster;
    let standby_leader = leads && member.standby_cluster && leads_in_recovery(member.role);
    let replica = || is_readable_replica(query, member);
    let listed = |mode| member.spec.synchronous_mode == mode && member.is_listed_in_sync();
    let sync = || replica() && listed(SyncMode::On);
    let quorum = || replica() && listed(SyncMode::Quorum);
    let passed = match check {
        Check::Primary => primary,
        Check::StandbyLeader => standby_leader,
        Check::Leader => leads,
        Check::Replica => replica(),
        Check::ReadOnly => primary || standby_leader || replica(),
        Check::Health => member.is_running(),
        Check::Synchronous => sync(),
        Check::Quorum => quorum(),
        Check::Asynchronous => {
            member.cluster.is_some()
                && replica()
                && !listed(SyncMode::On)
                && !listed(SyncMode::Quorum)
        }
        Check::ReadOnlySync => member.cluster.is_some() && (primary || standby_leader || sync()),
        Check::ReadOnlyQuorum => {
            member.cluster.is_some() && (primary || standby_leader || quorum())
        }
        Check::Nothing => false,
    };
    passed && (check.is_for_leaders() || has_tags(query, member))
}

/// Whether the agent's loop is alive: its last turn began within ttl (of a running primary) or twice that
/// after it was due. Always, while paused.
pub fn is_alive(member: &MemberFacts<'_>) -> bool {
    let spec = member.spec;
    let serves = member.is_running() && member.shown_role() == PgRole::Primary;
    let grace = if serves { spec.ttl } else { spec.ttl * 2 };
    spec.pause || member.turn_age <= spec.loop_wait + grace
}

/// Whether the member may be put into service: it leads, or streams and is near enough to the leader
/// (`lag`, with `mode=write` by what it has received, else by what it has replayed).
pub fn is_ready(query: &Query, member: &MemberFacts<'_>) -> bool {
    if member.is_closed() {
        return false;
    }
    if member.counts_as_leader() {
        return true;
    }
    let Some(live) = member.live.filter(|_| member.is_running()) else {
        return false;
    };
    let Some(end) = member.known_end() else {
        return false;
    };
    let limit = asked_lag(query).unwrap_or_else(|| signed(member.spec.maximum_lag_on_failover));
    let position = match query.get("mode") {
        Some("write") => live.received.max(live.replayed),
        Some(_) | None => live.replayed,
    };
    live.replication_state() == Some("streaming") && signed(position.behind(end)) <= limit
}

fn leads_in_recovery(role: PgRole) -> bool {
    match role {
        PgRole::Replica | PgRole::StandbyLeader => true,
        PgRole::Primary | PgRole::Demoted | PgRole::Promoted | PgRole::Uninitialized => false,
    }
}

fn is_readable_replica(query: &Query, member: &MemberFacts<'_>) -> bool {
    let is_replica =
        member.is_running() && member.shown_role() == PgRole::Replica && !member.is_closed();
    // Patroni 4.1.5 takes no other value for a condition.
    let is_streaming =
        || member.live.and_then(|live| live.replication_state()) == Some("streaming");
    is_replica
        && !member.spec.tags.noloadbalance
        && asked_lag(query).is_none_or(|limit| signed(replay_lag(member)) <= limit)
        && (query.get("replication_state") != Some("streaming") || is_streaming())
}

/// How far replay is behind the known end of WAL; nothing known counts as no lag, as the contract has it.
fn replay_lag(member: &MemberFacts<'_>) -> WalBytes {
    let end = member.known_end().unwrap_or_default();
    member
        .live
        .map_or(Lsn::default(), |live| live.replayed)
        .behind(end)
}

/// `?lag=SIZE` in bytes; one that is not understood counts as not given. Nobody is as near as a negative one asks.
fn asked_lag(query: &Query) -> Option<i64> {
    let given = Value::from(query.get("lag")?);
    value::bytes(&given, SizeUnit::Byte)
}

fn signed(bytes: WalBytes) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Every `?tag_NAME=VALUE` must be a tag of the member with that value.
fn has_tags(query: &Query, member: &MemberFacts<'_>) -> bool {
    query.tags().all(|(name, wanted)| {
        member
            .spec
            .tags
            .published
            .get(name)
            .is_some_and(|tag| match tag {
                Value::String(text) => text == wanted,
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => tag.to_string().to_lowercase() == wanted,
            })
    })
}

#[cfg(test)]
mod tests;
