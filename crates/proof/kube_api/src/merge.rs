//! Patches, as far as the kinds here take them: maps are merged, null takes away, everything else is replaced. That is a
//! strategic merge for annotations, labels and subsets, none of which has lists with keys.

use serde_json::Value;

/// Patches `patch` over `target`.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(map) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        match value {
            Value::Null => {
                map.remove(key);
            }
            _ => merge(map.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_are_merged_null_takes_away_and_lists_are_replaced() {
        let mut target = json!({"metadata": {"annotations": {"a": "1", "b": "2"}}, "subsets": [1]});
        let patch = json!({"metadata": {"annotations": {"a": null, "c": "3"}, "labels": {"d": null}}, "subsets": [2]});
        merge(&mut target, &patch);
        let expected = json!({"metadata": {"annotations": {"b": "2", "c": "3"}, "labels": {}}, "subsets": [2]});
        assert_eq!(target, expected);
    }
}
