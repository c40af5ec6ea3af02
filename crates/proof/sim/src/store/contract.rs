//! The model of the DCS keeps the contract that the real one keeps.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::MemberName;
use pgherd_ports::Dcs;
use pgherd_ports::contract::{Ground, Rule};

use super::{SimDcs, keep_leases};
use crate::process::Process;
use crate::world::World;

/// One simulated store.
struct SimGround {
    world: World,
}

impl SimGround {
    fn new() -> Self {
        let world = World::new(1);
        world.spawn(keep_leases(world.clone()));
        Self { world }
    }
}

#[async_trait]
impl Ground for SimGround {
    async fn member(&self, name: &str) -> Arc<dyn Dcs> {
        let name = MemberName::new(name).unwrap();
        if !self.world.look(|state| state.hosts.contains_key(&name)) {
            self.world.add_host(&name);
        }
        let process = Process::of(&self.world, &name);
        let retry_timeout = Duration::from_secs(10);
        Arc::new(SimDcs::new(process, self.ttl(), retry_timeout))
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn advance(&self, span: Duration) {
        self.world.sleep(span).await;
    }
}

fn run(rule: Rule) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { rule(&SimGround::new()).await });
}

pgherd_ports::dcs_contract!(run);
