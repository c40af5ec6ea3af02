//! How busy the machine was while something was measured: a figure without that tells little.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long the timers sleep whose lateness is counted.
const NAP: Duration = Duration::from_millis(10);

/// Watches the machine until it is asked.
#[derive(Debug)]
pub struct Load {
    before: String,
    late: Arc<Mutex<Vec<Duration>>>,
    task: JoinHandle<()>,
}

impl Load {
    /// Begins to watch.
    #[must_use]
    pub fn begin() -> Self {
        let late = Arc::<Mutex<Vec<Duration>>>::default();
        let log = Arc::clone(&late);
        let task = tokio::spawn(async move {
            loop {
                let began = Instant::now();
                sleep(NAP).await;
                let late = began.elapsed().saturating_sub(NAP);
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push(late);
            }
        });
        Self {
            before: average(),
            late,
            task,
        }
    }

    /// Load averages before and now, and how late timers were: the programs measured had to wait for a core as long.
    #[must_use]
    pub fn end(self) -> String {
        self.task.abort();
        let mut late = self
            .late
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        late.sort_unstable();
        let hundredth = late.len() - late.len().div_ceil(100);
        let at = |index: usize| late.get(index).copied().unwrap_or_default().as_millis();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        format!(
            "{cores} cores, load average {} before, {} after; a 10 ms timer was late by {} ms (99 of 100), {} ms (all)",
            self.before,
            average(),
            at(hundredth.saturating_sub(1)),
            at(late.len().saturating_sub(1))
        )
    }
}

/// Of the last minute, as the system writes it.
fn average() -> String {
    let text = fs_err::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}
