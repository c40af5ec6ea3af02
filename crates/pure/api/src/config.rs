//! Changes to the dynamic configuration: the assignments of `edit-config -s` (contract §18.2).

use serde_json::{Map, Value};

/// An assignment that can not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid parameter setting {0}")]
pub struct NotAnAssignment(pub String);

/// Splits `a.b.c=text` into its path and text. The name of a PostgreSQL parameter keeps its dots.
///
/// # Errors
/// When there is no `=`, or nothing before it.
pub fn assignment(text: &str) -> Result<(Vec<String>, &str), NotAnAssignment> {
    let wrong = || NotAnAssignment(text.to_owned());
    let (path, value) = text.split_once('=').ok_or_else(wrong)?;
    let path = path.trim();
    let parts: Vec<String> = match path.strip_prefix("postgresql.parameters.") {
        Some(name) => ["postgresql", "parameters", name].map(str::to_owned).into(),
        None => path.split('.').map(str::to_owned).collect(),
    };
    if parts.iter().any(String::is_empty) {
        return Err(wrong());
    }
    Ok((parts, value.trim()))
}

/// Sets `value` at `path`; null deletes it, and mappings that are empty then go with it.
///
/// # Errors
/// When something that is no mapping stands in the way.
pub fn set(
    config: &mut Map<String, Value>,
    path: &[String],
    value: Value,
) -> Result<(), NotAnAssignment> {
    let Some((name, below)) = path.split_first() else {
        return Ok(());
    };
    if below.is_empty() {
        if value.is_null() {
            config.shift_remove(name);
        } else {
            config.insert(name.clone(), value);
        }
        return Ok(());
    }
    if value.is_null() && !config.contains_key(name) {
        return Ok(());
    }
    let section = config
        .entry(name.clone())
        .or_insert_with(|| Map::new().into());
    let wrong = || NotAnAssignment(path.join("."));
    let section = section.as_object_mut().ok_or_else(wrong)?;
    set(section, below, value)?;
    if section.is_empty() {
        config.shift_remove(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else {
            panic!("{value}")
        };
        map
    }

    #[test]
    fn an_assignment_is_a_dotted_path_and_parameters_keep_their_dots() {
        assert_eq!(
            assignment("ttl=40").unwrap(),
            (vec!["ttl".to_owned()], "40")
        );
        let (path, value) =
            assignment("postgresql.parameters.pg_stat_statements.max = 9=9").unwrap();
        assert_eq!(path, ["postgresql", "parameters", "pg_stat_statements.max"]);
        assert_eq!(value, "9=9");
        for text in ["ttl", "=1", "a..b=1"] {
            let error = assignment(text).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("Invalid parameter setting {text}")
            );
        }
    }

    #[test]
    fn setting_makes_sections_and_deleting_prunes_empty_ones() {
        let mut config = map(json!({"a": {"b": {"c": 1}}, "x": 1}));
        set(&mut config, &assignment("d.e=1").unwrap().0, json!(1)).unwrap();
        set(
            &mut config,
            &assignment("a.b.c=null").unwrap().0,
            Value::Null,
        )
        .unwrap();
        set(&mut config, &assignment("q.r=null").unwrap().0, Value::Null).unwrap();
        assert_eq!(
            Value::Object(config.clone()),
            json!({"x": 1, "d": {"e": 1}})
        );
        assert!(set(&mut config, &assignment("x.y=1").unwrap().0, json!(1)).is_err());
    }
}
