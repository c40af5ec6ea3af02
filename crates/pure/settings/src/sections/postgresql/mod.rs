//! `postgresql`: this member's server, as far as it can change under the agent (contract §2.4).

mod parameters;
mod read;
mod replica_method;

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;

pub use parameters::is_recovery_setting;
pub use replica_method::ReplicaMethod;
pub(super) use replica_method::named as methods_named;

use super::Authentication;
use crate::{Controlled, HostPort, ListenHosts};

/// PostgreSQL as this member runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Postgresql {
    /// Where the server listens.
    pub listen: ListenHosts,
    /// What others use to reach it.
    pub connect_address: HostPort,
    /// Published as `proxy_url` only.
    pub proxy_address: Option<HostPort>,
    /// The agent's users.
    pub authentication: Authentication,
    /// Parameters by lower-case name, values as text; without the controlled ones and without
    /// recovery settings.
    pub parameters: BTreeMap<String, String>,
    /// Parameters merged over those, by role.
    pub role_parameters: RoleParameters,
    /// What all members must agree on; from `/config` only.
    pub controlled: Controlled,
    /// Recovery settings by lower-case name: `recovery_conf`, and those found in `parameters`.
    pub recovery_conf: BTreeMap<String, String>,
    /// Lines of pg_hba.conf.
    pub pg_hba: RoleLists,
    /// Lines of pg_ident.conf.
    pub pg_ident: RoleLists,
    /// A file included in place of the base configuration.
    pub custom_conf: Option<Utf8PathBuf>,
    /// The agent connects through the unix socket.
    pub use_unix_socket: bool,
    /// And so does its replication connection.
    pub use_unix_socket_repl: bool,
    /// Replication slots for members; from `/config` only.
    pub use_slots: bool,
    /// How long a start may take.
    pub pg_ctl_timeout: Duration,
    /// Rewind a diverged server.
    pub use_pg_rewind: bool,
    /// Options of pg_rewind.
    pub rewind: Vec<ProgramOption>,
    /// Start over when rewinding failed.
    pub remove_data_directory_on_rewind_failure: bool,
    /// Start over when timelines diverged and rewinding is impossible.
    pub remove_data_directory_on_diverged_timelines: bool,
    /// How a replica is made, in the order tried; never empty.
    pub create_replica_methods: Vec<ReplicaMethod>,
    /// Options of pg_basebackup.
    pub basebackup: Vec<ProgramOption>,
    /// Commands run after events.
    pub callbacks: Callbacks,
    /// Command run between taking the lock and promoting.
    pub pre_promote: Option<String>,
    /// Command run before each stop.
    pub before_stop: Option<String>,
    /// How long a callback, `pre_promote` or `before_stop` may run; absent = for ever (`pgherd.hook_timeout`).
    pub hook_timeout: Option<Duration>,
    /// A standby whose WAL is gone is copied anew (`pgherd.copy_when_wal_is_gone`).
    pub copies_when_wal_is_gone: bool,
    /// How many bytes of WAL one slot may keep; absent = without a limit (`pgherd.slot_budget`).
    pub slot_budget: Option<u64>,
}

/// Parameters that hold only in one role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleParameters {
    /// On the primary.
    pub primary: BTreeMap<String, String>,
    /// On a replica.
    pub replica: BTreeMap<String, String>,
    /// On the leader of a standby cluster.
    pub standby_leader: BTreeMap<String, String>,
}

/// Lines of a file, with replacements by role. `None` = the file is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleLists {
    /// In every role without a list of its own.
    pub all: Option<Vec<String>>,
    /// On the primary.
    pub primary: Option<Vec<String>>,
    /// On a replica.
    pub replica: Option<Vec<String>>,
    /// On the leader of a standby cluster.
    pub standby_leader: Option<Vec<String>>,
}

/// An option of a program: `--name` or `--name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramOption {
    /// The option without its dashes.
    pub name: String,
    /// Its value; absent for a flag.
    pub value: Option<String>,
}

impl ProgramOption {
    /// The argument as the program takes it.
    pub fn argument(&self) -> String {
        match &self.value {
            Some(value) => format!("--{}={value}", self.name),
            None => format!("--{}", self.name),
        }
    }
}

/// Commands run after events, to be split as a shell does (contract §9).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Callbacks {
    /// After a start.
    pub on_start: Option<String>,
    /// After a stop.
    pub on_stop: Option<String>,
    /// After a restart.
    pub on_restart: Option<String>,
    /// After a reload.
    pub on_reload: Option<String>,
    /// After a change of role.
    pub on_role_change: Option<String>,
}

/// What the programs of PostgreSQL are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramNames {
    /// `pg_ctl`.
    pub pg_ctl: String,
    /// `initdb`.
    pub initdb: String,
    /// `pg_controldata`.
    pub pg_controldata: String,
    /// `pg_basebackup`.
    pub pg_basebackup: String,
    /// `postgres`.
    pub postgres: String,
    /// `pg_isready`.
    pub pg_isready: String,
    /// `pg_rewind`.
    pub pg_rewind: String,
}

impl Default for ProgramNames {
    fn default() -> Self {
        Self {
            pg_ctl: "pg_ctl".to_owned(),
            initdb: "initdb".to_owned(),
            pg_controldata: "pg_controldata".to_owned(),
            pg_basebackup: "pg_basebackup".to_owned(),
            postgres: "postgres".to_owned(),
            pg_isready: "pg_isready".to_owned(),
            pg_rewind: "pg_rewind".to_owned(),
        }
    }
}

impl Default for Postgresql {
    fn default() -> Self {
        Self {
            listen: ListenHosts::default(),
            connect_address: HostPort {
                host: "localhost".to_owned(),
                port: 5432,
            },
            proxy_address: None,
            authentication: Authentication::default(),
            parameters: BTreeMap::new(),
            role_parameters: RoleParameters::default(),
            controlled: Controlled::default(),
            recovery_conf: BTreeMap::new(),
            pg_hba: RoleLists::default(),
            pg_ident: RoleLists::default(),
            custom_conf: None,
            use_unix_socket: false,
            use_unix_socket_repl: false,
            use_slots: true,
            pg_ctl_timeout: Duration::from_secs(60),
            use_pg_rewind: false,
            rewind: Vec::new(),
            remove_data_directory_on_rewind_failure: false,
            remove_data_directory_on_diverged_timelines: false,
            create_replica_methods: vec![ReplicaMethod::basebackup()],
            basebackup: Vec::new(),
            callbacks: Callbacks::default(),
            pre_promote: None,
            before_stop: None,
            hook_timeout: Some(Duration::from_secs(300)),
            copies_when_wal_is_gone: true,
            slot_budget: None,
        }
    }
}
