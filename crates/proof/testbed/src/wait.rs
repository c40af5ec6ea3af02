//! Waiting for a condition, with a deadline and the last thing seen when it did not come.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

/// Pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(40);

/// Asks `probe` until it answers `Ok`, for at most `deadline`; its errors say what is still missing.
///
/// # Errors
/// When the deadline passes: says what was waited for and what the last probe saw.
pub async fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    let mut last = anyhow::anyhow!("it was never seen");
    loop {
        match timeout_at(end, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error,
            Err(_) => last = last.context("the last look itself took too long"),
        }
        if Instant::now() + LOOK > end {
            return Err(last).with_context(|| format!("waited {deadline:?} for {what}"));
        }
        sleep(LOOK).await;
    }
}

/// The same without a runtime, for clean-up that also runs in `Drop`.
pub(crate) fn wait_blocking(
    what: &str,
    deadline: Duration,
    mut done: impl FnMut() -> bool,
) -> Result<()> {
    let pause = Duration::from_millis(2);
    let mut left = deadline;
    while !done() {
        let Some(rest) = left.checked_sub(pause) else {
            bail!("waited {deadline:?} for {what}");
        };
        left = rest;
        thread::sleep(pause);
    }
    Ok(())
}
