//! What wakes the loop: events only say "look again", never what to do.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes the agent's loop. Cheap to clone; many calls before the next turn count as one.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// A new one that nobody waits for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the loop, now or as soon as its turn ends.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody wakes the loop.
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}
