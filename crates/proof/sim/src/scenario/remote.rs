//! Servers of another cluster, which a standby cluster follows: nobody of ours looks after them.

use pgherd_domain::{MemberName, Upstream};

use crate::postgres::{self, Cluster, Directory};
use crate::world::World;

/// A primary of its own.
pub(super) fn alone(world: &World, name: &MemberName) {
    world.add_host(name);
    world.change(|state| {
        let host = state.host_mut(name);
        host.outside = true;
        let system_id = (7_000_000_000_000_000_000 + host.dice.below(1 << 50)).to_string();
        host.server.directory = Directory::Cluster(Box::new(Cluster::new(system_id)));
    });
    // A host without a fault starts.
    drop(postgres::launch(world, name));
}

/// A replica of `leader`, copied and streaming, as the other region of the same data.
pub(super) fn beside(world: &World, name: &MemberName, leader: &MemberName) {
    world.add_host(name);
    world.change(|state| {
        let copied = state.host(leader).server.cluster().cloned();
        let host = state.host_mut(name);
        host.outside = true;
        if let Some(mut cluster) = copied {
            cluster.slots.clear();
            cluster.standby_signal = true;
            cluster.synchronous = String::new();
            cluster.upstream = Some(Upstream {
                name: None,
                host: leader.as_str().to_owned(),
                port: 5432,
                more_ports: Vec::new(),
                slot: None,
            });
            host.server.directory = Directory::Cluster(Box::new(cluster));
        }
    });
    drop(postgres::launch(world, name));
}

/// It becomes a primary, on a timeline of its own.
pub(super) fn promote(world: &World, name: &MemberName) -> Result<(), String> {
    postgres::promote(world, name, 0)
        .map(drop)
        .map_err(|error| error.to_string())
}
