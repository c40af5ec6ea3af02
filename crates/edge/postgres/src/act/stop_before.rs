//! Moving the end of replay on a delayed standby: it is started again with a recovery target that pauses.

use std::time::Duration;

use pgherd_domain::{PgRole, StartAs, StopMode, Upstream, WorkError};

use crate::server::LocalServer;

impl LocalServer {
    /// Starts again such that replay stops before `time`, at once and without the delay; or goes on as usual.
    /// A replay that has reached its target is never resumed: that would be a promotion.
    pub(super) async fn stop_before(
        &self,
        time: Option<&str>,
        upstream: Option<&Upstream>,
        timeout: Duration,
    ) -> Result<(), WorkError> {
        let before = self.wanted().stop_before;
        self.want(|wanted| wanted.stop_before = Some(time.map(str::to_owned)));
        let start_as = StartAs::Replica {
            upstream: upstream.cloned(),
        };
        self.before_stop(None).await;
        self.stop_silently(StopMode::Fast, None).await?;
        let mut started = self.start_silently(&start_as, timeout).await;
        if let (Err(error), true, Some(time)) = (&started, self.held().is_none(), time) {
            let why =
                format!("PostgreSQL does not start with an end of replay before {time}: {error}");
            self.want(|wanted| wanted.stop_before = Some(before.flatten()));
            self.start_silently(&start_as, timeout).await?;
            started = Err(WorkError::Failed(why));
        }
        if started.is_ok() {
            self.tell_restarted(PgRole::Replica).await;
        }
        started
    }
}
