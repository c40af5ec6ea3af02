//! The disk that keeps what a member promised: it survives the agent and the power.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use pgherd_domain::{MemberName, Moment};
use pgherd_ports::PromiseStore;

use crate::dice::Span;
use crate::disk::NO_SPACE;
use crate::process::Process;

/// How long the disk takes.
const SYNC: Span = Span::millis(1, 8);

/// Promises on the disk of one member's host.
pub(crate) struct SimPromises {
    process: Process,
}

impl SimPromises {
    pub(crate) const fn new(process: Process) -> Self {
        Self { process }
    }

    async fn wait_for_disk(&self) {
        let Process { world, me, .. } = &self.process;
        let span = world.quietly(|state| state.host_mut(me).promise_dice.within(SYNC));
        world.sleep(span).await;
        self.process.gate().await;
    }
}

impl fmt::Debug for SimPromises {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimPromises({:?})", self.process)
    }
}

#[async_trait]
impl PromiseStore for SimPromises {
    async fn load(&self) -> Result<BTreeMap<MemberName, Moment>, String> {
        self.process.gate().await;
        let Process { world, me, .. } = &self.process;
        Ok(world.look(|state| state.host(me).promises.clone()))
    }

    async fn keep(&self, promises: &BTreeMap<MemberName, Moment>) -> Result<(), String> {
        self.wait_for_disk().await;
        let Process { world, me, .. } = &self.process;
        world.change(|state| {
            let host = state.host_mut(me);
            if host.server.disk.full {
                return Err(NO_SPACE.to_owned());
            }
            host.promises.clone_from(promises);
            Ok(())
        })
    }
}
