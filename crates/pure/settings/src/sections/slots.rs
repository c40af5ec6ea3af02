//! `slots` and `ignore_slots` (contract §2.3, §7).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::reader::Reader;
use crate::value;

/// A slot that exists wherever the cluster is led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermanentSlot {
    /// What it carries.
    pub kind: SlotKind,
    /// `primary` or `standby`: only in clusters of that kind.
    pub cluster_type: Option<String>,
    /// PostgreSQL 17's `failover` property of a logical slot.
    pub failover: Option<bool>,
}

/// What a slot carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotKind {
    /// WAL for a standby.
    Physical,
    /// Decoded changes of one database.
    Logical {
        /// The database.
        database: String,
        /// The output plugin.
        plugin: String,
    },
}

/// A pattern of slots that are never touched: every property given must match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotMatcher {
    /// Exact slot name.
    pub name: Option<String>,
    /// `physical` or `logical`.
    pub kind: Option<String>,
    /// Exact database name.
    pub database: Option<String>,
    /// Exact plugin name.
    pub plugin: Option<String>,
}

/// Reads the permanent slots: of the three names, the first that is not empty counts.
pub(crate) fn permanent(reader: &mut Reader<'_>) -> BTreeMap<String, PermanentSlot> {
    let mut slots = BTreeMap::new();
    let names = ["permanent_replication_slots", "permanent_slots", "slots"];
    let given = names.iter().find_map(|path| {
        Some((
            path,
            reader.mapping(path).filter(|slots| !slots.is_empty())?,
        ))
    });
    let Some((path, given)) = given else {
        return slots;
    };
    for (name, value) in given {
        let path = format!("{path}.{name}");
        if !is_slot_name(name) {
            reader.warn(
                &path,
                "is no name of a slot and is left out; use 1 to 63 of a-z, 0-9, _",
            );
        } else if let Some(slot) = slot(value) {
            slots.insert(name.clone(), slot);
        } else {
            let problem = "is left out; a logical slot needs `database` and `plugin`";
            reader.warn(&path, problem);
        }
    }
    slots
}

/// Reads the patterns of slots that are never touched.
pub(crate) fn ignored(reader: &mut Reader<'_>) -> Vec<SlotMatcher> {
    let Some(given) = reader.raw("ignore_slots") else {
        return Vec::new();
    };
    let mut matchers = Vec::new();
    for item in given.as_array().into_iter().flatten() {
        let text = |name: &str| item.get(name).and_then(value::scalar);
        let matcher = SlotMatcher {
            name: text("name"),
            kind: text("type"),
            database: text("database"),
            plugin: text("plugin"),
        };
        if matcher != SlotMatcher::default() {
            matchers.push(matcher);
        }
    }
    if given
        .as_array()
        .is_none_or(|items| items.len() != matchers.len())
    {
        let problem = "does not fit; use a list of mappings of name, type, database, plugin";
        reader.warn("ignore_slots", problem);
    }
    matchers
}

/// What is no mapping, such as `0`, is a physical slot.
fn slot(value: &Value) -> Option<PermanentSlot> {
    let text = |name: &str| value.get(name).and_then(value::scalar);
    let logical = match text("type").as_deref() {
        Some("logical") => true,
        Some(_) => false,
        None => text("database").is_some() || text("plugin").is_some(),
    };
    let kind = if logical {
        SlotKind::Logical {
            database: text("database")?,
            plugin: text("plugin")?,
        }
    } else {
        SlotKind::Physical
    };
    let failover = value.get("failover").and_then(value::flag);
    Some(PermanentSlot {
        kind,
        cluster_type: text("cluster_type"),
        failover,
    })
}

fn is_slot_name(name: &str) -> bool {
    let fits =
        |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_';
    (1..=63).contains(&name.len()) && name.bytes().all(fits)
}
