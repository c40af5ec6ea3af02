//! Two members of one cluster, one run by Patroni and one by pgherd, must give the same answers over REST.

use std::time::Duration;

use anyhow::{Result, ensure};
use pgherd_testbed::{Member, Reply, request_text};
use serde_json::Value;

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
    /// Status, and everything but the values of the samples.
    Samples,
}

/// Reads, which both must answer alike: both are replicas of the same leader.
const READS: &[(&str, &str, Same)] = &[
    ("GET", "/", Same::Keys),
    ("GET", "/primary", Same::Keys),
    ("GET", "/master", Same::Status),
    ("GET", "/read-write", Same::Status),
    ("GET", "/leader", Same::Status),
    ("GET", "/standby-leader", Same::Status),
    ("GET", "/standby_leader", Same::Status),
    ("GET", "/replica", Same::Keys),
    ("GET", "/replica?lag=10MB", Same::Status),
    ("GET", "/replica?lag=nonsense", Same::Status),
    ("GET", "/replica?replication_state=streaming", Same::Status),
    ("GET", "/replica?replication_state=nonsense", Same::Status),
    ("GET", "/replica?tag_none=true", Same::Status),
    ("GET", "/replica/anything", Same::Status),
    ("GET", "/read-only", Same::Status),
    ("GET", "/health", Same::Keys),
    ("GET", "/sync", Same::Status),
    ("GET", "/synchronous", Same::Status),
    ("GET", "/async", Same::Status),
    ("GET", "/asynchronous", Same::Status),
    ("GET", "/quorum", Same::Status),
    ("GET", "/read-only-sync", Same::Status),
    ("GET", "/read-only-synchronous", Same::Status),
    ("GET", "/read-only-quorum", Same::Status),
    ("GET", "/nonsense", Same::Status),
    ("GET", "/patroni", Same::Keys),
    ("GET", "/patroni/", Same::Keys),
    ("GET", "/cluster", Same::Keys),
    ("GET", "/history", Same::Text),
    ("GET", "/config", Same::Text),
    ("GET", "/failsafe", Same::Status),
    ("GET", "/liveness", Same::Status),
    ("GET", "/readiness", Same::Status),
    ("GET", "/readiness?lag=10MB&mode=apply", Same::Status),
    ("GET", "/metrics", Same::Samples),
    ("HEAD", "/", Same::Text),
    ("HEAD", "/primary", Same::Text),
    ("HEAD", "/replica", Same::Text),
    ("HEAD", "/health", Same::Text),
    ("OPTIONS", "/primary", Same::Text),
    ("OPTIONS", "/replica", Same::Text),
];

/// Orders that are refused, which change nothing.
const ORDERS: &[(&str, &str, &str, Same)] = &[
    ("POST", "/nonsense", "{}", Same::Status),
    ("PUT", "/nonsense", "{}", Same::Status),
    ("PATCH", "/nonsense", "{}", Same::Status),
    ("DELETE", "/nonsense", "", Same::Status),
    ("PATCH", "/config", "not JSON", Same::Status),
    ("PATCH", "/config", "[]", Same::Status),
    ("PATCH", "/config", "{\"loop_wait\": 1}", Same::Text),
    ("POST", "/reload", "", Same::Text),
    ("POST", "/sigterm", "", Same::Text),
    ("POST", "/citus", "{}", Same::Status),
    ("POST", "/mpp", "{}", Same::Status),
    ("DELETE", "/restart", "", Same::Text),
    ("DELETE", "/switchover", "", Same::Text),
    ("POST", "/restart", "{\"role\": \"king\"}", Same::Text),
    ("POST", "/restart", "{\"role\": \"primary\"}", Same::Text),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"9.1\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"15\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"9\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"15.1.2\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"9.6.24\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"9.6\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"15.\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"x.1\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"-1\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"0.1\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"10.x\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"postgres_version\": \"nine\"}",
        Same::Text,
    ),
    ("POST", "/restart", "{\"timeout\": -1}", Same::Text),
    ("POST", "/restart", "{\"nonsense\": 1}", Same::Status),
    (
        "POST",
        "/restart",
        "{\"schedule\": \"2020-01-01T00:00:00+00:00\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"schedule\": \"2120-01-01T00:00:00\"}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"schedule\": \"some day\"}",
        Same::Text,
    ),
    ("POST", "/switchover", "", Same::Status),
    ("POST", "/switchover", "not JSON", Same::Status),
    ("POST", "/switchover", "{}", Same::Text),
    (
        "POST",
        "/switchover",
        "{\"leader\": \"nobody\"}",
        Same::Text,
    ),
    (
        "POST",
        "/switchover",
        "{\"leader\": \"pg1\", \"candidate\": \"pg1\"}",
        Same::Text,
    ),
    (
        "POST",
        "/switchover",
        "{\"leader\": \"pg1\", \"candidate\": \"nobody\"}",
        Same::Text,
    ),
    (
        "POST",
        "/switchover",
        "{\"leader\": \"pg1\", \"scheduled_at\": \"2020-01-01T00:00:00+00:00\"}",
        Same::Text,
    ),
    (
        "POST",
        "/switchover",
        "{\"leader\": \"pg1\", \"scheduled_at\": \"2120-01-01T00:00:00\"}",
        Same::Text,
    ),
    (
        "POST",
        "/switchover",
        "{\"leader\": \"pg1\", \"scheduled_at\": \"some day\"}",
        Same::Text,
    ),
    ("POST", "/failover", "{}", Same::Text),
    (
        "POST",
        "/failover",
        "{\"candidate\": \"nobody\"}",
        Same::Text,
    ),
    (
        "POST",
        "/failover",
        "{\"candidate\": \"pg2\", \"scheduled_at\": \"2120-01-01T00:00:00+00:00\"}",
        Same::Text,
    ),
    ("POST", "/restart", "{\"timeout\": \"nine\"}", Same::Text),
    ("POST", "/restart", "{\"timeout\": 0}", Same::Text),
    ("POST", "/restart", "{\"timeout\": \"-1s\"}", Same::Text),
    ("POST", "/restart", "{\"role\": 1}", Same::Text),
    ("POST", "/restart", "{\"role\": \"leader\"}", Same::Text),
    (
        "POST",
        "/restart",
        "{\"restart_pending\": true}",
        Same::Text,
    ),
    (
        "POST",
        "/restart",
        "{\"restart_pending\": \"maybe\"}",
        Same::Text,
    ),
    ("POST", "/restart", "{\"schedule\": \"\"}", Same::Text),
    ("POST", "/restart", "{\"schedule\": 5}", Same::Text),
    ("POST", "/restart", "{\"nonsense\": 1}", Same::Text),
    ("POST", "/reinitialize", "not JSON", Same::Status),
    ("POST", "/reinitialize", "[]", Same::Status),
    ("PUT", "/config", "", Same::Status),
    ("PUT", "/config", "{}", Same::Status),
    ("PUT", "/config", "[1]", Same::Status),
    ("PATCH", "/config", "", Same::Status),
    ("PATCH", "/config", "{}", Same::Status),
    ("PATCH", "/config", "{\"ttl\": \"x\"}", Same::Status),
    (
        "POST",
        "/switchover",
        "{\"leader\": \"pg1\", \"member\": \"nobody\"}",
        Same::Text,
    ),
    (
        "POST",
        "/switchover",
        "{\"leader\": \"pg1\", \"scheduled_at\": \"2020-01-01T00:00:00+00:00\", \"candidate\": \"nobody\"}",
        Same::Text,
    ),
    (
        "POST",
        "/switchover",
        "{\"candidate\": \"pg2\"}",
        Same::Text,
    ),
    ("POST", "/failover", "{\"leader\": \"pg1\"}", Same::Text),
    ("POST", "/failover", "{\"candidate\": \"pg1\"}", Same::Text),
    (
        "POST",
        "/failover",
        "{\"leader\": \"nobody\", \"candidate\": \"pg2\"}",
        Same::Text,
    ),
    ("POST", "/failsafe", "", Same::Status),
    ("POST", "/failsafe", "nonsense", Same::Status),
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
    ("HEAD", "/patroni", "", Same::Status),
    ("OPTIONS", "/cluster", "", Same::Status),
    ("HEAD", "/history", "", Same::Status),
    ("BREW", "/primary", "", Same::Status),
    ("POST", "/failsafe", "{}", Same::Status),
];

/// Asks both, and compares; both are replicas and `pg1` leads.
///
/// # Errors
/// Tells every answer that differs.
pub async fn answer_alike(theirs: &Member, ours: &Member) -> Result<()> {
    let reads = READS
        .iter()
        .map(|(method, path, same)| (*method, *path, "", *same));
    let mut differing = Vec::new();
    for (method, path, body, same) in reads.chain(ORDERS.iter().copied()) {
        let wanted = request_text(method, theirs.rest(), path, body, ASK).await?;
        let found = request_text(method, ours.rest(), path, body, ASK).await?;
        let (wanted, found) = (seen(&wanted, same), seen(&found, same));
        if wanted != found {
            differing.push(format!(
                "{method} {path} {body}\n  Patroni: {wanted}\n  pgherd:  {found}"
            ));
        }
    }
    ensure!(
        differing.is_empty(),
        "answers that differ:\n{}",
        differing.join("\n")
    );
    Ok(())
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
                .map(|line| {
                    if line.starts_with('#') {
                        line
                    } else {
                        line.split('{').next().unwrap_or(line)
                    }
                })
                .collect();
            format!("{status}\n{}", names.join("\n"))
        }
    }
}

/// The keys of a document in their order, values left out; of a list the first element.
fn keys(document: &Value) -> String {
    match document {
        Value::Object(map) => {
            let inner: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{key}{}", keys(value)))
                .collect();
            format!("{{{}}}", inner.join(" "))
        }
        Value::Array(list) => format!("[{}]", list.first().map_or_else(String::new, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => String::new(),
    }
}
