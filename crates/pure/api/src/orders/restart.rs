//! `POST /restart`: conditions and the planned moment.

use std::time::Duration;

use pgherd_domain::{Operation, PgRole, WallTime};
use pgherd_settings::value;
use serde_json::{Map, Value};

use super::{Rejection, planned};

/// Reads and checks the order.
///
/// # Errors
/// The codes and texts of contract §16.7.
pub fn restart(
    body: &Map<String, Value>,
    paused: bool,
    now: WallTime,
) -> Result<Operation, Rejection> {
    let mut order = Restart::default();
    for (name, given) in body {
        match name.as_str() {
            "schedule" => order.schedule = schedule(given, paused, now)?,
            "role" => order.role = Some(role(given)?),
            "postgres_version" => order.older_than = Some(version(given)?),
            "timeout" => order.timeout = Some(timeout(given)?),
            "restart_pending" => order.only_pending = is_truthy(given),
            other => {
                return Err(Rejection::text(
                    400,
                    format!("Unknown filter for the scheduled restart: {other}"),
                ));
            }
        }
    }
    Ok(Operation::Restart {
        role: order.role,
        older_than: order.older_than,
        only_pending: order.only_pending,
        timeout: order.timeout,
        schedule: order.schedule,
    })
}

/// `server_version_num` of a version as people write it, by Patroni's rules: `15.3`, `9.5.2`.
///
/// # Errors
/// In Patroni's words: a part is no number, or there are not as many parts as PostgreSQL's versions have.
pub fn version_num(text: &str) -> Result<u32, String> {
    let parts = text.split('.').map(|part| part.trim().parse::<i64>());
    let parts: Vec<i64> = parts
        .collect::<Result<_, _>>()
        .map_err(|_| format!("Invalid PostgreSQL version: {text}"))?;
    let number = match *parts.as_slice() {
        [major @ 10..=999, minor @ 0..=9_999] => major * 10_000 + minor,
        [first @ 0..=999, second @ 0..=99, third @ 0..=99] => first * 10_000 + second * 100 + third,
        _ => -1,
    };
    u32::try_from(number)
        .map_err(|_| format!("Invalid PostgreSQL version format: X.Y or X.Y.Z is accepted: {text}"))
}

#[derive(Default)]
struct Restart {
    role: Option<PgRole>,
    older_than: Option<u32>,
    only_pending: bool,
    timeout: Option<Duration>,
    schedule: Option<(String, WallTime)>,
}

fn schedule(
    given: &Value,
    paused: bool,
    now: WallTime,
) -> Result<Option<(String, WallTime)>, Rejection> {
    if paused {
        return Err(Rejection::text(
            500,
            "Can't schedule restart in the paused state",
        ));
    }
    // null is no moment: it must not become "now"
    let text = value::scalar(given).unwrap_or_default();
    let when = planned(&text, "restart", now)?;
    Ok(Some((when.iso(), when.at())))
}

fn role(given: &Value) -> Result<PgRole, Rejection> {
    // the old word is for documents of old members only
    let text = given.as_str().filter(|text| *text != "master");
    match text.and_then(PgRole::from_text) {
        Some(role @ (PgRole::Primary | PgRole::StandbyLeader | PgRole::Replica)) => Ok(role),
        Some(PgRole::Demoted | PgRole::Promoted | PgRole::Uninitialized) | None => {
            Err(Rejection::text(
                400,
                "PostgreSQL role should be either primary, standby_leader, or replica",
            ))
        }
    }
}

fn version(given: &Value) -> Result<u32, Rejection> {
    let text = value::scalar(given).unwrap_or_default();
    version_num(&text).map_err(|why| Rejection::text(400, why))
}

/// Whatever is not empty asks for it, as with Patroni: it is the careful side.
fn is_truthy(given: &Value) -> bool {
    match given {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn timeout(given: &Value) -> Result<Duration, Rejection> {
    value::seconds(given)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| Rejection::text(400, "Timeout should be a positive number of seconds"))
}
