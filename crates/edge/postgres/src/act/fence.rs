//! The agent's own last resort when the lease ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::pace::Pace;
use crate::process::Postmaster;
use crate::server::LocalServer;

/// How long an immediate shutdown may take before everything is killed.
const PATIENCE: Duration = Duration::from_millis(500);

impl LocalServer {
    /// Ends a server that is, or may be, a primary, with every process of it. Tries until it is done.
    pub(crate) async fn stop_at_once(&self) {
        let mut pace = Pace::millis(10, 500);
        loop {
            let done = match self.postmaster() {
                Some(postmaster) if !self.may_be_primary(&postmaster) => return,
                Some(postmaster) => self.end_at_once(&postmaster, PATIENCE).await,
                // Sessions of a killed postmaster may still be committing.
                None if self.place.is_standby() => return,
                None => self.kill_leftovers().await,
            };
            match done {
                Ok(()) => return,
                Err(error) => tracing::error!(%error, "stop PostgreSQL without a lease"),
            }
            pace.wait().await;
        }
    }

    /// Everything that does not prove a replica makes it a primary: a promotion that was asked for, the
    /// last answer of this very server, a missing signal file (PostgreSQL removes it before the first
    /// write).
    fn may_be_primary(&self, postmaster: &Postmaster) -> bool {
        let answered = self.last_answer_of(&postmaster.file);
        postmaster.promoting.load(Ordering::Acquire)
            || answered.is_some_and(|live| !live.in_recovery)
            || self.place.data_dir().join("promote").exists()
            || !self.place.is_standby()
    }
}
