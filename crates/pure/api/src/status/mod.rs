//! The status document of `/patroni` and of every health check (contract §16.5): key order and spacing are
//! part of the contract.

use std::collections::BTreeMap;

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{HooksSeen, LiveSeen, PgState, SyncMode, WalSenderSeen};
use serde_json::{Map, Value, json};

use crate::json::spaced;
use crate::member::MemberFacts;

/// The document as text.
pub fn text(member: &MemberFacts<'_>) -> String {
    spaced(&document(member))
}

/// The same with how far behind the log is: lines that wait to be written, told from 3 on, and lines lost since the
/// start (contract §1.7).
pub fn text_with_log(member: &MemberFacts<'_>, waiting: usize, lost: u64) -> String {
    let mut doc = document(member);
    if let Value::Object(map) = &mut doc {
        if waiting > 2 {
            map.insert("logger_queue_size".to_owned(), waiting.into());
        }
        if lost > 0 {
            map.insert("logger_records_lost".to_owned(), lost.into());
        }
    }
    spaced(&doc)
}

/// The document.
pub fn document(member: &MemberFacts<'_>) -> Value {
    let mut doc = Map::new();
    let mut put = |key: &str, value: Value| {
        doc.insert(key.to_owned(), value);
    };
    put("state", state(member).into());
    if let Some(live) = member.live {
        put(
            "postmaster_start_time",
            with_minutes(&live.started_at).into(),
        );
    }
    let role = member.shown_role();
    put("role", role.text().into());
    if let Some(live) = member.live {
        doc.extend(wal(member, live));
    }
    let mut put = |key: &str, value: Value| {
        doc.insert(key.to_owned(), value);
    };
    if member.spec.pause {
        put("pause", true.into());
    }
    if member.cluster.is_none_or(|view| view.leader.is_none()) {
        put("cluster_unlocked", true.into());
    }
    if member.failsafe_active {
        put("failsafe_mode_is_active", true.into());
    }
    if let Some(seen) = member.dcs_seen {
        put("dcs_last_seen", seen.as_seconds().into());
    }
    if !member.spec.tags.published.is_empty() {
        put("tags", object(&member.spec.tags.published));
    }
    if let Some(system_id) = member.system_id {
        put("database_system_identifier", system_id.into());
    }
    if member.member.pending_restart {
        put("pending_restart", true.into());
        if !member.member.pending_restart_reason.is_empty() {
            put("pending_restart_reason", pending_reasons(member.member));
        }
    }
    put(
        "patroni",
        json!({"version": member.spec.version, "scope": member.scope, "name": member.spec.me.as_str()}),
    );
    if let Some(restart) = &member.member.scheduled_restart {
        put("scheduled_restart", without_start_time(restart));
    }
    tell_what_guards(member, &mut doc);
    if let Some(closed) = &member.member.closed {
        doc.insert("closed".to_owned(), closed.as_str().into());
    }
    if !member.hooks.last.is_empty() {
        doc.insert("hooks".to_owned(), hooks(member.hooks));
    }
    Value::Object(doc)
}

/// What would not stop it as a primary; all other members pass over whoever says so.
fn tell_what_guards(member: &MemberFacts<'_>, doc: &mut Map<String, Value>) {
    let unfenced = member.unfenced.filter(|_| !member.spec.pause);
    if member.watchdog_failed || unfenced.is_some() {
        doc.insert("watchdog_failed".to_owned(), true.into());
    }
    if let Some(why) = unfenced {
        doc.insert("fence_failed".to_owned(), why.into());
    }
}

/// What of the document is about WAL and replication.
fn wal(member: &MemberFacts<'_>, live: &LiveSeen) -> Map<String, Value> {
    let mut doc = Map::new();
    let mut put = |key: &str, value: Value| {
        doc.insert(key.to_owned(), value);
    };
    put("server_version", live.version.0.into());
    put("xlog", positions(live));
    if live.in_recovery && member.is_listed_in_sync() {
        match member.spec.synchronous_mode {
            SyncMode::On => put("sync_standby", true.into()),
            SyncMode::Quorum => put("quorum_standby", true.into()),
            SyncMode::Off => {}
        }
    }
    if live.timeline.0 > 0 {
        put("timeline", live.timeline.0.into());
    }
    if let Some(time) = &live.stop_before {
        put("stop_before", time.as_str().into());
    }
    if let Some(replication) = live.replication_state() {
        put("replication_state", replication.into());
    }
    if !live.replication.is_empty() {
        put("replication", live.replication.iter().map(sender).collect());
    }
    doc
}

/// How each callback and hook went the last time, as a text: another `"role": "primary"` in this document would deceive
/// whoever looks for one.
fn hooks(seen: &HooksSeen) -> Value {
    let told = seen.last.iter().map(|(hook, run)| {
        let role = run
            .role
            .map_or_else(String::new, |role| format!("as {} ", role.text()));
        let (ended, took) = (run.ended.iso(), run.took.as_secs_f64());
        let text = format!("{role}{} at {ended}, after {took:.1} s", run.end);
        (hook.name().to_owned(), text.into())
    });
    Value::Object(told.collect())
}

/// What waits for a restart: name to old and new value.
pub(crate) fn pending_reasons(member: &MemberDoc) -> Value {
    let reasons = member.pending_restart_reason.iter();
    let map: Map<String, Value> = reasons
        .map(|(name, (old, new))| (name.clone(), json!({"old_value": old, "new_value": new})))
        .collect();
    Value::Object(map)
}

pub(crate) fn object(map: &BTreeMap<String, Value>) -> Value {
    Value::Object(
        map.iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    )
}

fn state(member: &MemberFacts<'_>) -> &'static str {
    match (member.state, member.live) {
        (PgState::Running, None) => "unknown",
        (state, _) => state.text(),
    }
}

fn positions(live: &LiveSeen) -> Value {
    if live.in_recovery {
        json!({
            "received_location": live.received.as_u64(),
            "replayed_location": live.replayed.as_u64(),
            "replayed_timestamp": live.replayed_at.as_deref().map(with_minutes),
            "paused": live.replay_paused,
        })
    } else {
        json!({"location": live.flushed.as_u64()})
    }
}

fn sender(row: &WalSenderSeen) -> Value {
    json!({
        "usename": row.user,
        "application_name": row.application_name,
        "client_addr": row.client,
        "state": row.state,
        "sync_state": row.sync_state,
        "sync_priority": row.sync_priority,
    })
}

/// PostgreSQL prints the offset of whole hours as `+00`, the contract as `+00:00`.
pub(crate) fn with_minutes(stamp: &str) -> String {
    let offset = stamp.len().checked_sub(3).and_then(|at| stamp.get(at..));
    let is_short = offset.is_some_and(|offset| {
        offset.starts_with(['+', '-']) && offset.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    });
    // a date alone ends in `-24` as well
    if is_short && stamp.contains(':') {
        format!("{stamp}:00")
    } else {
        stamp.to_owned()
    }
}

fn without_start_time(restart: &Value) -> Value {
    let mut shown = restart.clone();
    if let Some(map) = shown.as_object_mut() {
        map.shift_remove("postmaster_start_time");
    }
    shown
}

#[cfg(test)]
mod tests;
