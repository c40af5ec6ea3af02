//! `PATRONI_*` environment variables as a layer over the files (contract §2.5).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::document::{Document, parse};
use crate::keys::{self, Key, Kind, Scope};
use crate::{Fault, Place};

/// Sections whose variables are `PATRONI_SECTION_KEY`.
const SECTIONS: [&str; 12] = [
    "log",
    "restapi",
    "ctl",
    "postgresql",
    "etcd3",
    "etcd",
    "consul",
    "zookeeper",
    "exhibitor",
    "kubernetes",
    "raft",
    "citus",
];
const TOP: [&str; 5] = [
    "name",
    "namespace",
    "scope",
    "thread_pool_size",
    "thread_stack_size",
];
const USERS: [&str; 3] = ["superuser", "replication", "rewind"];
/// Old names, each counting when the new one is not set.
const OLD: [(&str, &str); 3] = [
    ("PATRONI_LOGLEVEL", "PATRONI_LOG_LEVEL"),
    ("PATRONI_LOGFORMAT", "PATRONI_LOG_FORMAT"),
    ("PATRONI_LOG_DATEFMT", "PATRONI_LOG_DATEFORMAT"),
];

/// Every variable with the key that it sets, old names left out, in the order of the keys. What a DCS section of
/// another kind would take is not among them.
pub fn variables() -> Vec<(String, &'static Key)> {
    let mut all = Vec::new();
    for key in keys::all().filter(|key| key.scope != Scope::Dynamic) {
        for name in names_of(key.path) {
            let variable = format!("PATRONI_{}", name.to_ascii_uppercase());
            let path = path_of(&name).unwrap_or_default();
            if keys::find(&path).is_some_and(|found| std::ptr::eq(found, key)) {
                all.push((variable, key));
            }
        }
    }
    all
}

/// What variables of a key may be called, without `PATRONI_`.
fn names_of(path: &str) -> Vec<String> {
    let users = "postgresql.authentication.*.";
    if let Some(key) = path.strip_prefix(users) {
        return USERS.iter().map(|user| format!("{user}_{key}")).collect();
    }
    let path = path.replace(".bin_name.", ".bin_");
    vec![path.replace(".authentication.", ".").replace('.', "_")]
}

/// Patches the variables over a document. Empty ones and unknown ones are left alone.
pub(crate) fn patch_over(
    document: &mut Document,
    environment: &BTreeMap<String, String>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (variable, text) in environment {
        if text.is_empty() {
            continue;
        }
        let old = OLD.iter().find(|(old, _)| old == variable);
        let name = match old {
            Some((_, new)) if environment.get(*new).is_some_and(|text| !text.is_empty()) => {
                continue;
            }
            Some((_, new)) => new,
            None => variable.as_str(),
        };
        let Some(path) = name.strip_prefix("PATRONI_").and_then(path_of) else {
            continue;
        };
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match value_of(&path, text) {
            Ok(value) => document.patch_at(&names, value, variable),
            Err(problem) => faults.push(Fault {
                place: Place::Environment(variable.clone()),
                path: path.join("."),
                problem,
            }),
        }
    }
    faults
}

/// The key that a variable sets, from its name without `PATRONI_`.
fn path_of(name: &str) -> Option<Vec<String>> {
    let name = name.to_ascii_lowercase();
    if TOP.contains(&name.as_str()) {
        return Some(vec![name]);
    }
    let (section, key) = SECTIONS
        .iter()
        .chain(&USERS)
        .find_map(|section| Some((*section, name.strip_prefix(section)?.strip_prefix('_')?)))?;
    let path = match (section, key) {
        ("restapi" | "ctl", "username" | "password") => vec![section, "authentication", key],
        ("postgresql", key) => match key.strip_prefix("bin_").filter(|key| *key != "dir") {
            Some(program) => vec!["postgresql", "bin_name", program],
            None => vec!["postgresql", key],
        },
        (user, key) if USERS.contains(&user) => vec!["postgresql", "authentication", user, key],
        (section, key) => vec![section, key],
    };
    let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
    let other_store = keys::find(&path[..1]).is_some_and(|key| key.kind == Kind::Any);
    let scalar_of_postgresql = section != "postgresql" || is_variable_of_postgresql(key);
    let known = other_store || keys::find(&path).is_some_and(|key| key.kind != Kind::Section);
    (known && scalar_of_postgresql).then_some(path)
}

/// Of `postgresql`, only these few have a variable.
fn is_variable_of_postgresql(key: &str) -> bool {
    matches!(
        key,
        "listen" | "connect_address" | "proxy_address" | "config_dir" | "data_dir" | "pgpass"
    ) || key.starts_with("bin_")
}

/// The value of a variable, by the kind of its key.
fn value_of(path: &[String], text: &str) -> Result<Value, String> {
    let kind = keys::find(path).map(|key| key.kind);
    match kind {
        _ if path == ["log", "format"] && !text.contains("%(") => yaml_list(text),
        _ if path == ["kubernetes", "ports"] => yaml_list(text),
        Some(Kind::List) => yaml_list(text),
        Some(Kind::Texts | Kind::Mapping) => {
            let text = text.trim();
            let wrapped = if text.starts_with('{') {
                text.to_owned()
            } else {
                format!("{{{text}}}")
            };
            yaml(&wrapped)
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// A YAML list in block or flow form; bare text is the inside of one.
fn yaml_list(text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    let is_block = trimmed.starts_with("- ");
    // an IPv6 address starts with a bracket, too
    let is_flow = trimmed.starts_with('[') && trimmed.ends_with(']');
    let value = if is_block || is_flow {
        yaml(trimmed)
    } else {
        yaml(&format!("[{trimmed}]"))
    };
    match value? {
        Value::Array(items) => Ok(Value::Array(items)),
        _ => Err(format!(
            "`{text}` is not a list; use a YAML list or texts with commas"
        )),
    }
}

fn yaml(text: &str) -> Result<Value, String> {
    parse(text)
        .map(|parsed| parsed.value)
        .map_err(|error| error.problem)
}
