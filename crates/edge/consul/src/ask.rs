//! One operation: asked again until it is answered or its time is over.

use std::future::Future;

use pgherd_ports::DcsError;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::fault::Fault;
use crate::http::Http;
use crate::pace::Pace;

/// Which attempt of an operation this is. Later ones may meet what an earlier one did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt(u32);

impl Attempt {
    /// Whether an earlier attempt of the same operation may have been carried out.
    pub(crate) const fn is_repeated(self) -> bool {
        self.0 > 1
    }
}

impl Http {
    /// Runs `attempt` until it is answered, for as long as `pace` says.
    pub(crate) async fn ask<T, F, Fut>(&self, pace: Pace, attempt: F) -> Result<T, DcsError>
    where
        F: Fn(Attempt) -> Fut + Sync,
        Fut: Future<Output = Result<T, Fault>> + Send,
        T: Send,
    {
        let mut number = 0;
        let mut said = "no answer".to_owned();
        loop {
            number += 1;
            let answered = match timeout_at(pace.deadline, attempt(Attempt(number))).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(fault)) => {
                    let (why, answered) = fault.settle(self.url())?;
                    said = why;
                    answered
                }
                Err(_) => {
                    self.hang_up();
                    let said = format!("{}: {said}", self.url());
                    return Err(DcsError::TimedOut(pace.total(), said));
                }
            };
            let next = Instant::now() + pace.pause;
            if pace.once || next >= pace.deadline {
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
