//! The one long work: supervised, visible, cancellable.

use std::sync::Arc;

use pgherd_domain::{Moment, Work, WorkEnd, WorkError, WorkSeen};
use pgherd_ports::{LocalPostgres, Progress, Wake};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::citus::Around;

/// Carries out at most one work at a time.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    running: Option<Running>,
    tasks: JoinSet<Result<(), WorkError>>,
    ended: Option<WorkEnd>,
}

#[derive(Debug)]
struct Running {
    work: Work,
    began: Moment,
    progress: Progress,
}

impl Worker {
    /// Begins `work`, once what goes first has ended; the guard has seen to it that none runs.
    pub(crate) fn begin(
        &mut self,
        (work, around): (Work, Around),
        postgres: &Arc<dyn LocalPostgres>,
        now: Moment,
        wake: &Wake,
    ) {
        info!("{} begins", work.kind());
        let progress = Progress::waking(wake.clone());
        let running = Running {
            work: work.clone(),
            began: now,
            progress: progress.clone(),
        };
        self.running = Some(running);
        let postgres = Arc::clone(postgres);
        self.tasks.spawn(async move {
            if let Some(first) = around.first {
                progress.say("waiting for the Citus coordinator");
                first.await;
            }
            let done = postgres.carry_out(&work, &progress).await;
            if let (Ok(()), Some(then)) = (&done, around.then) {
                then();
            }
            done
        });
    }

    /// Calls the running work off and waits until its task is gone.
    pub(crate) async fn cancel(&mut self) {
        self.tasks.shutdown().await;
        if let Some(Running { work, began, .. }) = self.running.take() {
            warn!("{} called off", work.kind());
            self.ended = Some(WorkEnd {
                work,
                began,
                result: Err(WorkError::Cancelled),
            });
        }
    }

    /// Returns when the running work has ended; never, when none runs.
    pub(crate) async fn ends(&mut self) {
        let Some(joined) = self.tasks.join_next().await else {
            return std::future::pending().await;
        };
        self.note(joined);
    }

    fn note(&mut self, joined: Result<Result<(), WorkError>, tokio::task::JoinError>) {
        let result = joined.unwrap_or_else(|error| Err(WorkError::Failed(error.to_string())));
        if let Some(Running { work, began, .. }) = self.running.take() {
            match &result {
                Ok(()) => info!("{} done", work.kind()),
                Err(error) => warn!("{} failed: {error}", work.kind()),
            }
            self.ended = Some(WorkEnd {
                work,
                began,
                result,
            });
        }
    }

    /// Whether a work runs, as far as anybody has looked: it may have ended a moment ago.
    pub(crate) const fn works(&self) -> bool {
        self.running.is_some()
    }

    /// What a turn sees; an end is shown once.
    pub(crate) fn seen(&mut self) -> WorkSeen {
        if let Some(joined) = self.tasks.try_join_next() {
            self.note(joined);
        }
        let running = self
            .running
            .as_ref()
            .map(|running| (running.work.clone(), running.began, running.progress.said()));
        WorkSeen {
            running,
            ended: self.ended.take(),
        }
    }
}
