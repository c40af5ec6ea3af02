//! The record of what was done with regions: the key `dr` of each cluster, the newest entry last. It is what an
//! interrupted switchover is resumed by, and where accepted losses are found.

use pgherd_domain::ClusterView;
use pgherd_ports::{Condition, Key, Written};
use serde_json::{Map, Value, json};

use super::region::{Position, Region};
use crate::failure::Failure;

/// Entries that are kept.
const ENTRIES_MAX: usize = 20;
/// Somebody else may write at the same time.
const ATTEMPTS: usize = 3;

/// One thing that was done, as one of the two regions keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry(Map<String, Value>);

impl Entry {
    /// A new one.
    pub(super) fn new(what: &str, began: &str) -> Self {
        Self(Map::new())
            .with("at", began)
            .with("what", what)
            .with("state", "begun")
    }

    #[must_use]
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    #[must_use]
    pub(super) fn at(self, key: &str, position: Option<Position>) -> Self {
        match position {
            Some(at) => self.with(
                key,
                json!({"timeline": at.timeline.0, "lsn": at.lsn.to_string()}),
            ),
            None => self.with(key, "unknown"),
        }
    }

    pub(super) fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A switchover that neither ended nor was taken back.
    pub(super) fn is_open(&self) -> bool {
        self.text("what") == "switchover" && !matches!(self.text("state"), "done" | "undone")
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        let mut text = format!(
            "{} {} {}",
            self.text("at"),
            self.text("what"),
            self.text("state")
        );
        for (key, value) in &self.0 {
            if !matches!(key.as_str(), "at" | "what" | "state") {
                let value = match value {
                    Value::String(value) => value.clone(),
                    Value::Object(at) => format!(
                        "{} on timeline {}",
                        at.get("lsn").and_then(Value::as_str).unwrap_or_default(),
                        at.get("timeline").unwrap_or(&Value::Null)
                    ),
                    other => other.to_string(),
                };
                text.push_str(&format!(", {key}: {value}"));
            }
        }
        text
    }
}

/// All entries of a cluster, the newest last.
pub(super) fn entries(view: &ClusterView) -> Vec<Entry> {
    let list = view.dr.as_ref().and_then(|dr| dr.value.as_array());
    let maps = list.into_iter().flatten().filter_map(Value::as_object);
    maps.cloned().map(Entry).collect()
}

/// The switchover that is open in a cluster.
pub(super) fn open(view: &ClusterView) -> Option<Entry> {
    entries(view).pop().filter(Entry::is_open)
}

/// Why the new state of a switchover may not be written over what a region keeps. Going on to the promotion and
/// going back exclude each other, whoever orders them and however late an order arrives; so do two switchovers.
pub(super) fn objection(all: &[Entry], entry: &Entry) -> Option<String> {
    let is_same = |old: &&Entry| old.text("at") == entry.text("at");
    if let Some(other) = all.iter().find(|old| old.is_open() && !is_same(old)) {
        return Some(format!("another one is open: {}", other.line()));
    }
    let old = all.iter().find(is_same)?.text("state");
    let new = entry.text("state");
    match (old, new) {
        (old, new) if old == new => None,
        ("promoting", "done") | ("undoing", "undone" | "done") => None,
        ("promoting", _) => Some(
            "the other region was told to become the primary one and may become it any moment; call it again \
             without --undo. If that region is lost for good: `pgherd dr failover` in the old one"
                .to_owned(),
        ),
        ("undoing", _) => {
            Some("it is being taken back; call it again with --undo to see that through".to_owned())
        }
        ("done" | "undone", _) => Some(format!("somebody else has ended it: {old}")),
        (_, _) => None,
    }
}

/// Writes the new state of a switchover into the region that is to be promoted, whose record decides who comes first.
pub(super) async fn claim(region: &Region<'_>, entry: &Entry) -> Result<(), Failure> {
    put(region, entry, objection).await
}

/// Writes an entry, or its new state, into a region.
pub(super) async fn write(region: &Region<'_>, entry: &Entry) -> Result<(), Failure> {
    put(region, entry, |_, _| None).await
}

async fn put(
    region: &Region<'_>,
    entry: &Entry,
    objection: impl Fn(&[Entry], &Entry) -> Option<String>,
) -> Result<(), Failure> {
    for _ in 0..ATTEMPTS {
        let view = region.load().await?;
        let mut all = entries(&view);
        if let Some(why) = objection(&all, entry) {
            return Err(Failure::Refused(format!(
                "no step of the switchover of the regions: {why}"
            )));
        }
        all.retain(|old| old.text("at") != entry.text("at"));
        all.push(entry.clone());
        let first = all.len().saturating_sub(ENTRIES_MAX);
        let list: Vec<Value> = all.drain(first..).map(|it| Value::Object(it.0)).collect();
        let revision = view.dr.as_ref().map_or(0, |dr| dr.revision);
        let condition = Condition::unchanged(Some(revision));
        let text = Value::Array(list).to_string();
        let put = region.cluster.dcs.put(&Key::Dr, &text, condition).await;
        let failed = |source| Failure::Dcs {
            what: "write the record of what is done with the regions",
            source,
        };
        if let Written::Done(_) = put.map_err(failed)? {
            return Ok(());
        }
    }
    Err(Failure::refused(
        "somebody else writes the record of the regions at the same time; look at `pgherd dr status`",
    ))
}
