//! Restarting PostgreSQL.

use std::time::Duration;

use pgherd_domain::{StartAs, StopMode, WorkError};

use crate::server::LocalServer;

impl LocalServer {
    /// Stops fast, starts again.
    pub(super) async fn restart(
        &self,
        start_as: &StartAs,
        timeout: Duration,
    ) -> Result<(), WorkError> {
        if matches!(start_as, StartAs::Primary { .. }) {
            // The shutdown then has little left to write, so the gap is short.
            let checkpoint = tokio::time::timeout(timeout, self.checkpoint()).await;
            if let Ok(Err(error)) = checkpoint {
                tracing::warn!(%error, "checkpoint before the restart");
            }
        }
        self.before_stop(None).await;
        self.stop_silently(StopMode::Fast, None).await?;
        let started = self.start_silently(start_as, timeout).await;
        if started.is_ok() {
            self.tell_restarted(self.role_after(start_as)).await;
        }
        started
    }
}
