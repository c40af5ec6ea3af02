//! Settings: Patroni's YAML, environment and dynamic configuration, typed, with all faults told at once.
//!
//! Read in this order: `settings` and `sections` (the result), `load` (how it comes about), `keys` (the one
//! table of what may be given), `check` (a document against the table), `document`, `environment` and
//! `layers` (where values come from), `value` (their syntax), `controlled` (what all members agree on).

mod address;
mod check;
mod client;
mod controlled;
mod document;
mod environment;
mod fault;
pub mod keys;
mod layers;
mod load;
mod reader;
mod secret;
mod sections;
mod settings;
pub mod value;

use serde_json::Value;

pub use address::{HostPort, ListenHosts};
pub use client::{ClientSettings, ctl_settings};
pub use controlled::{Controlled, is_controlled};
pub use environment::variables;
pub use fault::{Fault, Faults, Place, Warning};
pub use load::{Loaded, Local, load, of_environment, validate_dynamic};
pub use secret::Secret;
pub use sections::{
    Authentication, Bootstrap, BootstrapUser, Callbacks, Citus, ClientLogin, Cluster, Consistency,
    Consul, ConsulAccess, ConsulTls, Ctl, CustomBootstrap, Discovery, EndpointPort, Etcd, EtcdTls,
    Exhibitor, Kubernetes, LeaderEndpoints, Log, LogFormat, LogType, Login, PermanentSlot,
    Postgresql, ProgramNames, ProgramOption, ReplicaMethod, Restapi, RoleLabel, RoleLists,
    RoleParameters, SafetyMargin, SlotKind, SlotMatcher, StandbyCluster, Store, StoreAddress,
    Timing, VerifyClient, Watchdog, ZooKeeper, ZooKeeperAcl, ZooKeeperTls, is_recovery_setting,
};
pub use settings::{ChangingSettings, FixedSettings, PostgresPlace, Settings};

/// Patches `over` over a document: mappings key by key, all else as a whole; null removes (contract §2.1).
/// This is what PATCH /config and edit-config do.
pub fn patch(document: &mut Value, over: Value) {
    document::patch_value(document, over);
}

/// Reads one YAML value, as `edit-config --set key=value` gives it.
///
/// # Errors
/// Why the text is not YAML, with the line when it is known.
pub fn read_yaml(text: &str) -> Result<Value, String> {
    document::parse(text)
        .map(|parsed| parsed.value)
        .map_err(|error| match error.line {
            Some(line) => format!("line {line}: {}", error.problem),
            None => error.problem,
        })
}
