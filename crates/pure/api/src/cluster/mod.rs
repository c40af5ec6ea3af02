//! The cluster document of `GET /cluster` (contract §16.6).

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{ClusterView, Lsn, MemberName};
use serde_json::{Map, Value, json};

use crate::role::ClusterRole;
use crate::status::{object, pending_reasons};
use crate::wanted::Wanted;

/// The document of the cluster `scope`.
pub fn document(scope: &str, view: &ClusterView, wanted: &Wanted) -> Value {
    let members: Vec<Value> = view
        .members
        .iter()
        .map(|(name, doc)| member(name, doc, view, wanted))
        .collect();
    let mut doc = Map::new();
    doc.insert("members".into(), members.into());
    if wanted.pause {
        doc.insert("pause".into(), true.into());
    }
    if let Some(order) = &view.failover
        && let Some(schedule) = &order.value.scheduled_at
    {
        let mut planned = Map::new();
        planned.insert("at".into(), schedule.text.clone().into());
        if let Some(from) = &order.value.leader {
            planned.insert("from".into(), from.as_str().into());
        }
        if let Some(to) = &order.value.member {
            planned.insert("to".into(), to.as_str().into());
        }
        doc.insert("scheduled_switchover".into(), planned.into());
    }
    doc.insert("scope".into(), scope.into());
    Value::Object(doc)
}

/// `/history` as a list, `[]` when there is none (contract §16.4).
pub fn history(view: &ClusterView) -> Value {
    view.history
        .as_ref()
        .and_then(|history| serde_json::from_str(&history.render()).ok())
        .unwrap_or_else(|| json!([]))
}

fn member(name: &MemberName, doc: &MemberDoc, view: &ClusterView, wanted: &Wanted) -> Value {
    let role = ClusterRole::of(name, view, wanted);
    let mut row = Map::new();
    let mut put = |key: &str, value: Value| {
        row.insert(key.to_owned(), value);
    };
    put("name", name.as_str().into());
    put("role", role.text().into());
    put("state", shown_state(doc, role).into());
    put("api_url", doc.api_url.clone().into());
    if let Some((host, port)) = doc.address() {
        put("host", host.into());
        put("port", port.into());
    }
    if let Some(timeline) = doc.timeline {
        put("timeline", timeline.0.into());
    }
    if doc.pending_restart {
        put("pending_restart", true.into());
        if !doc.pending_restart_reason.is_empty() {
            put("pending_restart_reason", pending_reasons(doc));
        }
    }
    if let Some(restart) = &doc.scheduled_restart {
        put("scheduled_restart", restart.clone());
    }
    if !doc.tags.is_empty() {
        put("tags", object(&doc.tags));
    }
    if !role.leads() {
        let end = view.status.optime;
        put("receive_lag", lag(doc.receive_lsn, end));
        put("receive_lsn", lsn_text(doc.receive_lsn));
        put("replay_lag", lag(doc.replay_lsn, end));
        put("replay_lsn", lsn_text(doc.replay_lsn));
        put("lag", lag(doc.xlog_location, end));
        put("lsn", lsn_text(doc.xlog_location));
    }
    Value::Object(row)
}

/// What a table says of the state: of a replica, a standby leader too, how it replicates, when it says so.
pub(crate) fn shown_state(doc: &MemberDoc, role: ClusterRole) -> String {
    let replicates = doc
        .replication_state
        .as_deref()
        .filter(|_| role != ClusterRole::Leader);
    match (replicates, doc.state) {
        (Some(replicates), _) => replicates.to_owned(),
        (None, Some(state)) => state.text().to_owned(),
        (None, None) => "unknown".to_owned(),
    }
}

fn lsn_text(lsn: Option<Lsn>) -> Value {
    lsn.map_or_else(|| "unknown".into(), |lsn| lsn.to_string().into())
}

fn lag(lsn: Option<Lsn>, end: Option<Lsn>) -> Value {
    match (lsn, end) {
        (Some(lsn), Some(end)) => lsn.behind(end).into(),
        (Some(_) | None, Some(_) | None) => "unknown".into(),
    }
}

#[cfg(test)]
mod tests;
