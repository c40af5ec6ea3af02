//! What a fault must say.

use pgherd_settings::keys::{Key, Kind};
use pgherd_settings::{Fault, Faults, Place};
use serde_json::Value;

use crate::world::World;

pub(crate) fn assert_one_fault(key: &Key, path: &str, value: &Value, world: &World, file: &str) {
    let Err(Faults(faults)) = world.load() else {
        panic!("{path}: {value} is taken")
    };
    let inside = format!("{path}.");
    let about = |fault: &&Fault| fault.path == path || fault.path.starts_with(&inside);
    let about: Vec<&Fault> = faults
        .iter()
        .filter(about)
        .filter(|fault| fault.problem.contains("; use "))
        .collect();
    let [fault] = about.as_slice() else {
        panic!("{path}: {value}: {faults:?}")
    };
    let place = Place::File {
        name: file.to_owned(),
        line: u64::try_from(path.split('.').count()).ok(),
    };
    assert_eq!(fault.place, place, "{path}: {value}");
    assert!(says(key, value, &fault.problem), "{fault}");
}

/// Whether a message shows the value, where it is one and no secret, and the limits that there are.
pub(crate) fn says(key: &Key, value: &Value, problem: &str) -> bool {
    let shows = match value {
        _ if matches!(key.kind, Kind::Secret | Kind::Section | Kind::Mapping) => {
            !problem.contains(&value.to_string())
        }
        Value::String(text) => problem.contains(&format!("`{text}`")),
        Value::Array(_) | Value::Object(_) => problem.starts_with("is ") || problem.contains('`'),
        other => problem.contains(&format!("`{other}`")),
    };
    let allowed = match key.kind {
        Kind::Whole(i64::MIN, _) => true,
        Kind::Whole(min, max) => {
            let numbers = [min, max].map(|number| number.to_string());
            numbers.iter().all(|number| problem.contains(number))
        }
        Kind::Bytes(min) | Kind::Seconds(min) | Kind::SecondsOrNever(min) => {
            problem.contains(&format!(" {min}"))
        }
        Kind::Choice(words) => words.iter().all(|word| problem.contains(word)),
        _ => problem.contains("; use "),
    };
    shows && allowed
}
