//! A member whose settings say one thing more than the smallest ones.

use std::collections::BTreeMap;

use pgherd_settings::keys::{self, Key, Kind, Origin, Scope};
use pgherd_settings::{Fault, Faults, Local, Settings, load, patch, read_yaml};
use serde_json::{Value, json};

use crate::samples::{context, path_of};
use crate::support::GOOD;

/// What a member has to go by.
pub(crate) struct World {
    /// The good file with what the key needs, as one text.
    file: String,
    /// A second file, with the key.
    more: Option<String>,
    environment: BTreeMap<String, String>,
    pub(crate) dynamic: Value,
}

/// Settings without faults, and what is told about them.
pub(crate) struct Told {
    pub(crate) local: Local,
    pub(crate) settings: Settings,
    pub(crate) warnings: Vec<Fault>,
}

impl World {
    /// Without the key at this path.
    pub(crate) fn of(path: &str) -> Self {
        let (more, dynamic) = context(path);
        let mut file = read_yaml(GOOD).unwrap();
        patch(&mut file, more);
        Self {
            file: file.to_string(),
            more: None,
            environment: BTreeMap::new(),
            dynamic,
        }
    }

    pub(crate) fn with_file(mut self, path: &str, value: &Value) -> Self {
        self.more = Some(block(path, value));
        self
    }

    pub(crate) fn with_dynamic(mut self, path: &str, value: &Value) -> Self {
        patch(&mut self.dynamic, only(path, value.clone()));
        self
    }

    pub(crate) fn with_variable(mut self, name: &str, text: &str) -> Self {
        self.environment.insert(name.to_owned(), text.to_owned());
        self
    }

    pub(crate) fn load(&self) -> Result<Told, Faults> {
        let mut files = vec![("node.yml".to_owned(), self.file.clone())];
        files.extend(
            self.more
                .iter()
                .map(|more| ("more.yml".to_owned(), more.clone())),
        );
        let loaded = load(&files, &self.environment)?;
        let (settings, more) = loaded.local.effective(Some(&self.dynamic));
        let mut warnings = loaded.warnings;
        warnings.extend(more);
        Ok(Told {
            local: loaded.local,
            settings,
            warnings,
        })
    }

    pub(crate) fn good(&self) -> Told {
        match self.load() {
            Ok(told) => told,
            Err(faults) => panic!("{:?} {}: {faults}", self.more, self.dynamic),
        }
    }
}

/// A document with one key, each name on a line of its own.
pub(crate) fn block(path: &str, value: &Value) -> String {
    let names: Vec<&str> = path.split('.').collect();
    let mut text = String::new();
    for (depth, name) in names.iter().enumerate() {
        let separator = if depth == 0 { "" } else { "\n" };
        text.push_str(&format!("{separator}{}{name}:", "  ".repeat(depth)));
    }
    format!("{text} {value}\n")
}

/// A document with one key.
pub(crate) fn only(path: &str, value: Value) -> Value {
    path.rsplit('.')
        .fold(value, |inner, name| json!({name: inner}))
}

/// All keys but those of stores that are not spoken to.
pub(crate) fn rows() -> impl Iterator<Item = (&'static Key, String)> {
    let other_store = |key: &Key| key.kind == Kind::Any && key.origin == Origin::Accepted;
    keys::all()
        .filter(move |key| !other_store(key))
        .map(|key| (key, path_of(key)))
}

/// The path of the outermost section with this scope: the one that is told to have no effect.
pub(crate) fn outermost(path: &str, scope: Scope) -> String {
    let ends = path.match_indices('.').map(|(at, _)| at);
    let mut heads = ends.chain([path.len()]).map(|end| &path[..end]);
    let of_scope = |head: &&str| keys::all().any(|key| key.path == *head && key.scope == scope);
    heads.find(of_scope).unwrap_or(path).to_owned()
}

pub(crate) fn assert_nothing_new_is_told(told: &Told, before: &Told, path: &str) {
    for warning in &told.warnings {
        // the section may stand in another file now
        let same = |odd: &Fault| (&odd.path, &odd.problem) == (&warning.path, &warning.problem);
        assert!(before.warnings.iter().any(same), "{path}: {warning}");
    }
}
