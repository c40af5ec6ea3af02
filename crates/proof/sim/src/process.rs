//! The process of an agent, as its ports see it: it may be frozen, and it may be dead.

use std::fmt;

use pgherd_domain::MemberName;

use crate::world::World;

/// One life of a member's agent. Every port belongs to one, and passes its gate before it acts and before it
/// answers: a frozen agent neither does nor learns anything, and one that was killed never does again.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) world: World,
    pub(crate) me: MemberName,
    life: u64,
}

impl Process {
    /// The life that the member's agent leads now.
    pub(crate) fn of(world: &World, me: &MemberName) -> Self {
        Self {
            life: world.look(|state| state.host(me).life),
            world: world.clone(),
            me: me.clone(),
        }
    }

    /// Whether this is the process that runs now.
    pub(crate) fn is_alive(&self) -> bool {
        self.world
            .look(|state| state.host(&self.me).life == self.life)
    }

    /// Waits while the process is frozen; for ever, when it is dead.
    pub(crate) async fn gate(&self) {
        self.world
            .until(|state| {
                let host = state.host(&self.me);
                (host.life == self.life && !host.frozen).then_some(())
            })
            .await;
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.me, self.life)
    }
}
