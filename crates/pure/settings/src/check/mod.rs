//! Checks a document against the table of keys: values of the wrong kind, keys that do not exist, keys that
//! have no effect in their layer.

mod kind;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub(crate) use kind::{fits, lines, list, options};

use crate::document::{Path, Places};
use crate::keys::{self, Key, Kind, Scope, Similar};
use crate::{Fault, Place, Warning, controlled, value};

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Values of the wrong kind.
    pub(crate) faults: Vec<Fault>,
    /// Keys that do not exist or have no effect.
    pub(crate) warnings: Vec<Warning>,
}

/// Checks a member's own document, with `bootstrap.dcs` inside it.
pub(crate) fn local(values: &Map<String, Value>, places: &Places) -> Checked {
    let mut walk = Walk::new(Scope::Local, values, places, &[]);
    walk.section(values, &mut Path::new());
    let mut checked = walk.found;
    let at_dcs = ["bootstrap".to_owned(), "dcs".to_owned()];
    if let Some(dcs) = get(values, &["bootstrap", "dcs"]).and_then(Value::as_object) {
        let mut walk = Walk::new(Scope::Dynamic, dcs, places, &at_dcs);
        walk.section(dcs, &mut Path::new());
        checked.faults.extend(walk.found.faults);
        checked.warnings.extend(walk.found.warnings);
    }
    checked
}

/// Checks a dynamic configuration.
pub(crate) fn dynamic(values: &Map<String, Value>) -> Checked {
    let mut places = Places::default();
    places.set_root(Place::Dynamic);
    let mut walk = Walk::new(Scope::Dynamic, values, &places, &[]);
    walk.section(values, &mut Path::new());
    walk.found
}

/// The value at a path.
pub(crate) fn get<'a>(values: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = rest
        .iter()
        .try_fold(values.get(*first)?, |value, name| value.get(name))?;
    (!value.is_null()).then_some(value)
}

struct Walk<'a> {
    scope: Scope,
    places: &'a Places,
    /// What stands before the document's own paths.
    prefix: &'a [String],
    /// Sections that exist because a method bears their name.
    methods: BTreeSet<Path>,
    found: Checked,
}

impl<'a> Walk<'a> {
    fn new(
        scope: Scope,
        values: &Map<String, Value>,
        places: &'a Places,
        prefix: &'a [String],
    ) -> Self {
        Self {
            scope,
            places,
            prefix,
            methods: methods(values),
            found: Checked::default(),
        }
    }

    fn section(&mut self, section: &Map<String, Value>, path: &mut Path) {
        for (name, value) in section {
            path.push(name.clone());
            match keys::find(path) {
                Some(key) => self.known(key, value, path),
                None if self.methods.contains(path) => {}
                None => self.unknown(value, path),
            }
            path.pop();
        }
    }

    fn known(&mut self, key: &Key, value: &Value, path: &mut Path) {
        match (key.scope, self.scope) {
            (Scope::Dynamic, Scope::Local) => {
                let problem = "has no effect here, only in the DCS; set it with `patronictl \
                               edit-config`, for a new cluster under `bootstrap.dcs`";
                self.warn(path, problem.to_owned());
                return;
            }
            (Scope::Local, Scope::Dynamic) => {
                let problem = "has no effect here; it belongs into each member's own file";
                self.warn(path, problem.to_owned());
                return;
            }
            _ => {}
        }
        match (key.kind, value) {
            (Kind::Section, Value::Object(section)) => self.section(section, path),
            (Kind::Texts, Value::Object(entries)) => self.texts(entries, path),
            (kind, value) => self.value(kind, value, path),
        }
    }

    fn value(&mut self, kind: Kind, value: &Value, path: &[String]) {
        if let Err(problem) = fits(kind, value) {
            let fault = self.fault(path, problem);
            self.found.faults.push(fault);
        }
    }

    /// Each entry by itself, so that one which does not fit is told by its name.
    fn texts(&mut self, entries: &Map<String, Value>, path: &mut Path) {
        let parameters = path
            .iter()
            .map(String::as_str)
            .eq(["postgresql", "parameters"]);
        for (name, value) in entries {
            // what counts from `/config` only need not fit anywhere else
            let range = (parameters && self.scope == Scope::Dynamic)
                .then(|| controlled::range_of(&name.to_ascii_lowercase()))
                .flatten();
            let kind = range.map_or(Kind::Text, |(min, max)| Kind::Whole(min, max));
            path.push(name.clone());
            self.value(kind, value, path);
            path.pop();
        }
    }

    fn unknown(&mut self, value: &Value, path: &[String]) {
        let problem = match keys::similar_to(path, self.scope) {
            Some(Similar::Sibling(name)) => {
                format!("is not a known key; did you mean `{name}`?")
            }
            Some(Similar::Elsewhere(meant)) => {
                let prefix = self.prefix.iter().map(|name| format!("{name}."));
                let prefix: String = prefix.collect();
                format!("is not a known key; did you mean `{prefix}{meant}`?")
            }
            // may be the section of a method that the other layer names
            None if value.is_object() && path.first().is_some_and(|top| top == "postgresql") => {
                return;
            }
            None => "is not a known key and has no effect".to_owned(),
        };
        self.warn(path, problem);
    }

    fn warn(&mut self, path: &[String], problem: String) {
        let warning = self.fault(path, problem);
        self.found.warnings.push(warning);
    }

    fn fault(&self, path: &[String], problem: String) -> Fault {
        let full: Path = self.prefix.iter().chain(path).cloned().collect();
        Fault {
            place: self.places.of(&full),
            path: full.join("."),
            problem,
        }
    }
}

/// Sections whose name is given by a method: `postgresql.NAME` and `bootstrap.NAME`.
fn methods(values: &Map<String, Value>) -> BTreeSet<Path> {
    let mut sections = BTreeSet::new();
    for lists in ["create_replica_methods", "create_replica_method"] {
        for holder in [&["postgresql", lists][..], &["standby_cluster", lists]] {
            for name in get(values, holder).and_then(list).unwrap_or_default() {
                sections.insert(vec!["postgresql".to_owned(), name]);
            }
        }
    }
    if let Some(name) = get(values, &["bootstrap", "method"]).and_then(value::scalar) {
        sections.insert(vec!["bootstrap".to_owned(), name]);
    }
    sections
}
