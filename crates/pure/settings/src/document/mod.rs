//! A settings document: its values, and where each of them was given.

mod patch;
mod scalar;
mod yaml;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub(crate) use patch::{patch, patch_value};
pub(crate) use yaml::parse;

use crate::{Fault, Place};

/// The way to a key: the names from the top, list positions as numbers.
pub(crate) type Path = Vec<String>;

/// Values and their places. Later documents are patched over earlier ones.
#[derive(Clone, PartialEq, Default)]
pub(crate) struct Document {
    /// The values.
    pub(crate) values: Map<String, Value>,
    /// Where each key was given.
    pub(crate) places: Places,
}

/// Where each key was given.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Places(BTreeMap<Path, Place>);

impl Document {
    /// Reads the text of one file.
    ///
    /// # Errors
    /// When it is not YAML or not a mapping. Keys given twice are warnings.
    pub(crate) fn read(name: &str, text: &str) -> Result<(Self, Vec<Fault>), Fault> {
        let place = |line| Place::File {
            name: name.to_owned(),
            line,
        };
        let fault = |line, problem| Fault {
            place: place(line),
            path: String::new(),
            problem,
        };
        let parsed = parse(text).map_err(|error| fault(error.line, error.problem))?;
        let values = match parsed.value {
            Value::Object(values) => values,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                return Err(fault(None, "holds no mapping of keys to values".to_owned()));
            }
        };
        let lines = parsed
            .lines
            .into_iter()
            .map(|(path, line)| (path, place(Some(line))));
        let places = Places(lines.collect());
        let twice = parsed.twice.into_iter().map(|(path, line)| Fault {
            place: place(Some(line)),
            path: path.join("."),
            problem: "is given a second time; this one counts".to_owned(),
        });
        Ok((Self { values, places }, twice.collect()))
    }

    /// Patches `over` over this document: mappings key by key, all else as a whole; null removes.
    pub(crate) fn patch(&mut self, over: Self) {
        patch(&mut self.values, over.values);
        self.places.0.extend(over.places.0);
    }

    /// Patches one value in, at `path`, as given by an environment variable.
    pub(crate) fn patch_at(&mut self, path: &[&str], value: Value, variable: &str) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let mut value = value;
        for name in rest.iter().rev() {
            value = Value::Object(Map::from_iter([((*name).to_owned(), value)]));
        }
        patch(
            &mut self.values,
            Map::from_iter([((*first).to_owned(), value)]),
        );
        let path = path.iter().map(|name| (*name).to_owned()).collect();
        self.places
            .0
            .insert(path, Place::Environment(variable.to_owned()));
    }
}

impl Places {
    /// The place of a key, else of the nearest section around it.
    pub(crate) fn of(&self, path: &[String]) -> Place {
        (0..=path.len())
            .rev()
            .find_map(|length| self.0.get(path.get(..length)?))
            .cloned()
            .unwrap_or(Place::Nowhere)
    }

    /// Notes the place of a key.
    pub(crate) fn set(&mut self, path: Path, place: Place) {
        self.0.insert(path, place);
    }

    /// What only `dynamic` has stands in `/config`; mappings that `own` has as well are looked into.
    pub(crate) fn add_dynamic(
        &mut self,
        path: &[String],
        own: &Map<String, Value>,
        dynamic: &Map<String, Value>,
    ) {
        for (name, value) in dynamic {
            let path = [path, std::slice::from_ref(name)].concat();
            match (own.get(name), value) {
                (None, _) => self.set(path, Place::Dynamic),
                (Some(Value::Object(own)), Value::Object(inner)) => {
                    self.add_dynamic(&path, own, inner);
                }
                (Some(_), _) => {}
            }
        }
    }

    /// Says what a key without any place of its own belongs to.
    pub(crate) fn set_root(&mut self, place: Place) {
        self.0.insert(Path::new(), place);
    }
}
