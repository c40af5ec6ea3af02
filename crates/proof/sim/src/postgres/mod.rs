//! Simulated PostgreSQL: data directories with WAL and timelines, postmasters, streaming, commits that
//! wait for standbys, and the works of the port.

mod commit;
mod life;
mod names;
mod port;
mod receiver;
mod replace;
mod seen;
mod server;
mod wal;
mod works;

pub(crate) use commit::{Commit, commit, would_acknowledge};
pub(crate) use life::{
    Ending, kill, launch, promote, promote_by_hand, stop_fast, stop_immediately,
};
pub(crate) use port::SimPostgres;
pub(crate) use seen::describe;
pub(crate) use server::{Cluster, Directory, Server};
pub(crate) use wal::Said;

use pgherd_domain::MemberName;

use crate::world::World;

/// Begins what a host's PostgreSQL does on its own: its WAL receiver, whenever one is wanted.
pub(crate) fn attend(world: &World, name: &MemberName) {
    world.spawn(receiver::receive(world.clone(), name.clone()));
}

#[cfg(test)]
mod tests;
