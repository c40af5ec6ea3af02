//! Local files and the dynamic configuration.

use std::collections::BTreeMap;

use pgherd_api::{json, yaml};
use pgherd_settings::{Fault, load, patch, read_yaml, validate_dynamic};
use serde_json::{Map, Value};

/// Collections in collections that an editor is shown.
const DEPTH_SHOWN: usize = 20;

/// A local file: it loads, or every fault says where and what.
pub fn local(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let files = [("node.yml".to_owned(), text)];
    match load(&files, &BTreeMap::new()) {
        Ok(loaded) => {
            let (settings, _) = loaded.local.effective(None);
            let timing = &settings.changing.cluster.timing;
            let rule = timing.loop_wait + timing.retry_timeout * 2;
            assert!(rule <= timing.ttl, "{timing:?}");
            assert!(loaded.local.says_the_same_as(&loaded.local));
        }
        Err(faults) => {
            assert!(!faults.0.is_empty(), "refused without a word");
            faults.0.iter().for_each(says_something);
        }
    }
}

/// A document for `/config`, as JSON or YAML: what is taken in force is within its rules, what is refused says why, and
/// what is shown to an editor is read back as it was.
pub fn dynamic(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(document) = serde_json::from_str(&text).or_else(|_| read_yaml(&text)) else {
        return;
    };
    match validate_dynamic(&document) {
        Ok(warnings) => warnings.iter().for_each(says_something),
        Err(faults) => {
            assert!(!faults.0.is_empty(), "refused without a word");
            faults.0.iter().for_each(says_something);
        }
    }
    let mut same = document.clone();
    patch(&mut same, Value::Object(Map::new()));
    if document.is_object() {
        assert_eq!(same, document, "an empty patch changes nothing");
    }
    if depth(&document) < DEPTH_SHOWN {
        let shown = yaml::block(&document);
        let read = read_yaml(&shown);
        assert_eq!(read.as_ref(), Ok(&document), "shown as {shown:?}");
    }
    let spaced = json::spaced(&document);
    let read: Option<Value> = serde_json::from_str(&spaced).ok();
    assert_eq!(read.as_ref(), Some(&document), "{spaced}");
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn says_something(fault: &Fault) {
    let said = fault.to_string();
    assert!(!fault.problem.trim().is_empty() && !said.trim().is_empty());
}
