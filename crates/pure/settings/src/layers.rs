//! Merges a member's own document over the dynamic configuration (contract §2.1).

use serde_json::{Map, Value, json};

use crate::controlled::is_controlled;
use crate::keys::{self, Scope};
use crate::{check, value};

/// The merged document: each key from the layers in which it has an effect, the local one first.
pub(crate) fn merge(
    local: &Map<String, Value>,
    dynamic: &Map<String, Value>,
) -> Map<String, Value> {
    let has_effect = |scope: Scope, path: &[&str]| {
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        // what the table does not know is a method's section, which may stand in both
        keys::find(&path).is_none_or(|key| key.scope == Scope::Both || key.scope == scope)
    };
    let mut merged = Map::new();
    let mut pgherd = Map::new();
    for (layer, scope) in [(dynamic, Scope::Dynamic), (local, Scope::Local)] {
        for (name, value) in layer {
            match (name.as_str(), value) {
                _ if value.is_null() || !has_effect(scope, &[name]) => {}
                ("postgresql", _) => {}
                ("pgherd", Value::Object(ours)) => {
                    let ours = ours
                        .iter()
                        .filter(|(key, _)| has_effect(scope, &[name, key]));
                    pgherd.extend(ours.map(|(key, value)| (key.clone(), value.clone())));
                }
                _ => {
                    merged.insert(name.clone(), value.clone());
                }
            }
        }
    }
    let mut postgresql = Map::new();
    for (layer, scope) in [(dynamic, Scope::Dynamic), (local, Scope::Local)] {
        for (name, value) in layer
            .get("postgresql")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if !has_effect(scope, &["postgresql", name]) || value.is_null() {
                continue;
            }
            match (name.as_str(), value) {
                ("parameters", Value::Object(given)) => {
                    parameters(&mut postgresql, given, scope);
                }
                _ => {
                    postgresql.insert(name.clone(), value.clone());
                }
            }
        }
    }
    merged.insert("postgresql".to_owned(), Value::Object(postgresql));
    // either layer is enough: a member's own file is read before there is a dynamic layer
    let allows = |layer: &Map<String, Value>| {
        check::get(layer, &["pgherd", "allow_short_ttl"]).and_then(value::flag) == Some(true)
    };
    if allows(dynamic) || allows(local) {
        pgherd.insert("allow_short_ttl".to_owned(), json!(true));
    }
    if !pgherd.is_empty() {
        merged.insert("pgherd".to_owned(), Value::Object(pgherd));
    }
    merged
}

/// Merges parameters name by name, in lower case. What all members must agree on counts from the dynamic
/// layer only.
fn parameters(postgresql: &mut Map<String, Value>, given: &Map<String, Value>, scope: Scope) {
    let merged = postgresql
        .entry("parameters")
        .or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(merged) = merged else {
        return;
    };
    for (name, value) in given {
        let name = name.to_ascii_lowercase();
        let without_effect = scope == Scope::Local && is_controlled(&name);
        if !without_effect && !value.is_null() {
            merged.insert(name, value.clone());
        }
    }
}
