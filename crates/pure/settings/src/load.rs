//! Loading: from the texts of files, the environment and `/config` to [`Settings`].

use std::collections::BTreeMap;
use std::fmt;

use pgherd_domain::MemberName;
use serde_json::{Map, Value};

use crate::check;
use crate::controlled::is_controlled;
use crate::document::{Document, Places};
use crate::environment;
use crate::layers;
use crate::reader::Reader;
use crate::sections::{
    Bootstrap, Citus, Cluster, Ctl, Log, Postgresql, Restapi, Store, Watchdog, tags,
};
use crate::settings::{ChangingSettings, FixedSettings, PostgresPlace, Settings};
use crate::value;
use crate::{Fault, Faults, Place, Warning};

/// A member's own settings: its files under its environment. Holds passwords, so `Debug` shows no values.
#[derive(Clone)]
pub struct Local {
    document: Document,
    fixed: FixedSettings,
    /// What was told when this was loaded, and need not be told again.
    told: Vec<Warning>,
}

/// What loading gives.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings without the dynamic configuration.
    pub local: Local,
    /// What is odd about them, in the order of the text.
    pub warnings: Vec<Warning>,
}

/// Loads the settings of an agent from its files (name and text, in the order they are patched) and its
/// environment. Without files, the variable `PATRONI_CONFIGURATION` is the file and all other variables are
/// ignored; without that, the environment alone counts (contract §2.1).
///
/// # Errors
/// Every fault there is, each with its place.
pub fn load(files: &[(String, String)], env: &BTreeMap<String, String>) -> Result<Loaded, Faults> {
    let Gathered {
        document,
        mut faults,
        mut warnings,
    } = gather(files, env)?;
    let checked = check::local(&document.values, &document.places);
    faults.extend(checked.faults);
    warnings.extend(checked.warnings);
    warnings.extend(without_effect(&document));

    let merged = layers::merge(&document.values, &Map::new());
    let mut reader = Reader::new(&merged, &document.places);
    let fixed = read_fixed(&mut reader);
    // what is found wrong counts here; the values are read again when the dynamic layer is known
    let _without_dynamic = read_changing(&mut reader);
    faults.append(&mut reader.faults);
    warnings.append(&mut reader.warnings);
    match fixed {
        Some(fixed) if faults.is_empty() => {
            let warnings = in_order(warnings);
            Ok(Loaded {
                local: Local {
                    document,
                    fixed,
                    told: warnings.clone(),
                },
                warnings,
            })
        }
        _ => {
            // a key that is missing may be there, misspelt: both are told together
            faults.extend(warnings.into_iter().filter(is_unknown_key));
            Err(Faults(in_order(faults)))
        }
    }
}

fn is_unknown_key(warning: &Warning) -> bool {
    warning.problem.starts_with("is not a known key")
}

/// Checks a dynamic configuration before it is written to `/config`.
///
/// # Errors
/// Known keys whose values are of the wrong kind. Unknown keys, and values that will be adjusted, are
/// warnings.
pub fn validate_dynamic(dynamic: &Value) -> Result<Vec<Warning>, Faults> {
    let Value::Object(values) = dynamic else {
        let problem = "is no mapping; use a mapping of keys to values".to_owned();
        return Err(Faults(vec![Fault {
            place: Place::Dynamic,
            path: String::new(),
            problem,
        }]));
    };
    let checked = check::dynamic(values);
    if !checked.faults.is_empty() {
        return Err(Faults(checked.faults));
    }
    let mut warnings = checked.warnings;
    let merged = layers::merge(&Map::new(), values);
    let mut places = Places::default();
    places.set_root(Place::Dynamic);
    let mut reader = Reader::new(&merged, &places);
    let _adjusted = Cluster::read(&mut reader);
    warnings.append(&mut reader.warnings);
    let _sorted = Postgresql::read(&mut reader);
    warnings.append(&mut reader.warnings);
    Ok(warnings)
}

impl Local {
    /// Merges the dynamic configuration under these settings. Values in it that do not fit fall to their
    /// default, and are told; so are all adjustments.
    pub fn effective(&self, dynamic: Option<&Value>) -> (Settings, Vec<Warning>) {
        let nothing = Map::new();
        let dynamic = dynamic.and_then(Value::as_object).unwrap_or(&nothing);
        let mut warnings = check::dynamic(dynamic).faults;
        for warning in &mut warnings {
            warning.problem.push_str("; its default is used");
        }
        let places = self.places_with(dynamic);
        let merged = layers::merge(&self.document.values, dynamic);
        let mut reader = Reader::new(&merged, &places);
        let place = PostgresPlace::read(&mut reader);
        let changing = read_changing(&mut reader);
        warnings.extend(
            reader
                .warnings
                .into_iter()
                .filter(|odd| !self.told.contains(odd)),
        );
        (
            Settings {
                fixed: FixedSettings {
                    place,
                    ..self.fixed.clone()
                },
                changing,
            },
            warnings,
        )
    }

    /// The places of both layers.
    fn places_with(&self, dynamic: &Map<String, Value>) -> Places {
        let mut places = self.document.places.clone();
        places.add_dynamic(&[], &self.document.values, dynamic);
        places
    }

    /// This member's name.
    pub fn name(&self) -> &MemberName {
        &self.fixed.name
    }

    /// The log's section: the one that counts before anything else is known.
    pub fn log(&self) -> Log {
        let merged = layers::merge(&self.document.values, &Map::new());
        Log::read(&mut Reader::new(&merged, &self.document.places))
    }

    /// What makes the first `/config` of a new cluster.
    pub fn bootstrap_dynamic(&self) -> &Map<String, Value> {
        &self.fixed.bootstrap.dcs
    }

    /// With the section `citus` of the settings that an agent began with: keys in the DCS and tasks hang on it. `false`: it was
    /// another one.
    #[must_use]
    pub fn in_the_group_of(mut self, began: &Self) -> (Self, bool) {
        let same = self.fixed.citus == began.fixed.citus;
        if !same {
            self.fixed.citus.clone_from(&began.fixed.citus);
            match began.document.values.get("citus") {
                Some(section) => self
                    .document
                    .values
                    .insert("citus".to_owned(), section.clone()),
                None => self.document.values.remove("citus"),
            };
        }
        (self, same)
    }

    /// Whether both say the same, whatever the spelling of scalars and the lines they stand in.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let all = |local: &Self| Value::Object(local.document.values.clone());
        value::same(&all(self), &all(other))
    }

    /// The whole document, passwords included, as `--print` shows it.
    pub fn document(&self) -> &Map<String, Value> {
        &self.document.values
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("fixed", &self.fixed)
            .finish_non_exhaustive()
    }
}

/// What the environment alone says, unchecked, for a file that is to be written.
///
/// # Errors
/// Variables whose values do not fit.
pub fn of_environment(env: &BTreeMap<String, String>) -> Result<Map<String, Value>, Faults> {
    let Gathered {
        document, faults, ..
    } = gather(&[], env)?;
    match faults.is_empty() {
        true => Ok(document.values),
        false => Err(Faults(faults)),
    }
}

/// The local document with what went wrong on the way.
pub(crate) struct Gathered {
    pub(crate) document: Document,
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<Warning>,
}

/// Puts files and environment together.
pub(crate) fn gather(
    files: &[(String, String)],
    env: &BTreeMap<String, String>,
) -> Result<Gathered, Faults> {
    let inline = env
        .get("PATRONI_CONFIGURATION")
        .filter(|text| !text.trim().is_empty());
    let inline: Vec<(String, String)> = match (files, inline) {
        ([], Some(text)) => vec![("PATRONI_CONFIGURATION".to_owned(), text.clone())],
        _ => Vec::new(),
    };
    let (texts, uses_variables) = if inline.is_empty() {
        (files, true)
    } else {
        (inline.as_slice(), false)
    };
    let mut document = Document::default();
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    for (name, text) in texts {
        match Document::read(name, text) {
            Ok((read, odd)) => {
                document.patch(read);
                warnings.extend(odd);
            }
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        // with a file missing, whatever else could be told would be about what it holds
        return Err(Faults(faults));
    }
    if let Some((name, _)) = texts.first() {
        document.places.set_root(Place::File {
            name: name.clone(),
            line: None,
        });
    }
    if uses_variables {
        faults.extend(environment::patch_over(&mut document, env));
    }
    Ok(Gathered {
        document,
        faults,
        warnings,
    })
}

/// Orders by file and line.
pub(crate) fn in_order(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by(|one, other| one.place.cmp(&other.place));
    faults
}

fn read_fixed(reader: &mut Reader<'_>) -> Option<FixedSettings> {
    let name = read_name(reader);
    let scope = reader.given("scope");
    if scope.is_none() && reader.raw("scope").is_none_or(|value| value == "") {
        reader.fault("scope", "is required; give the cluster's name");
    }
    let namespace = namespace(reader);
    let store = Store::read(reader);
    let bootstrap = Bootstrap::read(reader);
    let place = PostgresPlace::read(reader);
    Citus::warn_of_half(reader);
    let citus = Citus::read(reader);
    Some(FixedSettings {
        name: name?,
        scope: scope?,
        namespace,
        store: store?,
        bootstrap,
        place,
        citus,
    })
}

/// The namespace with one slash in front, one behind, and one between names.
pub(crate) fn namespace(reader: &Reader<'_>) -> String {
    let given = reader.text("namespace");
    let names = given.split('/').filter(|name| !name.is_empty());
    names.fold("/".to_owned(), |path, name| path + name + "/")
}

fn read_name(reader: &mut Reader<'_>) -> Option<MemberName> {
    let (path, given) = match (reader.given("name"), reader.given("postgresql.name")) {
        (None, Some(given)) => ("postgresql.name", Some(given)),
        (given, _) => ("name", given),
    };
    match given.map(|name| MemberName::new(&name)) {
        Some(Ok(name)) => Some(name),
        Some(Err(error)) => {
            reader.fault(path, error.to_string());
            None
        }
        None => {
            if !reader.has(path) || reader.raw(path).is_some_and(|value| value == "") {
                reader.fault(path, "is required; give a name that no other member has");
            }
            None
        }
    }
}

fn read_changing(reader: &mut Reader<'_>) -> ChangingSettings {
    let mut postgresql = Postgresql::read(reader);
    if Citus::read(reader).is_some() {
        Citus::force(&mut postgresql);
    }
    ChangingSettings {
        log: Log::read(reader),
        restapi: Restapi::read(reader),
        ctl: Ctl::read(reader),
        postgresql,
        watchdog: Watchdog::read(reader),
        tags: tags::read(reader),
        cluster: Cluster::read(reader),
    }
}

/// Controlled parameters in the local layer, which count in `/config` only.
fn without_effect(document: &Document) -> Vec<Warning> {
    let given = check::get(&document.values, &["postgresql", "parameters"]);
    let names = given
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name);
    names
        .filter(|name| is_controlled(&name.to_ascii_lowercase()))
        .map(|name| {
            let path = ["postgresql", "parameters", name].map(str::to_owned);
            Fault {
                place: document.places.of(&path),
                path: path.join("."),
                problem: "has no effect here: all members must agree on it; set it with \
                          `patronictl edit-config`"
                    .to_owned(),
            }
        })
        .collect()
}
