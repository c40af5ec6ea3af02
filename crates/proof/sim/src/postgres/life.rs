//! The life of a postmaster: launched, open, promoted, stopped, killed. What the server does goes on
//! whether or not anybody waits for it.

use std::time::Duration;

use pgherd_domain::{ControlState, MemberName, TimelineId, WorkError};

use super::server::{Phase, Postmaster, Server};
use super::wal::Said;
use crate::dice::Span;
use crate::invariants;
use crate::world::{State, World};

/// A start after a clean stop, or as a replica.
const START: Span = Span::millis(200, 900);
/// Recovery after a crash.
const CRASH_RECOVERY: Span = Span::millis(500, 2500);
/// Ending the sessions and writing the shutdown checkpoint.
const SHUTDOWN: Span = Span::millis(50, 400);
/// An immediate stop.
const QUIT: Span = Span::millis(5, 40);
/// From the signal to the end of recovery.
const PROMOTION: Span = Span::millis(50, 400);

/// How a postmaster ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In good order.
    Fast,
    /// Told to end at once.
    Immediate,
    /// By the agent's fence.
    Fenced,
    /// By SIGKILL from outside, or a power cut.
    Killed,
    /// By a panic: the disk is full.
    NoSpace,
}

fn server<'a>(state: &'a mut State, name: &MemberName) -> &'a mut Server {
    &mut state.host_mut(name).server
}

/// Starts a postmaster on the data directory, as its signal file says. Gives its process id.
pub(crate) fn launch(world: &World, name: &MemberName) -> Result<i32, WorkError> {
    let (pid, ready) = world.change(|state| {
        let number = state.number();
        let now = state.now;
        let host = state.host_mut(name);
        if host.server.postmaster.is_some() {
            return Err(failed("a postmaster runs already"));
        }
        if host.server.failing_starts > 0 {
            host.server.failing_starts -= 1;
            return Err(failed("the postmaster exited with code 1"));
        }
        host.server.disk.has_space()?;
        let Some(cluster) = host.server.cluster() else {
            return Err(WorkError::Hopeless("there is no data directory".to_owned()));
        };
        if cluster.torn {
            return Err(WorkError::Hopeless(
                "the data directory is half rewound".to_owned(),
            ));
        }
        let recovery = cluster.standby_signal;
        let crashed = !recovery && cluster.state != ControlState::ShutDown;
        let takes = host.takes(if crashed { CRASH_RECOVERY } else { START });
        let pid = i32::try_from(number).unwrap_or(i32::MAX);
        host.server.generation += 1;
        let closed = host.server.closed;
        host.server.postmaster = Some(Postmaster {
            pid,
            started: now,
            phase: Phase::Starting(now + takes),
            recovery,
            hung: false,
            frozen: false,
            backends_frozen: false,
            stops: false,
            senders: std::collections::BTreeMap::new(),
            receiver: None,
            closed,
        });
        Ok((pid, now + takes))
    })?;
    let (world, name) = (world.clone(), name.clone());
    world.clone().spawn(async move {
        at(&world, &name, ready).await;
        world.change(|state| come_up(state, &name, pid, ready));
    });
    Ok(pid)
}

fn come_up(state: &mut State, name: &MemberName, pid: i32, ready: Duration) {
    let server = server(state, name);
    let Some(postmaster) = server.postmaster.as_mut() else {
        return;
    };
    if postmaster.pid != pid || postmaster.phase != Phase::Starting(ready) {
        return;
    }
    postmaster.phase = Phase::Open;
    let (recovery, closed) = (postmaster.recovery, postmaster.closed);
    server.generation += 1;
    let Some(cluster) = server.cluster_mut() else {
        return;
    };
    cluster.replayed = cluster.wal.end();
    let was_primary = cluster.state.was_primary();
    cluster.note_checkpoint();
    let timeline = cluster.wal.timeline;
    if recovery {
        cluster.state = ControlState::InArchiveRecovery;
        state.tell(
            name.as_str(),
            format!(
                "postgres: up as a replica on timeline {timeline}{}",
                how(closed)
            ),
        );
        if was_primary && !closed {
            state.show_of_former_primary(name);
        }
        return;
    }
    if cluster.state != ControlState::ShutDown {
        cluster.write(Said::Checkpoint, None);
    }
    cluster.state = ControlState::InProduction;
    state.tell(
        name.as_str(),
        format!(
            "postgres: up as a primary on timeline {timeline}{}",
            how(closed)
        ),
    );
    if !closed {
        state.show_all_of(name);
    }
}

const fn how(closed: bool) -> &'static str {
    if closed { ", closed to clients" } else { "" }
}

/// Lets clients in, now and at the next start.
pub(super) fn open_entry(state: &mut State, name: &MemberName) {
    let server = server(state, name);
    server.closed = false;
    let Some(postmaster) = server.postmaster.as_mut().filter(|it| it.closed) else {
        return;
    };
    postmaster.closed = false;
    let primary = server.runs_as_primary();
    state.tell(name.as_str(), "postgres: open to clients");
    if primary {
        state.show_all_of(name);
    } else {
        state.show_of_former_primary(name);
    }
}

/// Tells the running replica to end recovery. It does so even when nobody waits.
pub(crate) fn promote(world: &World, name: &MemberName, skip: u32) -> Result<i32, WorkError> {
    world.change(|state| invariants::at_promotion(state, name));
    end_its_recovery(world, name, skip)
}

/// The same by order of nobody who asks for a leader key.
pub(crate) fn promote_by_hand(world: &World, name: &MemberName) -> Result<i32, WorkError> {
    end_its_recovery(world, name, 0)
}

fn end_its_recovery(world: &World, name: &MemberName, skip: u32) -> Result<i32, WorkError> {
    let (pid, ready) = world.change(|state| {
        let now = state.now;
        let host = state.host_mut(name);
        let takes = host.takes(PROMOTION);
        let Some(postmaster) = host.server.postmaster.as_mut() else {
            return Err(failed("PostgreSQL does not run"));
        };
        if !postmaster.recovery || postmaster.phase != Phase::Open {
            return Err(failed("the server is not in standby mode"));
        }
        postmaster.phase = Phase::Promoting(now + takes);
        let pid = postmaster.pid;
        host.server.generation += 1;
        Ok((pid, now + takes))
    })?;
    let (world, name) = (world.clone(), name.clone());
    world.clone().spawn(async move {
        at(&world, &name, ready).await;
        world.change(|state| end_recovery(state, &name, (pid, ready), skip));
    });
    Ok(pid)
}

fn end_recovery(state: &mut State, name: &MemberName, (pid, ready): (i32, Duration), skip: u32) {
    let archived = state.archive.unwrap_or_default();
    let outside = state.host(name).outside;
    let server = server(state, name);
    let full = server.disk.full;
    let Some(postmaster) = server.postmaster.as_mut() else {
        return;
    };
    if postmaster.pid != pid || postmaster.phase != Phase::Promoting(ready) {
        return;
    }
    if full {
        return finish(state, name, pid, Ending::NoSpace);
    }
    postmaster.phase = Phase::Open;
    postmaster.recovery = false;
    postmaster.receiver = None;
    server.generation += 1;
    let Some(cluster) = server.cluster_mut() else {
        return;
    };
    cluster.wal.branch(archived, skip);
    if outside {
        // Its own agent sees to that.
        cluster.write(Said::Checkpoint, None);
    }
    cluster.replayed = cluster.wal.end();
    cluster.state = ControlState::InProduction;
    cluster.standby_signal = false;
    let timeline: TimelineId = cluster.wal.timeline;
    if state.archive.is_some() {
        state.archive = Some(timeline);
    }
    state.tell(
        name.as_str(),
        format!("postgres: promoted to timeline {timeline}"),
    );
    invariants::after_promotion(state, name);
}

/// Tells the server to stop in good order. It goes on stopping even when nobody waits.
pub(crate) fn stop_fast(world: &World, name: &MemberName) {
    let told = world.change(|state| {
        let host = state.host_mut(name);
        let takes = host.takes(SHUTDOWN);
        let postmaster = host.server.postmaster.as_mut()?;
        if postmaster.phase == Phase::Stopping {
            return None;
        }
        let pid = postmaster.pid;
        if !postmaster.frozen {
            postmaster.phase = Phase::Stopping;
        }
        host.server.generation += 1;
        Some((pid, takes))
    });
    if let Some((pid, takes)) = told {
        world.spawn(shut_down(world.clone(), name.clone(), pid, takes));
    }
}

async fn shut_down(world: World, name: MemberName, pid: i32, takes: Duration) {
    if !heeds_the_signal(&world, &name, pid).await {
        return;
    }
    world.sleep(takes).await;
    let end = world
        .until_change(|state| {
            let server = &mut state.host_mut(&name).server;
            if !server.runs(pid) {
                return Some(None);
            }
            if server.can_not_end() {
                return None;
            }
            let (primary, full) = (server.runs_as_primary(), server.disk.full);
            let Some(cluster) = server.cluster_mut() else {
                return Some(None);
            };
            if full {
                return Some(None);
            }
            if !primary {
                cluster.note_checkpoint();
                cluster.note_recovery();
                cluster.state = ControlState::ShutDownInRecovery;
                return Some(Some(None));
            }
            let end = cluster.write(Said::Shutdown, None);
            cluster.state = ControlState::ShutDown;
            Some(Some(Some(end)))
        })
        .await;
    let Some(end) = end else {
        // Gone already, or nothing can be written: then it ends without a last record.
        return world.change(|state| finish(state, &name, pid, Ending::NoSpace));
    };
    if let Some(end) = end {
        // The postmaster ends only when every connected standby has the shutdown checkpoint.
        world
            .until(|state| {
                let server = &state.host(&name).server;
                let waits =
                    server.runs(pid) && server.flushed_by_standbys().values().any(|lsn| *lsn < end);
                (!waits).then_some(())
            })
            .await;
    }
    world.change(|state| finish(state, &name, pid, Ending::Fast));
}

/// A postmaster that is stopped by SIGSTOP learns of a signal when it goes on; until then its sessions do too.
/// `false`: somebody else sees to it, or it is gone.
async fn heeds_the_signal(world: &World, name: &MemberName, pid: i32) -> bool {
    world
        .until_change(|state| {
            let server = server(state, name);
            if !server.runs(pid) {
                return Some(false);
            }
            let postmaster = server.postmaster.as_mut().filter(|it| !it.frozen)?;
            let first = !std::mem::replace(&mut postmaster.stops, true);
            postmaster.phase = Phase::Stopping;
            Some(first)
        })
        .await
}

/// Ends the server at once; the next start recovers.
pub(crate) async fn stop_immediately(world: &World, name: &MemberName, ending: Ending) {
    let told = world.change(|state| {
        let host = state.host_mut(name);
        let takes = host.takes(QUIT);
        let pid = host.server.postmaster.as_ref()?.pid;
        Some((pid, takes))
    });
    let Some((pid, takes)) = told else {
        return;
    };
    let (task, who) = (world.clone(), name.clone());
    world.spawn(async move {
        task.sleep(takes).await;
        task.change(|state| finish(state, &who, pid, ending));
    });
    world
        .until(|state| (!state.host(name).server.runs(pid)).then_some(()))
        .await;
}

/// Ends a postmaster now.
pub(crate) fn kill(state: &mut State, name: &MemberName, ending: Ending) {
    let pid = server(state, name).postmaster.as_ref().map(|it| it.pid);
    if let Some(pid) = pid {
        finish(state, name, pid, ending);
    }
}

fn finish(state: &mut State, name: &MemberName, pid: i32, ending: Ending) {
    let server = server(state, name);
    if !server.runs(pid) {
        return;
    }
    let role = if server.runs_as_primary() {
        "primary"
    } else {
        "replica"
    };
    server.drop_postmaster();
    let how = match ending {
        Ending::Fast => "stopped",
        Ending::Immediate => "stopped at once",
        Ending::Fenced => "fenced",
        Ending::Killed => "killed",
        Ending::NoSpace => "panics: no space left on device",
    };
    state.tell(name.as_str(), format!("postgres: {role} {how}"));
}

/// Waits until the virtual time `moment`, and until the host is not suspended.
async fn at(world: &World, name: &MemberName, moment: Duration) {
    world.sleep(moment.saturating_sub(world.now())).await;
    world
        .until(|state| (!state.host(name).server.suspended).then_some(()))
        .await;
}

pub(super) fn failed(why: &str) -> WorkError {
    WorkError::Failed(why.to_owned())
}
