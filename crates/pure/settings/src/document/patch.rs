//! Patching one document over another (contract §2.1).

use serde_json::{Map, Value};

/// Patches `over` over `base`: mappings key by key, all else as a whole; null removes the key.
pub(crate) fn patch(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        if value.is_null() {
            base.shift_remove(&name);
        } else {
            patch_value(base.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Patches one value over another; neither is null unless it stands in a list.
pub(crate) fn patch_value(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => patch(base, over),
        (base, Value::Object(over)) => {
            let mut fresh = Map::new();
            patch(&mut fresh, over);
            *base = Value::Object(fresh);
        }
        (
            base,
            over @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)),
        ) => *base = over,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mappings_merge_lists_replace_and_null_removes() {
        let mut base = json!({"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": 2});
        let over = json!({"a": {"y": [3], "z": {"q": null, "r": 1}}, "b": null, "d": {"e": null}});
        patch_value(&mut base, over);
        assert_eq!(
            base,
            json!({"a": {"x": 1, "y": [3], "z": {"r": 1}}, "c": 2, "d": {}})
        );
    }
}
