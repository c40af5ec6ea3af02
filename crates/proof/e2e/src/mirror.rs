//! The same requests to a member that Patroni runs and to one that pgherd runs: what they answer must be the same.

use std::time::Duration;

use anyhow::Result;
use pgherd_testbed::{Member, Reply, request_text};
use serde_json::Value;

/// How long one answer may take.
const ASK: Duration = Duration::from_secs(15);

/// What is compared of an answer.
#[derive(Clone, Copy)]
enum Same {
    /// The status only: the body is a page of the HTTP layer, or has the member's own figures.
    Status,
    /// Status and body, byte for byte.
    Text,
    /// Status, and the names and order of the keys of a JSON object.
    Keys,
    /// Status, and names, kinds and order of the samples.
    Samples,
}

/// One request: method, path, body, and what is compared of its answer.
type Request = (&'static str, &'static str, &'static str, Same);

/// Requests that read. HEAD and OPTIONS of documents are not among them: Patroni takes them for a health check that
/// nobody passes, and we answer as for GET.
#[rustfmt::skip]
const READS: &[Request] = &[
    ("GET", "/", "", Same::Keys),
    ("GET", "/primary", "", Same::Keys),
    ("GET", "/master", "", Same::Status),
    ("GET", "/read-write", "", Same::Status),
    ("GET", "/leader", "", Same::Status),
    ("GET", "/standby-leader", "", Same::Status),
    ("GET", "/standby_leader", "", Same::Status),
    ("GET", "/replica", "", Same::Keys),
    ("GET", "/replica?lag=10MB", "", Same::Status),
    ("GET", "/replica?lag=nonsense", "", Same::Status),
    ("GET", "/replica?replication_state=streaming", "", Same::Status),
    ("GET", "/replica?replication_state=nonsense", "", Same::Status),
    ("GET", "/replica?tag_none=true", "", Same::Status),
    ("GET", "/replica/anything", "", Same::Status),
    ("GET", "/read-only", "", Same::Status),
    ("GET", "/health", "", Same::Keys),
    ("GET", "/sync", "", Same::Status),
    ("GET", "/synchronous", "", Same::Status),
    ("GET", "/async", "", Same::Status),
    ("GET", "/asynchronous", "", Same::Status),
    ("GET", "/quorum", "", Same::Status),
    ("GET", "/read-only-sync", "", Same::Status),
    ("GET", "/read-only-synchronous", "", Same::Status),
    ("GET", "/read-only-quorum", "", Same::Status),
    ("GET", "/nonsense", "", Same::Status),
    ("GET", "/patroni", "", Same::Keys),
    ("GET", "/patroni/", "", Same::Keys),
    ("GET", "/cluster", "", Same::Keys),
    ("GET", "/history", "", Same::Text),
    ("GET", "/config", "", Same::Text),
    ("GET", "/failsafe", "", Same::Status),
    ("GET", "/liveness", "", Same::Status),
    ("GET", "/readiness", "", Same::Status),
    ("GET", "/readiness?lag=10MB&mode=apply", "", Same::Status),
    ("GET", "/metrics", "", Same::Samples),
    ("HEAD", "/", "", Same::Text),
    ("HEAD", "/primary", "", Same::Text),
    ("HEAD", "/replica", "", Same::Text),
    ("HEAD", "/health", "", Same::Text),
    ("OPTIONS", "/primary", "", Same::Text),
    ("OPTIONS", "/replica", "", Same::Text),
    ("GET", "/replica?lag=0", "", Same::Status),
    ("GET", "/replica?lag=-1", "", Same::Status),
    ("GET", "/readiness?lag=nonsense", "", Same::Status),
    ("GET", "/readiness?mode=write", "", Same::Status),
    ("GET", "/asynchronous/x", "", Same::Status),
    ("GET", "/xreplicax", "", Same::Status),
    ("GET", "/?tag_none=1", "", Same::Status),
    ("GET", "/health?tag_none=1", "", Same::Status),
    ("GET", "//patroni", "", Same::Status),
    ("GET", "/Patroni", "", Same::Status),
    ("BREW", "/primary", "", Same::Status),
];

/// Orders that a replica refuses, or that change nothing of it. `pg1` leads.
#[rustfmt::skip]
const ORDERS: &[Request] = &[
    ("POST", "/nonsense", "{}", Same::Status),
    ("PUT", "/nonsense", "{}", Same::Status),
    ("PATCH", "/nonsense", "{}", Same::Status),
    ("DELETE", "/nonsense", "", Same::Status),
    ("PATCH", "/config", "not JSON", Same::Status),
    ("PATCH", "/config", "[]", Same::Status),
    ("PATCH", "/config", r#"{"loop_wait": 1}"#, Same::Text),
    ("POST", "/reload", "", Same::Text),
    ("POST", "/sigterm", "", Same::Text),
    ("POST", "/citus", "{}", Same::Status),
    ("POST", "/mpp", "{}", Same::Status),
    ("DELETE", "/restart", "", Same::Text),
    ("DELETE", "/switchover", "", Same::Text),
    ("POST", "/restart", r#"{"role": "king"}"#, Same::Text),
    ("POST", "/restart", r#"{"role": "primary"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "9.1"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "15"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "9"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "15.1.2"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "9.6.24"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "9.6"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "15."}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "x.1"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "-1"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "0.1"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "10.x"}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": ""}"#, Same::Text),
    ("POST", "/restart", r#"{"postgres_version": "nine"}"#, Same::Text),
    ("POST", "/restart", r#"{"timeout": -1}"#, Same::Text),
    ("POST", "/restart", r#"{"nonsense": 1}"#, Same::Status),
    ("POST", "/restart", r#"{"schedule": "2020-01-01T00:00:00+00:00"}"#, Same::Text),
    ("POST", "/restart", r#"{"schedule": "2120-01-01T00:00:00"}"#, Same::Text),
    ("POST", "/restart", r#"{"schedule": "some day"}"#, Same::Text),
    ("POST", "/switchover", "", Same::Status),
    ("POST", "/switchover", "not JSON", Same::Status),
    ("POST", "/switchover", "{}", Same::Status),
    ("POST", "/switchover", r#"{"leader": "nobody"}"#, Same::Text),
    ("POST", "/switchover", r#"{"leader": "pg1", "candidate": "pg1"}"#, Same::Text),
    ("POST", "/switchover", r#"{"leader": "pg1", "candidate": "nobody"}"#, Same::Text),
    ("POST", "/switchover", r#"{"leader": "pg1", "scheduled_at": "2020-01-01T00:00:00+00:00"}"#, Same::Text),
    ("POST", "/switchover", r#"{"leader": "pg1", "scheduled_at": "2120-01-01T00:00:00"}"#, Same::Text),
    ("POST", "/switchover", r#"{"leader": "pg1", "scheduled_at": "some day"}"#, Same::Text),
    ("POST", "/failover", "{}", Same::Status),
    ("POST", "/failover", r#"{"candidate": "nobody"}"#, Same::Text),
    ("POST", "/failover", r#"{"candidate": "pg2", "scheduled_at": "2120-01-01T00:00:00+00:00"}"#, Same::Text),
    ("POST", "/restart", r#"{"timeout": "nine"}"#, Same::Text),
    ("POST", "/restart", r#"{"timeout": 0}"#, Same::Text),
    ("POST", "/restart", r#"{"timeout": "-1s"}"#, Same::Text),
    ("POST", "/restart", r#"{"role": 1}"#, Same::Text),
    ("POST", "/restart", r#"{"role": "leader"}"#, Same::Text),
    ("POST", "/restart", r#"{"restart_pending": true}"#, Same::Text),
    ("POST", "/restart", r#"{"restart_pending": "maybe"}"#, Same::Text),
    ("POST", "/restart", r#"{"schedule": ""}"#, Same::Text),
    ("POST", "/restart", r#"{"schedule": 5}"#, Same::Text),
    ("POST", "/restart", r#"{"nonsense": 1}"#, Same::Text),
    ("POST", "/reinitialize", "not JSON", Same::Status),
    ("POST", "/reinitialize", "[]", Same::Status),
    ("PUT", "/config", "", Same::Status),
    ("PUT", "/config", "[1]", Same::Status),
    ("PATCH", "/config", "", Same::Status),
    ("PATCH", "/config", "{}", Same::Status),
    ("POST", "/switchover", r#"{"leader": "pg1", "member": "nobody"}"#, Same::Text),
    ("POST", "/switchover", r#"{"leader": "pg1", "scheduled_at": "2020-01-01T00:00:00+00:00", "candidate": "nobody"}"#, Same::Text),
    ("POST", "/switchover", r#"{"candidate": "pg2"}"#, Same::Text),
    ("POST", "/failover", r#"{"leader": "pg1"}"#, Same::Text),
    ("POST", "/failover", r#"{"candidate": "pg1"}"#, Same::Text),
    ("POST", "/failover", r#"{"leader": "nobody", "candidate": "pg2"}"#, Same::Text),
    ("POST", "/failsafe", "", Same::Status),
    ("POST", "/failsafe", "nonsense", Same::Status),
    ("POST", "/failsafe", "{}", Same::Status),
];

/// The tags under which [`TAGGED`] and [`TAGGED_BUT_BALANCED`] are asked. The last two say `false`, and are not shown.
pub const TAGS: &str = "tags: {noloadbalance: true, nosync: true, failover_priority: 2, clonefrom: true, rack: r1, \
                        shelf: 3, cold: true, nostream: false, nofailover: false}\n";

/// What depends on tags, asked of a replica that has [`TAGS`].
#[rustfmt::skip]
const TAGGED: &[Request] = &[
    ("GET", "/replica", "", Same::Status),
    ("GET", "/read-only", "", Same::Status),
    ("GET", "/async", "", Same::Status),
    ("GET", "/sync", "", Same::Status),
    ("GET", "/health", "", Same::Status),
    ("GET", "/health?tag_rack=r1", "", Same::Status),
    ("GET", "/health?tag_rack=r2", "", Same::Status),
    ("GET", "/health?tag_shelf=3", "", Same::Status),
    ("GET", "/health?tag_cold=true", "", Same::Status),
    ("GET", "/health?tag_cold=True", "", Same::Status),
    ("GET", "/health?tag_nostream=false", "", Same::Status),
    ("GET", "/health?tag_noloadbalance=true&tag_rack=r1", "", Same::Status),
    ("GET", "/health?tag_failover_priority=2", "", Same::Status),
    ("GET", "/primary?tag_rack=r2", "", Same::Status),
    ("GET", "/readiness", "", Same::Status),
    ("GET", "/patroni", "", Same::Keys),
    ("GET", "/metrics", "", Same::Samples),
];

/// What a replica says and refuses in pause. `pg1` leads.
#[rustfmt::skip]
const PAUSED: &[Request] = &[
    ("GET", "/patroni", "", Same::Keys),
    ("GET", "/cluster", "", Same::Keys),
    ("GET", "/replica", "", Same::Status),
    ("GET", "/primary", "", Same::Status),
    ("GET", "/liveness", "", Same::Status),
    ("GET", "/readiness", "", Same::Status),
    ("GET", "/health", "", Same::Status),
    ("POST", "/restart", r#"{"schedule": "2120-01-01T00:00:00+00:00"}"#, Same::Text),
    ("POST", "/switchover", r#"{"leader": "pg1"}"#, Same::Text),
    ("POST", "/switchover", r#"{"leader": "pg1", "candidate": "nobody"}"#, Same::Text),
    ("POST", "/switchover", r#"{"leader": "pg1", "candidate": "pg2", "scheduled_at": "2120-01-01T00:00:00+00:00"}"#, Same::Text),
    ("POST", "/failover", r#"{"candidate": "pg1"}"#, Same::Text),
    ("DELETE", "/switchover", "", Same::Text),
];

/// The same when its PostgreSQL was stopped by hand.
#[rustfmt::skip]
const STOPPED: &[Request] = &[
    ("GET", "/patroni", "", Same::Keys),
    ("GET", "/replica", "", Same::Status),
    ("GET", "/primary", "", Same::Status),
    ("GET", "/health", "", Same::Status),
    ("GET", "/liveness", "", Same::Status),
    ("GET", "/readiness", "", Same::Status),
    ("POST", "/restart", r#"{"role": "primary"}"#, Same::Text),
];

/// The order that starts it again.
const START: &[Request] = &[("POST", "/restart", "{}", Same::Text)];

/// Samples that Patroni 4.1.5 does not have.
const OF_OURS: [&str; 4] = [
    "patroni_failsafe_mode_enabled",
    "patroni_failsafe_member",
    "patroni_failover_priority",
    "pgherd_",
];

/// What a member answers to each request that reads.
///
/// # Errors
/// When an answer does not come.
pub async fn reads(member: &Member) -> Result<Vec<String>> {
    answers(member, READS).await
}

/// What a replica answers to orders that change nothing of it, in a cluster that `pg1` leads.
///
/// # Errors
/// When an answer does not come.
pub async fn orders(member: &Member) -> Result<Vec<String>> {
    answers(member, ORDERS).await
}

/// What a replica with [`TAGS`] answers to what depends on them.
///
/// # Errors
/// When an answer does not come.
pub async fn tagged(member: &Member) -> Result<Vec<String>> {
    answers(member, TAGGED).await
}

/// What a replica answers in pause, in a cluster that `pg1` leads.
///
/// # Errors
/// When an answer does not come.
pub async fn paused(member: &Member) -> Result<Vec<String>> {
    answers(member, PAUSED).await
}

/// What a replica answers in pause when its PostgreSQL does not run.
///
/// # Errors
/// When an answer does not come.
pub async fn stopped(member: &Member) -> Result<Vec<String>> {
    answers(member, STOPPED).await
}

/// Starts a PostgreSQL that does not run, in pause, by order.
///
/// # Errors
/// When no answer comes.
pub async fn start(member: &Member) -> Result<Vec<String>> {
    answers(member, START).await
}

/// Every answer that differs, Patroni's before ours.
pub fn differing(theirs: &[String], ours: &[String]) -> Vec<String> {
    let pairs = theirs.iter().zip(ours);
    pairs
        .filter(|(theirs, ours)| theirs != ours)
        .map(|(theirs, ours)| format!("Patroni: {theirs}\npgherd:  {ours}"))
        .collect()
}

async fn answers(member: &Member, requests: &[Request]) -> Result<Vec<String>> {
    let mut all = Vec::with_capacity(requests.len());
    for (method, path, body, same) in requests {
        let reply = request_text(method, member.rest(), path, body, ASK).await?;
        all.push(format!("{method} {path} {body}: {}", seen(&reply, *same)));
    }
    Ok(all)
}

/// What is compared, as a text.
fn seen(reply: &Reply, same: Same) -> String {
    let Reply { status, body } = reply;
    match same {
        Same::Status => status.to_string(),
        Same::Text => format!("{status} {body}"),
        Same::Keys => {
            let document: Value = serde_json::from_str(body).unwrap_or_default();
            format!("{status} {}", keys(&document))
        }
        Same::Samples => {
            let lines = body.lines().filter(|line| !line.starts_with("# HELP"));
            let names: Vec<&str> = lines
                .map(|line| line.split('{').next().unwrap_or(line))
                .filter(|name| OF_OURS.iter().all(|ours| !name.contains(ours)))
                .collect();
            format!("{status}\n{}", names.join("\n"))
        }
    }
}

/// The keys of a document in their order, values left out. Tags count in any order: Patroni shows them as they stand in
/// the file, we by name.
fn keys(document: &Value) -> String {
    match document {
        Value::Object(map) => {
            let inner: Vec<String> = map
                .iter()
                .map(|(key, value)| match (key.as_str(), value) {
                    ("tags", Value::Object(tags)) => {
                        let mut names: Vec<&str> = tags.keys().map(String::as_str).collect();
                        names.sort_unstable();
                        format!("tags{{{}}}", names.join(" "))
                    }
                    (key, value) => format!("{key}{}", keys(value)),
                })
                .collect();
            format!("{{{}}}", inner.join(" "))
        }
        Value::Array(list) => {
            let inner: Vec<String> = list.iter().map(keys).collect();
            format!("[{}]", inner.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => String::new(),
    }
}
