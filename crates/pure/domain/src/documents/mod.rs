//! The JSON documents in the DCS: tolerant on reading, exact on writing (contract §4.1 to §4.4).
//!
//! A value that is not of the expected JSON type counts as absent, never as an error: other programs
//! write these keys too.

mod failover;
mod history;
mod member;
mod region_order;
mod status;
mod sync;

pub use failover::{FailoverDoc, Schedule};
pub use history::{HistoryDoc, HistoryEntry};
pub use member::{MemberDoc, VerdictDoc};
pub use region_order::RegionOrder;
pub use status::StatusDoc;
pub use sync::SyncDoc;

use serde_json::Value;

/// Reads a JSON object; anything else is nothing.
fn object(text: &str) -> Option<serde_json::Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Some(map),
        Ok(_) | Err(_) => None,
    }
}

/// A non-negative integer, also when somebody wrote it as text.
fn unsigned(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}
