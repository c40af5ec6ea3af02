//! The testbed: real etcd and PostgreSQL hosts in network namespaces, with the means to cut, pause and kill them.
//!
//! Read in this order: [`Testbed`] (names, subnet, bridge, clean-up), [`Host`] (one machine: its processes and
//! its link), [`Etcd`] and [`Member`] (what runs on a host), [`Herd`] (a whole cluster), [`Oracle`] (clients that
//! remember every acknowledged row). Everything is created and removed by the process that uses it; root is
//! needed for namespaces, without them hosts are loopback addresses and cannot be cut.

mod bad_line;
mod bed;
mod citus;
mod claim;
mod command;
mod consul;
mod crew;
mod etcd;
mod herd;
mod host;
mod http;
mod kube_api;
mod link;
mod member;
mod oracle;
mod postgres;
mod pressure;
mod processes;
mod program;
mod signals;
mod wait;
mod yaml;
mod zookeeper;

pub use bad_line::{BadLine, Degraded};
pub use bed::{Isolation, Testbed};
pub use claim::{clean_kept, sweep};
pub use consul::Consul;
pub use crew::runs;
pub use etcd::Etcd;
pub use herd::{Herd, HerdOptions};
pub use host::{Host, Port};
pub use http::{Reply, get, request, request_text};
pub use kube_api::KubeApi;
pub use link::{Cut, Way};
pub use member::Member;
pub use oracle::{Ack, Aim, Audit, Endpoint, Gap, Oracle, OracleOptions, connect};
pub use postgres::{BarePostgres, Login, PostgresTools};
pub use pressure::Pressure;
pub use processes::Process;
pub use program::{AgentProgram, consul, reader};
pub use wait::wait_for;
pub use zookeeper::ZooKeeper;
