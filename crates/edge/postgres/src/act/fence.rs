//! The agent's own last resort when the lease ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pgherd_decide::fence_margin;
use pgherd_domain::WorkError;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::pace::Pace;
use crate::process::{Postmaster, running};
use crate::server::LocalServer;

/// How long an immediate shutdown may take before everything is killed, at most.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the disk may take to say what the server is, when nothing else does.
const DISK_PATIENCE: Duration = Duration::from_millis(300);

impl LocalServer {
    /// Ends a server that is, or may be, a primary, with every process of it. Tries until it is done. A disk
    /// that hangs delays it by little: what was seen last is enough to go on.
    pub(crate) async fn stop_at_once(&self) {
        let mut pace = Pace::millis(10, 500);
        let ttl = self.settings().changing.cluster.timing.ttl;
        // All must be over when the lease ends, as the fence beside the agent has it.
        let patience = PATIENCE.min(fence_margin(ttl) / 2);
        loop {
            let postmaster = match self.held() {
                Some(held) => Some(held),
                None => self.postmaster().await,
            };
            let done = match &postmaster {
                Some(running) if !self.may_be_primary(running).await => return,
                Some(running) => self.end_at_once(running, patience).await,
                // Sessions of a killed postmaster may still be committing.
                None if self.is_standby_on_disk().await == Some(true) => return,
                None if self.launching().is_some() => {
                    Err(WorkError::Failed("it is being started".to_owned()))
                }
                None => self.kill_leftovers().await,
            };
            match done {
                Ok(()) => {
                    if postmaster.is_some() {
                        self.tell_stopped().await;
                    }
                    return;
                }
                Err(error) => tracing::error!(%error, "stop PostgreSQL without a lease"),
            }
            pace.wait().await;
        }
    }

    /// Whether no postmaster runs and no process of one is left. A disk that hangs says no.
    pub(crate) async fn nothing_is_left(&self) -> bool {
        let (place, family) = (self.place.clone(), self.family());
        let look = spawn_blocking(move || {
            let postmaster = running(place.data_dir(), &place.names().postgres);
            postmaster.is_none() && family.members(None).is_empty()
        });
        matches!(timeout(DISK_PATIENCE, look).await, Ok(Ok(true)))
    }

    /// Everything that does not prove a replica makes it a primary: a promotion that was asked for, the
    /// last answer of this very server, a missing signal file (PostgreSQL removes it before the first
    /// write).
    async fn may_be_primary(&self, postmaster: &Postmaster) -> bool {
        let recovered = self
            .last_answer_of(&postmaster.file)
            .map(|live| live.in_recovery);
        if postmaster.promoting.load(Ordering::Acquire) || recovered == Some(false) {
            return true;
        }
        match self.is_standby_on_disk().await {
            Some(standby) => !standby,
            None => recovered.is_none(),
        }
    }

    /// Whether its files say that it is, and stays, a standby; `None` while the disk does not answer.
    async fn is_standby_on_disk(&self) -> Option<bool> {
        let place = self.place.clone();
        let looking = spawn_blocking(move || {
            place.is_standby() && !place.data_dir().join("promote").exists()
        });
        timeout(DISK_PATIENCE, looking).await.ok()?.ok()
    }
}
