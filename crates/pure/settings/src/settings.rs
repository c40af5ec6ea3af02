//! The typed result: what stays until the agent restarts, and what may change under it (contract §2.7).

use camino::Utf8PathBuf;
use pgherd_domain::{MemberName, Tags};

use crate::sections::{
    Bootstrap, Citus, Cluster, Ctl, Log, Postgresql, ProgramNames, Restapi, Store, Watchdog,
};

/// Everything that is set, after merging all layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Read once: a changed file has no effect on these before the agent restarts.
    pub fixed: FixedSettings,
    /// Read again at each reload and each change of `/config`.
    pub changing: ChangingSettings,
}

/// What stays until the agent restarts.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedSettings {
    /// This member's name, unique in the cluster.
    pub name: MemberName,
    /// The cluster's name, also PostgreSQL's `cluster_name`.
    pub scope: String,
    /// Prefix of the keys in the DCS, with one slash in front and one behind, such as `/service/`.
    pub namespace: String,
    /// The DCS.
    pub store: Store,
    /// How a new cluster is made.
    pub bootstrap: Bootstrap,
    /// Where PostgreSQL and its files are.
    pub place: PostgresPlace,
    /// The group of a Citus cluster that this is, where it is one.
    pub citus: Option<Citus>,
}

/// Where PostgreSQL and its files are (contract §2.4, "postgresql").
#[derive(Debug, Clone, PartialEq)]
pub struct PostgresPlace {
    /// The data directory.
    pub data_dir: Utf8PathBuf,
    /// Where postgresql.conf lives; the data directory unless set.
    pub config_dir: Utf8PathBuf,
    /// File name without `.conf`; `postgresql` unless set.
    pub config_base_name: String,
    /// Where the programs are; found through PATH when absent.
    pub bin_dir: Option<Utf8PathBuf>,
    /// What the programs are called.
    pub bin_name: ProgramNames,
    /// The password file that the agent writes for libpq; absent means `~/pgpass`.
    pub pgpass: Option<Utf8PathBuf>,
    /// The database the agent connects to; `postgres` unless set.
    pub database: String,
    /// Kerberos service name, exported as PGKRBSRVNAME.
    pub krbsrvname: Option<String>,
}

impl PostgresPlace {
    /// The path of a program: `bin_dir/name`, or the bare name for a search through PATH.
    pub fn program(&self, name: &str) -> Utf8PathBuf {
        match &self.bin_dir {
            Some(dir) => dir.join(name),
            None => Utf8PathBuf::from(name),
        }
    }
}

/// What may change under the agent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangingSettings {
    /// The agent's own log.
    pub log: Log,
    /// The REST API.
    pub restapi: Restapi,
    /// The client side of the REST API.
    pub ctl: Ctl,
    /// PostgreSQL as this member runs it.
    pub postgresql: Postgresql,
    /// The watchdog device.
    pub watchdog: Watchdog,
    /// What the operator says about this member.
    pub tags: Tags,
    /// What holds for the whole cluster, from `/config` only.
    pub cluster: Cluster,
}
