//! Ending recovery.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pgherd_domain::{Moment, PgRole, WorkError};
use pgherd_ports::Wake;
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use super::Doing as _;
use crate::connect::SqlError;
use crate::pace::Pace;
use crate::process::Postmaster;
use crate::query::Heartbeat;
use crate::server::LocalServer;

/// How long one question may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

impl LocalServer {
    /// Promotes, if the lease is still good right before the point of no return, and waits until the
    /// server is out of recovery. It passes over as many timeline numbers as it is told.
    pub(super) async fn promote(
        &self,
        valid_until: Moment,
        skip_timelines: u32,
    ) -> Result<(), WorkError> {
        let Some(postmaster) = self.postmaster().await else {
            return Err(WorkError::Failed(
                "PostgreSQL does not run, so it can not be promoted".to_owned(),
            ));
        };
        // Asked first, so that the connection stands when it is needed, and nothing is done twice. A line of
        // its own: the heartbeat may be waiting for an answer.
        let line = Heartbeat::new(Wake::new());
        if self.in_recovery(&line, &postmaster).await == Ok(false) {
            return Ok(());
        }
        let signal_file = self.place.data_dir().join("promote");
        self.skip_timelines(skip_timelines)
            .await
            .doing("leave timeline numbers to the other region")?;
        if self.now() >= valid_until {
            self.take_reserved_numbers_back().await;
            return Err(WorkError::LeaseEnded);
        }
        postmaster.promoting.store(true, Ordering::Release);
        // The point of no return: the two steps of pg_promote().
        self.place
            .files()
            .write(&signal_file, "")
            .doing("write the promote signal file")?;
        postmaster
            .signal(Signal::USR1)
            .doing("tell PostgreSQL to promote")?;
        self.want(|wanted| wanted.upstream = None);
        self.tell_role(PgRole::Primary).await;
        let patience = self.settings().changing.postgresql.pg_ctl_timeout;
        tokio::select! {
            () = self.out_of_recovery(&line, &postmaster, Pace::millis(5, 10)) => Ok(()),
            () = postmaster.gone() => Err(WorkError::Failed(
                "PostgreSQL ended while it was promoted".to_owned(),
            )),
            () = sleep_until(Instant::now() + patience) => Err(WorkError::Failed(format!(
                "PostgreSQL was told to promote and is still in recovery after {patience:?}"
            ))),
        }
    }

    /// Returns when the server says that it is out of recovery.
    pub(super) async fn out_of_recovery(
        &self,
        line: &Heartbeat,
        postmaster: &Postmaster,
        mut pace: Pace,
    ) {
        while self.in_recovery(line, postmaster).await != Ok(false) {
            pace.wait().await;
        }
    }

    async fn in_recovery(
        &self,
        line: &Heartbeat,
        postmaster: &Postmaster,
    ) -> Result<bool, SqlError> {
        let statement = "SELECT pg_is_in_recovery()";
        let pid = postmaster.file.pid;
        let asking = line.ask_statement(self.door().await, pid, statement, ANSWER_PATIENCE);
        Ok(asking.await? == "t")
    }
}
