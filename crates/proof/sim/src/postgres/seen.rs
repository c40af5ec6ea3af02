//! What a look at a server shows: control data, and the answer to the heartbeat query.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{
    ControlData, DataDirectory, LiveSeen, Lsn, MemberName, Receiver, ServerVersion, SlotSeen,
    TimelineId, WalSenderSeen,
};

use super::names::Waiting;
use super::server::{Cluster, Directory, Postmaster, Server};

/// Every simulated server is this version.
const VERSION: ServerVersion = ServerVersion(170_006);

/// The data directory at a glance.
pub(crate) fn directory(directory: &Directory) -> DataDirectory {
    match directory {
        Directory::Empty => DataDirectory::Empty,
        Directory::Cluster(cluster) => DataDirectory::Cluster(control(cluster)),
        Directory::Rubbish => DataDirectory::Invalid {
            why: "global/pg_control is missing".to_owned(),
        },
    }
}

fn control(cluster: &Cluster) -> ControlData {
    let (timeline, checkpoint, end) = cluster.checkpoint;
    let min_recovery = if cluster.state.was_primary() {
        (Lsn::default(), TimelineId(0))
    } else {
        cluster.min_recovery
    };
    ControlData {
        system_id: cluster.system_id.clone(),
        state: cluster.state,
        timeline,
        checkpoint,
        checkpoint_end: Some(end),
        min_recovery,
        can_rewind: true,
    }
}

/// A server in a few words, for people.
pub(crate) fn describe(server: &Server) -> String {
    let Some(cluster) = server.cluster() else {
        return "without data".to_owned();
    };
    let timeline = cluster.wal.timeline;
    let Some(postmaster) = &server.postmaster else {
        return format!("stopped, timeline {timeline}");
    };
    match (postmaster.recovery, &postmaster.receiver) {
        (false, _) => format!("a primary, timeline {timeline}"),
        (true, Some(receiving)) => {
            format!(
                "a replica that streams from {}, timeline {timeline}",
                receiving.from.host
            )
        }
        (true, None) => format!("a replica that does not stream, timeline {timeline}"),
    }
}

/// What a server that answers says.
pub(crate) fn live(postmaster: &Postmaster, cluster: &Cluster) -> Option<LiveSeen> {
    let recovery = postmaster.recovery;
    let end = cluster.wal.end();
    let only = |on: bool, lsn: Lsn| if on { lsn } else { Lsn::default() };
    let receiver = receiver(postmaster, cluster);
    let timeline = cluster.wal.timeline;
    Some(LiveSeen {
        in_recovery: recovery,
        timeline,
        flushed: only(!recovery, end),
        received: only(recovery, end),
        replayed: only(recovery, cluster.replayed),
        replayed_at: None,
        replay_paused: false,
        apply_delay: Duration::ZERO,
        stop_before: None,
        slot_parameters: pgherd_domain::SlotParameters::default(),
        outgrown: false,
        receiver,
        version: VERSION,
        started_at: started_at(postmaster.started),
        slots: slots(postmaster, cluster),
        replication: senders(postmaster, cluster),
        synchronous_standby_names: cluster.synchronous.clone(),
        synchronous_commit: "on".to_owned(),
        configured_upstream: cluster
            .upstream
            .as_ref()
            .filter(|_| recovery)
            .map(|upstream| (upstream.host.clone(), upstream.port)),
        restores_from_archive: false,
        history: cluster.wal.history.clone(),
        pending_restart: BTreeMap::new(),
    })
}

fn started_at(started: Duration) -> String {
    format!(
        "2026-01-01 00:00:00.000000+00 plus {} us",
        started.as_micros()
    )
}

fn receiver(postmaster: &Postmaster, cluster: &Cluster) -> Option<Receiver> {
    let receiving = postmaster.receiver.as_ref()?;
    Some(Receiver {
        streaming: true,
        host: Some(receiving.from.host.clone()),
        port: Some(receiving.from.port),
        slot: receiving
            .from
            .slot
            .as_ref()
            .map(|slot| slot.as_str().to_owned()),
        timeline: cluster.wal.timeline,
        latest_end: cluster.wal.end(),
    })
}

fn slots(postmaster: &Postmaster, cluster: &Cluster) -> BTreeMap<String, SlotSeen> {
    let active = |name: &str| {
        postmaster.senders.values().any(|sender| {
            sender
                .slot
                .as_ref()
                .is_some_and(|slot| slot.as_str() == name)
        })
    };
    cluster
        .slots
        .iter()
        .map(|(name, restart)| {
            let seen = SlotSeen {
                active: active(name.as_str()),
                restart: Some(*restart),
                ..SlotSeen::default()
            };
            (name.as_str().to_owned(), seen)
        })
        .collect()
}

fn senders(postmaster: &Postmaster, cluster: &Cluster) -> Vec<WalSenderSeen> {
    let waiting = Waiting::parse(&cluster.synchronous);
    let flushed: BTreeMap<MemberName, Lsn> = postmaster
        .senders
        .iter()
        .map(|(name, sender)| (name.clone(), sender.flushed))
        .collect();
    flushed
        .iter()
        .map(|(name, lsn)| {
            let (sync_state, sync_priority) = waiting
                .as_ref()
                .map_or(("async", 0), |waiting| waiting.state_of(name, &flushed));
            WalSenderSeen {
                application_name: name.as_str().to_owned(),
                user: "replicator".to_owned(),
                client: Some(name.as_str().to_owned()),
                state: "streaming".to_owned(),
                sync_state: sync_state.to_owned(),
                sync_priority,
                write: Some(*lsn),
                flush: Some(*lsn),
                replay: Some(*lsn),
            }
        })
        .collect()
}
