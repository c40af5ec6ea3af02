//! How a replica is made (contract §8.3).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::reader::Reader;
use crate::{check, value};

/// One way to make a replica (contract §8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaMethod {
    /// `basebackup`, or the name of a section of `postgresql`.
    pub name: String,
    /// The command, to be split as a shell does; the name when the section gives none.
    pub command: String,
    /// Works without a member to copy from.
    pub no_leader: bool,
    /// Do not empty the data directory first or after a failure.
    pub keep_data: bool,
    /// Add no arguments at all.
    pub no_params: bool,
    /// Arguments `--key=value` from the section; the flags are among them unless `no_params`.
    pub params: BTreeMap<String, String>,
}

impl ReplicaMethod {
    /// The method that needs no section.
    pub fn basebackup() -> Self {
        Self {
            name: "basebackup".to_owned(),
            command: "basebackup".to_owned(),
            no_leader: false,
            keep_data: false,
            no_params: false,
            params: BTreeMap::new(),
        }
    }
}

/// What a section says about the method and not to its command.
const FLAGS: [&str; 4] = ["keep_data", "no_params", "no_leader", "no_master"];

/// Reads the methods in the order tried: those of the first of both names that has any, else basebackup.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<ReplicaMethod> {
    let given = |path: &str| reader.raw(path).and_then(check::list).unwrap_or_default();
    let names = [
        "postgresql.create_replica_methods",
        "postgresql.create_replica_method",
    ];
    let names = names.map(given);
    let names = names.into_iter().find(|names| !names.is_empty());
    let mut methods = named(reader, names.unwrap_or_default());
    if methods.is_empty() {
        methods.push(ReplicaMethod::basebackup());
    }
    methods
}

/// The methods of these names, each from its section of `postgresql`.
pub(in crate::sections) fn named(
    reader: &mut Reader<'_>,
    names: Vec<String>,
) -> Vec<ReplicaMethod> {
    let mut methods = Vec::new();
    for name in names {
        if name == "basebackup" {
            methods.push(ReplicaMethod::basebackup());
            continue;
        }
        let path = format!("postgresql.{name}");
        match reader.raw(&path) {
            Some(Value::Object(section)) => methods.push(ReplicaMethod::read(name, section)),
            None => methods.push(ReplicaMethod::read(name, &Map::new())),
            Some(_) => {
                let problem = "is a replica method; use a mapping with its `command`";
                reader.fault(&path, problem);
            }
        }
    }
    methods
}

impl ReplicaMethod {
    /// Reads the method of a section. Without a command the method's name is the command.
    fn read(name: String, section: &Map<String, Value>) -> Self {
        let flag = |name: &str| section.get(name).and_then(value::flag).unwrap_or(false);
        let no_params = flag("no_params");
        let is_argument = |key: &str| key != "command" && !(no_params && FLAGS.contains(&key));
        let params = section.iter().filter(|(key, _)| is_argument(key));
        Self {
            command: section
                .get("command")
                .and_then(value::scalar)
                .unwrap_or(name.clone()),
            no_leader: flag("no_leader") || flag("no_master"),
            keep_data: flag("keep_data"),
            no_params,
            params: params
                .filter_map(|(key, value)| Some((key.clone(), value::argument(value)?)))
                .collect(),
            name,
        }
    }
}
