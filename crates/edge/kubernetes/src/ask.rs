//! One operation: asked again until it is answered or its time is over.

use std::future::Future;

use pgherd_ports::DcsError;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::fault::Fault;
use crate::http::Http;
use crate::pace::Pace;

impl Http {
    /// Runs `attempt` until it is answered, for as long as `pace` says. The attempt is told whether there was one before,
    /// which may have been carried out.
    pub(crate) async fn ask<T, F, Fut>(&self, pace: Pace, attempt: F) -> Result<T, DcsError>
    where
        F: Fn(bool) -> Fut + Sync,
        Fut: Future<Output = Result<T, Fault>> + Send,
        T: Send,
    {
        let mut repeated = false;
        let mut said = "no answer".to_owned();
        loop {
            let answered = match timeout_at(pace.deadline, attempt(repeated)).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(fault)) => {
                    let (why, answered) = fault.settle(&self.url())?;
                    said = why;
                    answered
                }
                Err(_) => {
                    self.hang_up().await;
                    let said = format!("{}: {said}", self.url());
                    return Err(DcsError::TimedOut(pace.total(), said));
                }
            };
            repeated = true;
            let next = Instant::now() + pace.pause;
            if next >= pace.deadline {
                let said = format!("{}: {said}", self.url());
                return Err(match answered {
                    true => DcsError::Answered(said),
                    false => DcsError::Unreachable(said),
                });
            }
            sleep_until(next).await;
        }
    }
}
