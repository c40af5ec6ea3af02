//! One commit of a client at one server.

use pgherd_domain::{Lsn, MemberName};

use super::life::{Ending, kill};
use super::names::Waiting;
use super::wal::Said;
use crate::ledger::Acknowledged;
use crate::network::Place;
use crate::world::{State, World};

/// What a server makes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Acknowledged: the client may believe it.
    Acknowledged,
    /// Not taken: no connection, or not a primary.
    Refused,
    /// The server ended before it answered: the commit may or may not survive.
    Unknown,
}

/// Writes commit `id` of `bytes` bytes at `server`, and waits as long as the server makes its clients wait.
pub(crate) async fn commit(
    world: &World,
    server: &MemberName,
    id: u64,
    bytes: Option<u64>,
) -> Commit {
    let Some((pid, lsn)) = world.change(|state| write(state, server, id, bytes)) else {
        return Commit::Refused;
    };
    world
        .until_change(|state| {
            let it = &state.host(server).server;
            if !it.runs(pid) || !it.takes_writes() {
                // Stopping ends the session without an answer. A hung server answers later, or never.
                let halted = it.runs(pid) && (it.hangs() || it.backends_are_frozen());
                return (!halted).then_some(Commit::Unknown);
            }
            if !it.is_replicated(lsn) {
                return None;
            }
            acknowledge(state, server, id, lsn);
            Some(Commit::Acknowledged)
        })
        .await
}

fn write(
    state: &mut State,
    server: &MemberName,
    id: u64,
    bytes: Option<u64>,
) -> Option<(i32, Lsn)> {
    let it = &mut state.host_mut(server).server;
    if !it.takes_writes() || it.is_closed() {
        return None;
    }
    if it.disk.full {
        // PostgreSQL panics when it can not write WAL.
        kill(state, server, Ending::NoSpace);
        return None;
    }
    let pid = it.postmaster.as_ref()?.pid;
    let lsn = it.cluster_mut()?.write(Said::Commit(id), bytes);
    Some((pid, lsn))
}

fn acknowledge(state: &mut State, server: &MemberName, id: u64, lsn: Lsn) {
    let Some(cluster) = state.host(server).server.cluster() else {
        return;
    };
    let acknowledged = Acknowledged {
        id,
        server: server.clone(),
        timeline: cluster.wal.timeline,
        lsn,
        at: state.now,
        synchronous: state.store.is_promised_by(server),
    };
    state.acknowledge(acknowledged);
}

/// Whether the next commit at `name` would be acknowledged: it accepts writes, and enough of the standbys
/// that it waits for really stream from it.
pub(crate) fn would_acknowledge(state: &State, name: &MemberName) -> bool {
    let host = state.host(name);
    let (Some(cluster), Some(postmaster)) = (host.server.cluster(), &host.server.postmaster) else {
        return false;
    };
    if !host.powered || !host.server.takes_writes() {
        return false;
    }
    let Some(waiting) = Waiting::parse(&cluster.synchronous) else {
        return true;
    };
    let here = Place::Member(name.clone());
    let streaming = postmaster
        .senders
        .iter()
        .filter(|(standby, sender)| {
            let there = state.host(standby);
            let receiver = there.server.postmaster.as_ref();
            let receiver = receiver.and_then(|postmaster| postmaster.receiver.as_ref());
            let whole = state
                .network
                .is_whole(&here, &Place::Member((*standby).clone()));
            whole
                && !there.server.takes_no_wal()
                && receiver.is_some_and(|receiver| receiver.session == sender.session)
        })
        .map(|(standby, _)| (standby.clone(), cluster.wal.end()))
        .collect();
    waiting.is_satisfied(cluster.wal.end(), &streaming)
}
