//! Tags: what an operator says about one member (contract §15).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::MemberName;

/// A member's tags, with conflicts resolved, and the map as it is published.
#[derive(Debug, Clone, PartialEq)]
pub struct Tags {
    /// Never races for the leader key.
    pub nofailover: bool,
    /// Tie-break on equal WAL; higher wins; 0 or less equals `nofailover`.
    pub failover_priority: i64,
    /// Never a synchronous standby.
    pub nosync: bool,
    /// Preference among synchronous candidates; higher wins.
    pub sync_priority: i64,
    /// `/replica` answers 503.
    pub noloadbalance: bool,
    /// Preferred source of clones.
    pub clonefrom: bool,
    /// Replicates from the archive only: no slot, never synchronous.
    pub nostream: bool,
    /// The member to replicate from instead of the leader.
    pub replicatefrom: Option<MemberName>,
    /// The map that the member key and the REST API show.
    pub published: BTreeMap<String, Value>,
}

impl Default for Tags {
    fn default() -> Self {
        Self::from_published(&BTreeMap::new())
    }
}

impl Tags {
    /// Reads a map of tags, the local one or one published by a member of either kind.
    pub fn from_published(map: &BTreeMap<String, Value>) -> Self {
        let on = |name: &str| map.get(name).is_some_and(truthy);
        let number = |name: &str| map.get(name).and_then(integer);
        let (nofailover, failover_priority) = settle(
            map.get("nofailover").map(truthy),
            number("failover_priority"),
        );
        let (nosync, sync_priority) =
            settle(map.get("nosync").map(truthy), number("sync_priority"));
        let replicatefrom = map
            .get("replicatefrom")
            .and_then(Value::as_str)
            .and_then(|name| MemberName::new(name).ok());
        Self {
            nofailover,
            failover_priority,
            nosync,
            sync_priority,
            noloadbalance: on("noloadbalance"),
            clonefrom: on("clonefrom"),
            nostream: on("nostream"),
            replicatefrom,
            published: map.clone(),
        }
    }
}

/// The boolean wins over the priority; a priority of 0 or less equals the boolean (contract §15).
fn settle(forbidden: Option<bool>, priority: Option<i64>) -> (bool, i64) {
    match (forbidden, priority) {
        (Some(true), _) => (true, 0),
        (Some(false), Some(priority)) if priority <= 0 => (false, 1),
        (Some(false) | None, Some(priority)) => (priority <= 0, priority.max(0)),
        (Some(false) | None, None) => (false, 1),
    }
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            matches!(
                text.to_ascii_lowercase().as_str(),
                "on" | "true" | "yes" | "1"
            )
        }
        Value::Null => false,
        Value::Array(_) | Value::Object(_) => true,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(json: &str) -> Tags {
        Tags::from_published(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_boolean_wins_over_the_priority() {
        assert!(tags(r#"{"nofailover": true, "failover_priority": 5}"#).nofailover);
        assert!(!tags(r#"{"nofailover": false, "failover_priority": 0}"#).nofailover);
        assert!(tags(r#"{"failover_priority": 0}"#).nofailover);
        assert_eq!(tags(r#"{"failover_priority": 3}"#).failover_priority, 3);
        assert_eq!(tags("{}").failover_priority, 1);
    }
}
