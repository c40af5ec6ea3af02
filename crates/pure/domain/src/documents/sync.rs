//! `/sync`: who certainly has every acknowledged commit.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{object, text, unsigned};
use crate::MemberName;

/// `{"leader": name, "quorum": int, "sync_standby": "a,b"}` (contract §4.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncDoc {
    /// The leader under which this holds; without it the document is empty.
    pub leader: Option<MemberName>,
    /// How many other voters a candidate needs (quorum mode); 0 in on-mode.
    pub quorum: u64,
    /// The synchronous standbys, or the voters in quorum mode.
    pub standbys: BTreeSet<MemberName>,
}

impl SyncDoc {
    /// Reads the key; anything that is not understood is the empty document.
    pub fn parse(value: &str) -> Self {
        let Some(map) = object(value) else {
            return Self::default();
        };
        let quorum = match map.get("quorum") {
            None | Some(Value::Null) => Some(0),
            given => unsigned(given),
        };
        // Of how many votes a candidate needs nothing is known: nobody but the leader has everything for certain.
        let standbys = text(map.get("sync_standby"))
            .filter(|_| quorum.is_some())
            .unwrap_or_default()
            .split(',')
            .filter_map(|name| MemberName::new(name.trim()).ok())
            .collect();
        Self {
            leader: text(map.get("leader")).and_then(|name| MemberName::new(&name).ok()),
            quorum: quorum.unwrap_or(0),
            standbys,
        }
    }

    /// The compact JSON that is written.
    pub fn render(&self) -> String {
        let names: Vec<&str> = self.standbys.iter().map(MemberName::as_str).collect();
        let standbys = if names.is_empty() {
            Value::Null
        } else {
            names.join(",").into()
        };
        let leader = self
            .leader
            .as_ref()
            .map_or(Value::Null, |leader| leader.as_str().into());
        let mut map = Map::new();
        map.insert("leader".into(), leader);
        map.insert("quorum".into(), self.quorum.into());
        map.insert("sync_standby".into(), standbys);
        Value::Object(map).to_string()
    }

    /// Whether `name` is a synchronous standby here; names are compared without case.
    pub fn has_standby(&self, name: &MemberName) -> bool {
        self.standbys
            .iter()
            .any(|standby| standby.same_as(name.as_str()))
    }

    /// Whether `name` certainly has every acknowledged commit by this document: the leader, and a standby when a
    /// candidate needs no votes.
    pub fn proves(&self, name: &MemberName) -> bool {
        self.is_led_by(name) || (self.quorum == 0 && self.has_standby(name))
    }

    /// Whether `name` is the leader here.
    pub fn is_led_by(&self, name: &MemberName) -> bool {
        let leader = self.leader.as_ref();
        leader.is_some_and(|leader| leader.same_as(name.as_str()))
    }

    /// Whether `name` is the leader or a standby here.
    pub fn names(&self, name: &MemberName) -> bool {
        self.has_standby(name) || self.is_led_by(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_back_what_it_writes() {
        for text in [
            r#"{"leader":"a","quorum":0,"sync_standby":"b,c"}"#,
            r#"{"leader":"a","quorum":0,"sync_standby":null}"#,
        ] {
            assert_eq!(SyncDoc::parse(text).render(), text);
        }
    }

    #[test]
    fn nobody_counts_by_a_quorum_that_is_not_understood() {
        for quorum in ["\"x\"", "-1", "[]", "1.5"] {
            let text = format!(r#"{{"leader":"a","quorum":{quorum},"sync_standby":"b,c"}}"#);
            let doc = SyncDoc::parse(&text);
            assert!(doc.is_led_by(&MemberName::new("a").unwrap()), "{text}");
            assert!(doc.standbys.is_empty(), "{text}");
        }
        for quorum in ["null", "\"0\""] {
            let text = format!(r#"{{"leader":"a","quorum":{quorum},"sync_standby":"b,c"}}"#);
            assert_eq!(SyncDoc::parse(&text).standbys.len(), 2, "{text}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_spaces_are_tolerated() {
        let doc = SyncDoc::parse(r#"{"leader":"A","sync_standby":" b , C"}"#);
        assert!(doc.names(&MemberName::new("a").unwrap()));
        assert!(doc.has_standby(&MemberName::new("c").unwrap()));
        assert!(!doc.has_standby(&MemberName::new("a").unwrap()));
    }
}
