//! How often something is looked at that tells nobody when it changes: quickly at first, then less often.

use std::time::Duration;

/// Waits that grow from `first` to `most`.
#[derive(Debug)]
pub(crate) struct Pace {
    next: Duration,
    most: Duration,
}

impl Pace {
    /// From `first` to `most` milliseconds.
    pub(crate) const fn millis(first: u64, most: u64) -> Self {
        Self {
            next: Duration::from_millis(first),
            most: Duration::from_millis(most),
        }
    }

    /// Waits until it is time to look again.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 3 / 2).min(self.most);
    }
}
