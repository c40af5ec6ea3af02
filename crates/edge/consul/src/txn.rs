//! Transactions: several conditions and changes in one step of the store.

use pgherd_domain::Revision;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::kv::in_base64;
use crate::pace::Pace;
use crate::store::Store;

/// One step of a transaction. All happen or none does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// The key must be held by this session.
    HeldBy { key: &'a str, session: &'a str },
    /// The key must be at this revision; 0: must not exist.
    At { key: &'a str, revision: Revision },
    /// Writes the key, whoever holds it. Consul leaves a key that is written as it is at its revision; the revision that it had, as its
    /// flags, makes every write another one. Patroni neither reads nor sets them.
    Set {
        key: &'a str,
        value: &'a str,
        was_at: Revision,
    },
    /// Writes the key and takes it onto a session. Fails when another one holds it.
    Lock {
        key: &'a str,
        value: &'a str,
        session: &'a str,
    },
    /// Takes the key off a session. Fails when that does not hold it.
    Unlock {
        key: &'a str,
        value: &'a str,
        session: &'a str,
    },
    /// Deletes the key; also when it is not there.
    Delete { key: &'a str },
}

/// What came of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// All steps happened. The revision of the last key that was read or written; 0: there was none.
    Done(Revision),
    /// Nothing happened: the step with this number, counted from 0, was the first that could not.
    Failed(usize),
    /// Nothing happened: a session that was to hold a key does not exist.
    SessionGone,
    /// Nothing happened: Consul keeps the key back for a moment, because a session that held it has ended.
    Delayed,
}

impl Step<'_> {
    fn written(&self) -> Value {
        let kv = match *self {
            Self::HeldBy { key, session } => {
                json!({"Verb": "check-session", "Key": key, "Session": session})
            }
            Self::At { key, revision: 0 } => json!({"Verb": "check-not-exists", "Key": key}),
            Self::At { key, revision } => {
                json!({"Verb": "check-index", "Key": key, "Index": revision})
            }
            Self::Set { key, value, was_at } => {
                json!({"Verb": "set", "Key": key, "Value": in_base64(value), "Flags": was_at})
            }
            Self::Lock {
                key,
                value,
                session,
            } => {
                json!({"Verb": "lock", "Key": key, "Value": in_base64(value), "Session": session})
            }
            Self::Unlock {
                key,
                value,
                session,
            } => {
                json!({"Verb": "unlock", "Key": key, "Value": in_base64(value), "Session": session})
            }
            Self::Delete { key } => json!({"Verb": "delete", "Key": key}),
        };
        json!({"KV": kv})
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answered {
    results: Option<Vec<Result_>>,
    errors: Option<Vec<Failed>>,
}

#[derive(Debug, Deserialize)]
struct Result_ {
    #[serde(rename = "KV")]
    kv: Option<Changed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    modify_index: Revision,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    op_index: usize,
    what: String,
}

impl Store {
    /// Runs the steps as one transaction.
    pub(crate) async fn transact(&self, steps: &[Step<'_>], pace: Pace) -> Result<Came, Fault> {
        let body: Vec<Value> = steps.iter().map(Step::written).collect();
        let answer = self
            .http
            .put("txn", Some(Value::Array(body)), pace.again)
            .await?;
        match answer.status {
            200 | 409 => came(answer.json()?),
            _ => Err(answer.fault()),
        }
    }
}

fn came(answered: Answered) -> Result<Came, Fault> {
    let errors = answered.errors.unwrap_or_default();
    let Some(first) = errors.iter().min_by_key(|failed| failed.op_index) else {
        let results = answered.results.unwrap_or_default();
        let last = results.iter().filter_map(|one| one.kv.as_ref()).next_back();
        return Ok(Came::Done(last.map_or(0, |changed| changed.modify_index)));
    };
    let says = |words: &str| errors.iter().find(|failed| failed.what.contains(words));
    if let Some(denied) = says("Permission denied").or_else(|| says("ACL not found")) {
        return Err(Fault::Denied(denied.what.clone()));
    }
    // Those that hold whatever else failed as well come last: a condition that does not hold is the better answer.
    if says("invalid session").is_some_and(|gone| gone.op_index == first.op_index) {
        return Ok(Came::SessionGone);
    }
    if says("lock delay").is_some_and(|delayed| delayed.op_index == first.op_index) {
        return Ok(Came::Delayed);
    }
    Ok(Came::Failed(first.op_index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Came, Fault> {
        came(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn answers_are_told_apart() {
        let done = r#"{"Results":[{"KV":{"LockIndex":1,"Key":"l","Flags":0,"Value":null,"Session":"s","CreateIndex":3,"ModifyIndex":38}},
            {"KV":{"Key":"s","ModifyIndex":42}}],"Errors":null}"#;
        assert_eq!(read(done), Ok(Came::Done(42)));
        assert_eq!(read(r#"{"Results":[],"Errors":null}"#), Ok(Came::Done(0)));
        let failed = |errors: &str| read(&format!(r#"{{"Results":null,"Errors":[{errors}]}}"#));
        let stale = r#"{"OpIndex":1,"What":"failed index check for key \"k\", current modify index 42 != 5"}"#;
        let held = r#"{"OpIndex":2,"What":"failed to lock key \"k\", lock is already held"}"#;
        let gone = r#"{"OpIndex":2,"What":"invalid session \"x\""}"#;
        let delay = r#"{"OpIndex":0,"What":"failed to lock key \"k\" due to lock delay"}"#;
        assert_eq!(failed(&format!("{held},{stale}")), Ok(Came::Failed(1)));
        assert_eq!(failed(gone), Ok(Came::SessionGone));
        assert_eq!(failed(&format!("{stale},{gone}")), Ok(Came::Failed(1)));
        assert_eq!(failed(delay), Ok(Came::Delayed));
        let denied = r#"{"OpIndex":0,"What":"Permission denied"}"#;
        assert_eq!(
            failed(denied),
            Err(Fault::Denied("Permission denied".into()))
        );
    }

    #[test]
    fn a_key_that_must_not_exist_is_another_verb_than_one_at_a_revision() {
        let verb = |revision| {
            let step = Step::At { key: "k", revision };
            step.written().pointer("/KV/Verb").cloned()
        };
        assert_eq!(verb(0), Some("check-not-exists".into()));
        assert_eq!(verb(7), Some("check-index".into()));
    }
}
