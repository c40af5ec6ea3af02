//! One file per section of the YAML: its plain struct, and how it is read from the merged document.

mod bootstrap;
mod citus;
mod cluster;
mod consul;
mod delay;
mod etcd;
mod kubernetes;
mod log;
mod login;
mod postgresql;
mod restapi;
mod slots;
mod standby_cluster;
mod store;
pub(crate) mod tags;
mod timing;
mod watchdog;
mod zookeeper;

pub use bootstrap::{Bootstrap, BootstrapUser, CustomBootstrap};
pub use citus::Citus;
pub use cluster::Cluster;
pub use consul::{Consistency, Consul, ConsulAccess, ConsulTls};
pub(crate) use etcd::Endpoint;
pub use etcd::{Discovery, Etcd, EtcdTls};
pub use kubernetes::{EndpointPort, Kubernetes, LeaderEndpoints, RoleLabel};
pub use log::{Log, LogFormat, LogType};
pub use login::{Authentication, Login};
pub use postgresql::{
    Callbacks, Postgresql, ProgramNames, ProgramOption, ReplicaMethod, RoleLists, RoleParameters,
    is_recovery_setting,
};
pub use restapi::{ClientLogin, Ctl, Restapi, VerifyClient};
pub use slots::{PermanentSlot, SlotKind, SlotMatcher};
pub use standby_cluster::StandbyCluster;
pub use store::{Store, StoreAddress};
pub(crate) use store::{is_unsupported, unsupported};
pub use timing::Timing;
pub use watchdog::{SafetyMargin, Watchdog};
pub use zookeeper::{Exhibitor, ZooKeeper, ZooKeeperAcl, ZooKeeperTls};
