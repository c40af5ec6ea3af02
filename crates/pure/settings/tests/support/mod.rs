//! The smallest file that loads, and what loading other texts gives.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each suite uses its own part"
)]

use std::collections::BTreeMap;

use pgherd_settings::{ChangingSettings, Fault, Faults, Loaded, Settings, load};
use serde_json::Value;

/// Loads without a fault or a warning.
pub const GOOD: &str = "\
scope: demo
name: n1
restapi:
  listen: '*:8008'
  connect_address: h1:8008
etcd3: {hosts: [e1]}
postgresql:
  listen: '*:5432'
  connect_address: h1:5432
  data_dir: /data
  authentication:
    superuser: {username: postgres}
    replication: {username: repl}
";

/// The good text with lines behind it.
pub fn with(lines: &[&str]) -> String {
    let added: String = lines.iter().map(|line| format!("{line}\n")).collect();
    GOOD.to_owned() + &added
}

pub fn load_text(text: &str) -> Result<Loaded, Faults> {
    load(
        &[("node.yml".to_owned(), text.to_owned())],
        &BTreeMap::new(),
    )
}

pub fn faults_of(text: &str) -> Vec<String> {
    load_text(text)
        .unwrap_err()
        .0
        .iter()
        .map(Fault::to_string)
        .collect()
}

pub fn warnings_of(text: &str) -> Vec<String> {
    load_text(text)
        .unwrap()
        .warnings
        .iter()
        .map(Fault::to_string)
        .collect()
}

/// The good text patched by `more`, under a dynamic configuration.
pub fn effective(more: &str, dynamic: &Value) -> (Settings, Vec<String>) {
    let files = [("node.yml", GOOD), ("more.yml", more)];
    let files: Vec<_> = files
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
    let local = load(
        &files[..if more.is_empty() { 1 } else { 2 }],
        &BTreeMap::new(),
    )
    .unwrap()
    .local;
    let (settings, warnings) = local.effective(Some(dynamic));
    (settings, warnings.iter().map(Fault::to_string).collect())
}

pub fn changing(more: &str, dynamic: &Value) -> ChangingSettings {
    effective(more, dynamic).0.changing
}
