//! Zones: where members stand by a tag of their own, and in how many of these places a commit must be acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::ClusterView;

/// `pgherd.synchronous_zones`: a commit is acknowledged in at least so many zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZonePolicy {
    /// The tag that names a member's zone, such as `zone`.
    pub label: String,
    /// In how many zones, the leader's own counted; at least 2.
    pub at_least: usize,
    /// How long commits wait while there are too few zones, before they go on with the best there is. `None`: as long
    /// as it takes.
    pub degrade_after: Option<Duration>,
}

impl ZonePolicy {
    /// The zone that a member's published tags name; `None` without the tag.
    pub fn zone_of(&self, tags: &BTreeMap<String, Value>) -> Option<String> {
        let text = match tags.get(&self.label)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(on) => on.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// In how many zones besides the leader's own, which counts when it has one.
    pub fn others_needed(&self, own: Option<&str>) -> usize {
        self.at_least - usize::from(own.is_some()).min(self.at_least)
    }

    /// The zones of all members that may be synchronous and of the leader, by their tags; and who has no zone.
    pub(crate) fn outlook(&self, view: &ClusterView) -> (BTreeSet<String>, usize) {
        let leader = view.leader_name();
        let mut zones = BTreeSet::new();
        let mut without = 0;
        for (name, member) in &view.members {
            let tags = member.tags();
            if Some(name) != leader && (tags.nosync || tags.nostream) {
                continue;
            }
            match self.zone_of(&member.tags) {
                Some(zone) => drop(zones.insert(zone)),
                None => without += 1,
            }
        }
        (zones, without)
    }
}

/// Too few zones have a standby that commits can wait for: what the leader tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneShortage {
    /// In how many zones commits can be acknowledged, the leader's own counted.
    pub covered: usize,
    /// In how many they should be.
    pub wanted: usize,
    /// Commits wait; else they go on without the missing zones.
    pub waits: bool,
}

impl fmt::Display for ZoneShortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            covered, wanted, ..
        } = self;
        write!(
            f,
            "commits are to be acknowledged in {wanted} zones, and only {covered} can: "
        )?;
        f.write_str(if self.waits {
            "commits wait; bring a standby of another zone back, or lower pgherd.synchronous_zones.at_least"
        } else {
            "commits go on without the missing ones, and are lost with the zones that have them; bring a standby of \
             another zone back"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_any_scalar_and_nothing_is_no_zone() {
        let policy = ZonePolicy {
            label: "rack".into(),
            at_least: 2,
            degrade_after: None,
        };
        let zone = |json: &str| policy.zone_of(&serde_json::from_str(json).unwrap());
        assert_eq!(zone(r#"{"rack": "r1"}"#).as_deref(), Some("r1"));
        assert_eq!(zone(r#"{"rack": 7}"#).as_deref(), Some("7"));
        for nothing in ["{}", r#"{"rack": ""}"#, r#"{"rack": []}"#, r#"{"zone": 1}"#] {
            assert_eq!(zone(nothing), None, "{nothing}");
        }
        assert_eq!(policy.others_needed(Some("r1")), 1);
        assert_eq!(
            policy.others_needed(None),
            2,
            "a leader without a zone adds none"
        );
    }
}
