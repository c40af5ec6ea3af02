//! Moving the end of replay on a delayed standby: it is started again with a recovery target that pauses.
//!
//! A target in time stops right before the commit of the first transaction that is too late. If that one drops a
//! table, its lock on the table is replayed by then, and nobody can read what one came for. So WAL is searched for
//! the first lock of a transaction that is not over by the time, and replay stops before that.

use std::process::Stdio;
use std::time::Duration;

use pgherd_domain::{Lsn, PgRole, StartAs, StopMode, Upstream, WallTime, WorkError};
use pgherd_pgconf::{LocksSeen, TransactionsSeen};
use pgherd_ports::Progress;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::configuration::EndOfReplay;
use crate::run::command;
use crate::server::LocalServer;

impl LocalServer {
    /// Starts again such that replay stops before `time`, at once and without the delay; or goes on as usual.
    /// A replay that has reached its target is never resumed: that would be a promotion.
    pub(super) async fn stop_before(
        &self,
        time: Option<&str>,
        upstream: Option<&Upstream>,
        timeout: Duration,
        progress: &Progress,
    ) -> Result<(), WorkError> {
        let end = match time {
            Some(time) => Some(self.end_before(time, progress).await),
            None => None,
        };
        let before = self.wanted().stop_before;
        self.want(|wanted| wanted.stop_before = Some(end.clone()));
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

    /// Where replay has to stop so that what was there before `time` can be read.
    async fn end_before(&self, time: &str, progress: &Progress) -> EndOfReplay {
        progress.say(format!("searching WAL for what happened before {time}"));
        match self.first_late_lock(time).await {
            Ok(Some(lsn)) => {
                tracing::info!(
                    "replay is to stop before {lsn}: a lock of a transaction that ends after {time}"
                );
                return EndOfReplay {
                    name: "recovery_target_lsn",
                    value: lsn.to_string(),
                };
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(
                "WAL could not be searched for locks ({error}): tables that were dropped or changed right after \
                 {time} may be locked on this server"
            ),
        }
        EndOfReplay {
            name: "recovery_target_time",
            value: time.to_owned(),
        }
    }

    /// The first lock, in WAL that is not replayed yet, of a transaction that is not over before `time`.
    async fn first_late_lock(&self, time: &str) -> Result<Option<Lsn>, String> {
        let time = WallTime::parse(time).ok_or("the time is not understood")?;
        let running = self.running().await;
        let live = running.and_then(|file| self.last_answer_of(&file));
        let live = live.ok_or("the server has not answered yet")?;
        let mut over = TransactionsSeen::before(time);
        let (from, timeline) = (live.replayed, live.timeline.0);
        let until = live.received.max(live.replayed);
        self.dump_wal("Transaction", timeline, (from, until), |line| {
            over.read(line);
        })
        .await?;
        let mut locks = LocksSeen::default();
        let until = over.first_late().unwrap_or(until);
        self.dump_wal("Standby", timeline, (from, until), |line| {
            locks.read(line, &over);
        })
        .await?;
        Ok(locks.first())
    }

    /// Every record of one kind in a stretch of the local WAL, as pg_waldump prints it.
    async fn dump_wal(
        &self,
        kind: &str,
        timeline: u32,
        (from, until): (Lsn, Lsn),
        mut each: impl FnMut(&str) + Send,
    ) -> Result<(), String> {
        if until <= from {
            return Ok(());
        }
        let mut tool = command(&self.place.tool("pg_waldump"), self.place.owner());
        tool.arg(format!("--path={}", self.place.data_dir().join("pg_wal")))
            .arg(format!("--timeline={timeline}"))
            .arg(format!("--start={from}"))
            .arg(format!("--end={until}"))
            .arg(format!("--rmgr={kind}"))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let failed = |error: std::io::Error| format!("pg_waldump: {error}");
        let mut tool = tool.spawn().map_err(failed)?;
        if let Some(printed) = tool.stdout.take() {
            let mut lines = BufReader::new(printed).lines();
            while let Some(line) = lines.next_line().await.map_err(failed)? {
                each(&line);
            }
        }
        let status = tool.wait().await.map_err(failed)?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("pg_waldump ended with {status}"))
        }
    }
}
