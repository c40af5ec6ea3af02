//! Between two turns: has a standby begun or ended to stream? PostgreSQL tells nobody, so it is asked often, with a
//! statement that costs it next to nothing.

use std::sync::PoisonError;
use std::time::Duration;

use crate::server::LocalServer;

/// From one glance to the next.
const PAUSE: Duration = Duration::from_millis(100);

/// Which walsenders there are and what they do, from shared memory alone.
const STATEMENT: &str = "SELECT coalesce(string_agg(pid || state, ' ' ORDER BY pid), '') \
                         FROM pg_catalog.pg_stat_get_wal_senders()";

impl LocalServer {
    /// Returns when they are others than at the last glance.
    pub(crate) async fn standbys_come_or_go(&self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            let Some(postmaster) = self.held() else {
                continue;
            };
            let Some(now) = self.heartbeat.peek(postmaster.file.pid, STATEMENT).await else {
                continue;
            };
            let mut last = self.standbys.lock().unwrap_or_else(PoisonError::into_inner);
            if last.as_ref() != Some(&now) {
                *last = Some(now);
                return;
            }
        }
    }
}
