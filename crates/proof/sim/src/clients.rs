//! Clients: some look for the primary as drivers do, some stay at one server whatever happens.

use std::time::Duration;

use pgherd_domain::MemberName;

use crate::network::Place;
use crate::postgres::{Commit, commit};
use crate::world::World;

/// How long a client waits for one commit before it gives up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Commits at whichever server takes it, again and again, every `interval`. Tries them in turn from the
/// last that worked, as a driver with several hosts and `target_session_attrs=read-write`.
pub(crate) async fn seeking(world: World, interval: Duration) {
    let mut at = 0;
    loop {
        world.sleep(interval).await;
        let servers: Vec<MemberName> = world.look(|state| {
            let ours = state.hosts.iter().filter(|(_, host)| !host.outside);
            ours.map(|(name, _)| name.clone()).collect()
        });
        for _ in 0..servers.len() {
            let Some(server) = servers.get(at % servers.len()) else {
                return;
            };
            if tokio::time::timeout(PATIENCE, one(&world, server)).await == Ok(true) {
                break;
            }
            at += 1;
        }
    }
}

/// One commit over the network.
async fn one(world: &World, server: &MemberName) -> bool {
    let there = Place::Member(server.clone());
    if !world.carry(&Place::Clients, &there).await {
        return false;
    }
    let id = world.quietly(|state| state.ledger.fresh_id());
    let done = commit(world, server, id, None).await;
    done == Commit::Acknowledged && world.carry(&there, &Place::Clients).await
}

/// Commits at one server every `interval`, without a network between: if it would still take a write,
/// this client is told so.
pub(crate) async fn stubborn(world: World, server: MemberName, interval: Duration) {
    loop {
        world.sleep(interval).await;
        let id = world.quietly(|state| state.ledger.fresh_id());
        // What comes of it is in the ledger.
        drop(tokio::time::timeout(PATIENCE, commit(&world, &server, id, None)).await);
    }
}
