//! `bootstrap`: how a new cluster is made (contract §8.2).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::ProgramOption;
use crate::Secret;

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
