//! `standby_cluster`: a whole cluster that follows another (contract §14).

use super::delay;
use super::postgresql::{ReplicaMethod, methods_named};
use crate::reader::Reader;

/// What a standby cluster follows; present only when host, port or restore_command is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StandbyCluster {
    /// Host, or comma-separated hosts, of the cluster that is followed.
    pub host: Option<String>,
    /// Port, or comma-separated ports.
    pub port: Option<String>,
    /// The slot to stream through, when configured.
    pub primary_slot_name: Option<String>,
    /// How the first member is cloned, each by its section of `postgresql`; empty means basebackup.
    pub create_replica_methods: Vec<ReplicaMethod>,
    /// Command that fetches WAL from an archive.
    pub restore_command: Option<String>,
    /// Command that cleans the archive.
    pub archive_cleanup_command: Option<String>,
    /// Delay of replay on the leader, PostgreSQL's syntax.
    pub recovery_min_apply_delay: Option<String>,
}

impl StandbyCluster {
    /// Reads `standby_cluster`; `None` when it is not active.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let names = reader.list("standby_cluster.create_replica_methods");
        let delay = "standby_cluster.recovery_min_apply_delay";
        let recovery_min_apply_delay = reader
            .given(delay)
            .and_then(|given| delay::fitting(reader, delay, &given));
        let read = Self {
            create_replica_methods: methods_named(reader, names),
            host: reader.given("standby_cluster.host"),
            port: reader.given("standby_cluster.port"),
            primary_slot_name: reader.given("standby_cluster.primary_slot_name"),
            restore_command: reader.given("standby_cluster.restore_command"),
            archive_cleanup_command: reader.given("standby_cluster.archive_cleanup_command"),
            recovery_min_apply_delay,
        };
        read.tell_odd_ports(reader);
        let active = read.host.is_some() || read.port.is_some() || read.restore_command.is_some();
        active.then_some(read)
    }

    /// libpq would refuse such a list, and nobody would be followed.
    fn tell_odd_ports(&self, reader: &mut Reader<'_>) {
        let Some(port) = &self.port else { return };
        let ports: Vec<&str> = port.split(',').map(str::trim).collect();
        let hosts = self.host.as_deref().unwrap_or_default().split(',').count();
        if ports.len() > 1 && ports.len() != hosts {
            reader.warn(
                "standby_cluster.port",
                format!(
                    "{} ports for {hosts} hosts: give one port, or one for each host; {} counts for all of them",
                    ports.len(),
                    ports.first().copied().unwrap_or_default()
                ),
            );
        }
    }
}
