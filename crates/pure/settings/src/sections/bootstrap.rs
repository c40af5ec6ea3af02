//! `bootstrap`: how a new cluster is made (contract §8.2).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Citus, ProgramOption};
use crate::reader::{Reader, texts};
use crate::{Secret, check, value};

/// How a new cluster is made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bootstrap {
    /// The first dynamic configuration, written to `/config` once.
    pub dcs: Map<String, Value>,
    /// Whether the file has the section at all: only such a member makes a cluster.
    pub configured: bool,
    /// Options of initdb, in order.
    pub initdb: Vec<ProgramOption>,
    /// The method other than initdb, when one is named.
    pub custom: Option<CustomBootstrap>,
    /// Lines appended to pg_hba.conf after initdb.
    pub pg_hba: Vec<String>,
    /// Roles made once, by name (Patroni dropped these in 4.0).
    pub users: BTreeMap<String, BootstrapUser>,
    /// Command run at the end, with a conninfo as its argument (`post_bootstrap`, else `post_init`).
    pub post_bootstrap: Option<String>,
}

/// A role made at bootstrap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootstrapUser {
    /// Its password.
    pub password: Option<Secret>,
    /// Options of CREATE ROLE, such as `createdb`.
    pub options: Vec<String>,
}

/// A custom bootstrap method: a command that fills the data directory.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomBootstrap {
    /// The method's name.
    pub name: String,
    /// The command, to be split as a shell does.
    pub command: String,
    /// Add no arguments at all.
    pub no_params: bool,
    /// Leave signal files and recovery settings alone.
    pub keep_existing_recovery_conf: bool,
    /// Recovery settings written before the first start.
    pub recovery_conf: BTreeMap<String, String>,
    /// Further arguments `--key=value`.
    pub params: BTreeMap<String, String>,
}

/// Keys of a method's section that are not arguments of its command.
const RESERVED: [&str; 6] = [
    "command",
    "no_params",
    "keep_existing_recovery_conf",
    "recovery_conf",
    "scope",
    "datadir",
];

impl Bootstrap {
    /// Reads section `bootstrap`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let configured = reader.has("bootstrap");
        if configured && !reader.has("bootstrap.dcs") {
            let problem = "is missing; without it a new cluster starts with every default";
            reader.warn("bootstrap.dcs", problem);
        }
        let users = reader.mapping("bootstrap.users").into_iter().flatten();
        let mut dcs = reader.mapping("bootstrap.dcs").cloned().unwrap_or_default();
        if configured && Citus::read(reader).is_some() {
            // A group that loses acknowledged rows would not fit the others any more.
            dcs.entry("synchronous_mode")
                .or_insert_with(|| "quorum".into());
        }
        Self {
            dcs,
            configured,
            initdb: reader.options("bootstrap.initdb"),
            custom: custom(reader),
            pg_hba: reader.lines("bootstrap.pg_hba").unwrap_or_default(),
            users: users
                .map(|(name, user)| (name.clone(), BootstrapUser::read(user)))
                .collect(),
            post_bootstrap: reader
                .given("bootstrap.post_bootstrap")
                .or_else(|| reader.given("bootstrap.post_init")),
        }
    }
}

impl BootstrapUser {
    fn read(user: &Value) -> Self {
        Self {
            password: user
                .get("password")
                .and_then(value::scalar)
                .map(Secret::new),
            options: user
                .get("options")
                .and_then(check::list)
                .unwrap_or_default(),
        }
    }
}

fn custom(reader: &mut Reader<'_>) -> Option<CustomBootstrap> {
    let name = reader
        .given("bootstrap.method")
        .filter(|name| name != "initdb")?;
    let path = format!("bootstrap.{name}");
    let section = reader.mapping(&path);
    let command = section
        .and_then(|section| section.get("command"))
        .and_then(value::scalar);
    let (Some(section), Some(command)) = (section, command) else {
        let problem = format!("names `{name}`; add a section `{path}` with a `command`");
        reader.fault("bootstrap.method", problem);
        return None;
    };
    let flag = |name: &str| section.get(name).and_then(value::flag).unwrap_or(false);
    let params = section
        .iter()
        .filter(|(key, _)| !RESERVED.contains(&key.as_str()));
    Some(CustomBootstrap {
        command,
        no_params: flag("no_params"),
        keep_existing_recovery_conf: flag("keep_existing_recovery_conf"),
        recovery_conf: section.get("recovery_conf").map(texts).unwrap_or_default(),
        params: params
            .filter_map(|(key, value)| Some((key.clone(), value::argument(value)?)))
            .collect(),
        name,
    })
}
