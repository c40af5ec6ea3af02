//! The heartbeat's answer, read into the words of the domain.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{
    LiveSeen, Lsn, Receiver, ServerVersion, SlotParameters, SlotSeen, TimelineHistory, TimelineId,
    WalSenderSeen,
};
use pgherd_pgconf::Conninfo;
use serde::{Deserialize, Deserializer};

/// The JSON object of the heartbeat statement.
#[derive(Debug, Deserialize)]
struct Answer {
    in_recovery: bool,
    timeline: Option<u32>,
    #[serde(deserialize_with = "lsn")]
    flushed: Option<Lsn>,
    #[serde(deserialize_with = "lsn")]
    received: Option<Lsn>,
    #[serde(deserialize_with = "lsn")]
    replayed: Option<Lsn>,
    replayed_at: Option<String>,
    replay_paused: bool,
    /// Milliseconds.
    apply_delay: u64,
    stop_before: String,
    feedback: bool,
    synchronize: Option<bool>,
    awaited: Option<String>,
    receiver: Option<ReceiverRow>,
    version: u32,
    started_at: String,
    slots: Option<Vec<SlotRow>>,
    replication: Option<Vec<SenderRow>>,
    synchronous_standby_names: String,
    synchronous_commit: String,
    primary_conninfo: String,
    restores: bool,
    controlled: BTreeMap<String, String>,
    pending: Option<BTreeMap<String, (String, String)>>,
}

#[derive(Debug, Deserialize)]
struct ReceiverRow {
    status: Option<String>,
    conninfo: Option<String>,
    slot: Option<String>,
    timeline: Option<u32>,
    #[serde(deserialize_with = "lsn")]
    latest_end: Option<Lsn>,
    host: Option<String>,
    port: Option<u16>,
}

#[derive(Debug, Deserialize)]
struct SlotRow {
    name: String,
    logical: bool,
    active: bool,
    temporary: bool,
    #[serde(deserialize_with = "lsn")]
    restart: Option<Lsn>,
    #[serde(deserialize_with = "lsn")]
    confirmed_flush: Option<Lsn>,
    has_xmin: bool,
    lost: bool,
    database: Option<String>,
    plugin: Option<String>,
    catalog_xmin: Option<u32>,
    failover: bool,
    synced: bool,
}

#[derive(Debug, Deserialize)]
struct SenderRow {
    application_name: Option<String>,
    user: Option<String>,
    client: Option<String>,
    state: Option<String>,
    sync_state: Option<String>,
    sync_priority: Option<i64>,
    #[serde(deserialize_with = "lsn")]
    write: Option<Lsn>,
    #[serde(deserialize_with = "lsn")]
    flush: Option<Lsn>,
    #[serde(deserialize_with = "lsn")]
    replay: Option<Lsn>,
}

fn lsn<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Lsn>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    text.map(|text| Lsn::parse(&text).map_err(serde::de::Error::custom))
        .transpose()
}

/// Reads the answer. `wanted` are the controlled parameters as they should be: what runs with others waits
/// for a restart, and so does what PostgreSQL says waits.
///
/// # Errors
/// When the text is not the heartbeat's answer.
pub(crate) fn read(
    json: &str,
    wanted: &BTreeMap<String, String>,
) -> Result<LiveSeen, serde_json::Error> {
    let answer: Answer = serde_json::from_str(json)?;
    let endpoint = |conninfo: &str| Conninfo::parse(conninfo).ok()?.endpoint();
    let pending_restart = pending(&answer, wanted);
    let slots = answer.slots.unwrap_or_default().into_iter();
    let recovering = answer.in_recovery;
    let senders = answer.replication.unwrap_or_default().into_iter();
    Ok(LiveSeen {
        in_recovery: answer.in_recovery,
        timeline: TimelineId(answer.timeline.unwrap_or_default()),
        flushed: answer.flushed.unwrap_or_default(),
        received: answer.received.unwrap_or_default(),
        replayed: answer.replayed.unwrap_or_default(),
        replayed_at: answer.replayed_at,
        replay_paused: answer.replay_paused,
        apply_delay: if recovering {
            Duration::from_millis(answer.apply_delay)
        } else {
            Duration::ZERO
        },
        stop_before: Some(answer.stop_before).filter(|time| recovering && !time.is_empty()),
        slot_parameters: SlotParameters {
            feedback: answer.feedback && recovering,
            synchronize: answer.synchronize.unwrap_or(false) && recovering,
            awaited: answer.awaited.filter(|_| !recovering),
        },
        outgrown: false,
        receiver: answer.receiver.map(receiver),
        version: ServerVersion(answer.version),
        started_at: answer.started_at,
        slots: slots.map(slot).collect(),
        replication: senders.map(sender).collect(),
        synchronous_standby_names: answer.synchronous_standby_names,
        synchronous_commit: answer.synchronous_commit,
        configured_upstream: answer
            .in_recovery
            .then(|| endpoint(&answer.primary_conninfo))
            .flatten(),
        restores_from_archive: answer.restores,
        history: TimelineHistory::default(),
        pending_restart,
    })
}

fn pending(
    answer: &Answer,
    wanted: &BTreeMap<String, String>,
) -> BTreeMap<String, (String, String)> {
    let mut waits = answer.pending.clone().unwrap_or_default();
    // Neither ever waits for a restart (contract §3.3).
    waits.retain(|name, _| name != "hot_standby" && !pgherd_pgconf::is_recovery_setting(name));
    for (name, running) in &answer.controlled {
        if let Some(wanted) = wanted.get(name)
            && plain(wanted) != plain(running)
        {
            waits.insert(name.clone(), (running.clone(), wanted.clone()));
        }
    }
    waits
}

/// Different words for the same value.
fn plain(value: &str) -> String {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" | "on" => "on".to_owned(),
        "false" | "no" | "0" | "off" => "off".to_owned(),
        "hot_standby" | "archive" => "replica".to_owned(),
        other => other.to_owned(),
    }
}

fn receiver(row: ReceiverRow) -> Receiver {
    let conninfo = row.conninfo.as_deref().unwrap_or_default();
    let named = Conninfo::parse(conninfo)
        .ok()
        .and_then(|read| read.endpoint());
    let (host, port) = match named {
        // Of several hosts the one it found counts.
        Some((host, port)) if !host.contains(',') => (Some(host), Some(port)),
        Some(_) | None => (row.host, row.port),
    };
    Receiver {
        streaming: row.status.as_deref() == Some("streaming"),
        host,
        port,
        slot: row.slot.filter(|slot| !slot.is_empty()),
        timeline: TimelineId(row.timeline.unwrap_or_default()),
        latest_end: row.latest_end.unwrap_or_default(),
    }
}

fn slot(row: SlotRow) -> (String, SlotSeen) {
    let seen = SlotSeen {
        logical: row.logical,
        active: row.active,
        temporary: row.temporary,
        restart: row.restart,
        confirmed_flush: row.confirmed_flush,
        has_xmin: row.has_xmin,
        lost: row.lost,
        database: row.database,
        plugin: row.plugin,
        catalog_xmin: row.catalog_xmin,
        failover: row.failover,
        synced: row.synced,
        broken: None,
        horizons: None,
    };
    (row.name, seen)
}

fn sender(row: SenderRow) -> WalSenderSeen {
    WalSenderSeen {
        application_name: row.application_name.unwrap_or_default(),
        user: row.user.unwrap_or_default(),
        client: row.client,
        state: row.state.unwrap_or_default(),
        sync_state: row.sync_state.unwrap_or_default(),
        sync_priority: row.sync_priority.unwrap_or_default(),
        write: row.write,
        flush: row.flush,
        replay: row.replay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"in_recovery": true, "timeline": 3, "flushed": null,
        "received": "0/5000060", "replayed": "0/5000028", "replayed_at": null, "replay_paused": false,
        "apply_delay": 3600000, "stop_before": "", "feedback": true, "synchronize": null, "awaited": null,
        "receiver": {"status": "streaming", "conninfo": "user=r host=10.0.0.2 port=5433", "slot": "",
                     "timeline": 3, "latest_end": "0/5000060", "host": "10.0.0.2", "port": 5433},
        "version": 150018, "started_at": "2026-11-24 02:16:15.090000+00:00", "slots": null,
        "replication": [{"application_name": "b", "user": "r", "client": null, "state": "streaming",
            "sync_state": "async", "sync_priority": 0, "write": "0/1", "flush": null, "replay": null}],
        "synchronous_standby_names": "", "synchronous_commit": "on",
        "primary_conninfo": "host=10.0.0.2 port=5433", "restores": false,
        "controlled": {"max_connections": "100", "wal_log_hints": "on", "wal_level": "replica"},
        "pending": {"shared_buffers": ["128MB", "1GB"], "restore_command": ["", "x"]}}"#;

    #[test]
    fn an_answer_of_a_replica_is_read() {
        let live = read(ANSWER, &BTreeMap::new()).unwrap();
        assert_eq!(live.timeline, TimelineId(3));
        assert_eq!(live.position(), Lsn::parse("0/5000060").unwrap());
        assert_eq!(live.apply_delay, Duration::from_secs(3600));
        assert!(live.slot_parameters.feedback && live.stop_before.is_none());
        let receiver = live.receiver.as_ref().unwrap();
        assert!(receiver.streaming);
        assert_eq!(
            (receiver.host.as_deref(), receiver.port),
            (Some("10.0.0.2"), Some(5433))
        );
        assert_eq!(receiver.slot, None);
        assert_eq!(live.configured_upstream, Some(("10.0.0.2".into(), 5433)));
        assert_eq!(live.replication[0].write, Some(Lsn::new(1)));
        let waits: Vec<_> = live.pending_restart.keys().collect();
        assert_eq!(waits, ["shared_buffers"]);
    }

    #[test]
    fn a_controlled_parameter_that_differs_waits_for_a_restart() {
        let wanted = [
            ("max_connections", "200"),
            ("wal_log_hints", "true"),
            ("wal_level", "hot_standby"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let live = read(ANSWER, &wanted).unwrap();
        assert_eq!(
            live.pending_restart.get("max_connections"),
            Some(&("100".into(), "200".into()))
        );
        assert_eq!(live.pending_restart.len(), 2);
    }

    #[test]
    fn another_text_is_refused() {
        assert!(read("{}", &BTreeMap::new()).is_err());
    }
}
