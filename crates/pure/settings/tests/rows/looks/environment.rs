//! What variables say by themselves.

use std::collections::BTreeMap;

use pgherd_settings::keys::{self, Key, Kind};
use pgherd_settings::{of_environment, value};
use serde_json::{Map, Value, json};

/// What the variables alone say, each value as its key's kind has it.
pub(super) fn environment(variables: &BTreeMap<String, String>) -> Value {
    match of_environment(variables) {
        Ok(document) => typed(&mut Vec::new(), &Value::Object(document)),
        Err(_) => json!("refused"),
    }
}

fn typed(path: &mut Vec<String>, given: &Value) -> Value {
    // Patroni leaves the two at the top as they are
    let untyped = path.first().is_some_and(|top| top.starts_with("thread_"));
    let kind = keys::all()
        .filter(|_| !untyped)
        .find(|key| is_at(key, path))
        .map_or(Kind::Any, |key| key.kind);
    match (kind, given) {
        (Kind::Section | Kind::Any, Value::Object(section)) => {
            let mut all = Map::new();
            for (name, inner) in section {
                path.push(name.clone());
                all.insert(name.clone(), typed(path, inner));
                path.pop();
            }
            Value::Object(all)
        }
        (Kind::Flag, given) => value::flag(given).map_or(given.clone(), Value::from),
        (Kind::Whole(..) | Kind::FileMode, given) => {
            value::whole(given).map_or(given.clone(), Value::from)
        }
        (Kind::Bytes(_), given) => {
            value::bytes(given, value::SizeUnit::Byte).map_or(given.clone(), Value::from)
        }
        (_, given) => given.clone(),
    }
}

fn is_at(key: &Key, path: &[String]) -> bool {
    let names: Vec<&str> = key.path.split('.').collect();
    names.len() == path.len()
        && names
            .iter()
            .zip(path)
            .all(|(name, given)| *name == "*" || name == given)
}
