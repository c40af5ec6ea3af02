//! What replaces a data directory: the old one set aside for a copy, and pg_rewind.

use pgherd_domain::{ControlState, MemberName, WorkError};

use super::life::failed;
use super::server::Directory;
use crate::world::State;

/// The old directory steps aside; a copy that never streamed is thrown away instead.
pub(super) fn set_aside(state: &mut State, me: &MemberName) -> Result<(), WorkError> {
    let server = &mut state.host_mut(me).server;
    if server.postmaster.is_some() {
        return Err(failed("a postmaster runs on the data directory"));
    }
    let old = std::mem::take(&mut server.directory);
    if let Directory::Cluster(old) = old
        && (server.set_aside.is_none() || old.proven)
    {
        server.set_aside = Some(old);
    }
    Ok(())
}

/// Checks what pg_rewind checks first. `false`: it says that no rewind is required.
pub(super) fn begin_rewind(
    state: &mut State,
    me: &MemberName,
    from: &MemberName,
) -> Result<bool, WorkError> {
    let source = &state.host(from).server;
    let Some(theirs) = source.cluster() else {
        return Err(failed("the source has no data directory"));
    };
    let (their_id, their_checkpoint) = (theirs.system_id.clone(), theirs.checkpoint.0);
    let server = &mut state.host_mut(me).server;
    if server.postmaster.is_some() {
        return Err(failed("target server must be shut down cleanly"));
    }
    let Some(mine) = server.cluster_mut() else {
        return Err(failed("there is no data directory"));
    };
    let clean = matches!(
        mine.state,
        ControlState::ShutDown | ControlState::ShutDownInRecovery
    );
    if !clean && !mine.torn {
        return Err(failed("target server must be shut down cleanly"));
    }
    if mine.system_id != their_id {
        return Err(WorkError::Hopeless(
            "source and target clusters are from different systems".to_owned(),
        ));
    }
    // Before the source's first checkpoint on its timeline pg_control still shows the old one (before 16).
    let my_timeline = mine.checkpoint.0.max(mine.min_recovery.1);
    if their_checkpoint == my_timeline && !mine.torn {
        return Ok(false);
    }
    mine.torn = true;
    Ok(true)
}

pub(super) fn end_rewind(
    state: &mut State,
    me: &MemberName,
    from: &MemberName,
) -> Result<(), WorkError> {
    let Some(theirs) = state.host(from).server.cluster() else {
        return Err(failed("the source has no data directory"));
    };
    let (wal, checkpoint) = (theirs.wal.clone(), theirs.checkpoint);
    // pg_rewind takes the source's pg_wal and removes what is not there: what had begun late may begin early again.
    let oldest = theirs.oldest;
    let Some(mine) = state.host_mut(me).server.cluster_mut() else {
        return Err(failed("there is no data directory"));
    };
    mine.wal.become_like(&wal);
    mine.oldest = oldest;
    mine.replayed = wal.end();
    mine.min_recovery = (wal.end(), wal.timeline);
    mine.checkpoint = checkpoint;
    mine.state = ControlState::InArchiveRecovery;
    mine.standby_signal = true;
    mine.torn = false;
    state.tell(me.as_str(), format!("postgres: rewound to be like {from}"));
    Ok(())
}
