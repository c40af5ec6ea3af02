//! `/status`: how far the leader's WAL reaches, and the positions of slots.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{object, unsigned};
use crate::Lsn;

/// `{"optime": int, "slots": {name: lsn}, "retain_slots": [name]}` (contract §4.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusDoc {
    /// The primary's flush position; at a clean stop, that of its shutdown checkpoint.
    pub optime: Option<Lsn>,
    /// Slots and how far they are.
    pub slots: BTreeMap<String, Lsn>,
    /// Slots of absent members that are kept for a while.
    pub retain_slots: Vec<String>,
}

impl StatusDoc {
    /// Reads the document, or the bare integer of old members.
    pub fn parse(value: &str) -> Self {
        if let Ok(optime) = value.trim().parse() {
            return Self {
                optime: Some(Lsn::new(optime)),
                ..Self::default()
            };
        }
        let Some(map) = object(value) else {
            return Self::default();
        };
        let slots =
            map.get("slots")
                .and_then(Value::as_object)
                .map_or_else(BTreeMap::new, |slots| {
                    slots
                        .iter()
                        .filter_map(|(name, lsn)| {
                            Some((name.clone(), Lsn::new(unsigned(Some(lsn))?)))
                        })
                        .collect()
                });
        let retain_slots = map
            .get("retain_slots")
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |names| {
                names
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            });
        Self {
            optime: unsigned(map.get("optime")).map(Lsn::new),
            slots,
            retain_slots,
        }
    }

    /// The compact JSON that is written.
    pub fn render(&self) -> String {
        let mut map = Map::new();
        if let Some(optime) = self.optime {
            map.insert("optime".into(), optime.as_u64().into());
        }
        if !self.slots.is_empty() {
            let slots: Map<String, Value> = self
                .slots
                .iter()
                .map(|(name, lsn)| (name.clone(), lsn.as_u64().into()))
                .collect();
            map.insert("slots".into(), slots.into());
        }
        if !self.retain_slots.is_empty() {
            map.insert("retain_slots".into(), self.retain_slots.clone().into());
        }
        Value::Object(map).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legacy_integer_reads_as_optime() {
        assert_eq!(
            StatusDoc::parse("67108864").optime,
            Some(Lsn::new(67_108_864))
        );
    }

    #[test]
    fn garbage_reads_as_nothing() {
        for garbage in ["", "[]", "null", "{\"optime\": []}", "{"] {
            assert_eq!(StatusDoc::parse(garbage), StatusDoc::default(), "{garbage}");
        }
    }

    #[test]
    fn a_document_reads_back_what_it_writes() {
        let text = r#"{"optime":67108864,"slots":{"node2":67108000},"retain_slots":["node3"]}"#;
        assert_eq!(StatusDoc::parse(text).render(), text);
    }
}
