//! How long a leader key was said to have left. Its holder counts on that time. When a clock of etcd's servers is set ahead the
//! key ends sooner, while its holder still leads: then nobody takes it before that time is over by our own clock. A key that
//! was deleted is free at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pgherd_etcd::shared::Fault;
use pgherd_ports::Key;
use tokio::time::{Instant, timeout};

use crate::answer::Said;
use crate::http::{Client, said};
use crate::node::Node;
use crate::store::Store;

/// How many events of the key are looked at: there is one for each change of its value.
const EVENTS_MAX: usize = 16;
/// How long etcd may take for an event that it knows already.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was last read of another's leader key.
#[derive(Debug, Default)]
pub(crate) struct Promised(Mutex<Option<Promise>>);

/// The key as it was after this change is good until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Promise {
    index: u64,
    until: Instant,
}

impl Promised {
    /// Notes what a read that was sent then found.
    pub(crate) fn note(&self, leader: &Node, sent: Instant) {
        // In whole seconds, rounded up: what is certain is one less.
        let left = leader.ttl.map_or(0, |ttl| u64::try_from(ttl).unwrap_or(0));
        let promise = Promise {
            index: leader.modified_index,
            until: sent + Duration::from_secs(left.saturating_sub(1)),
        };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.index <= promise.index) {
            *last = Some(promise);
        }
    }

    /// What still holds.
    fn now(&self) -> Option<Promise> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|promise| promise.until > Instant::now())
    }
}

impl Store {
    /// Whether a leader key that is not there is free.
    ///
    /// # Errors
    /// When it ended before its time was over.
    pub(crate) async fn is_free(&self, client: &Client) -> Result<(), Fault> {
        let Some(promise) = self.promised.now() else {
            return Ok(());
        };
        if self.was_deleted(client, promise.index).await {
            return Ok(());
        }
        let left = promise.until.saturating_duration_since(Instant::now());
        Err(Fault::Final(format!(
            "the leader key ended before its time: a clock of etcd's servers is ahead or was set, and whoever held the key may \
             still lead. It is taken in {left:.1?} at the earliest. Let all servers of etcd keep to the time (NTP)"
        )))
    }

    /// Whether somebody deleted the key after that change. What etcd does not keep any more counts as no.
    async fn was_deleted(&self, client: &Client, index: u64) -> bool {
        let full = self.prefix.key(&Key::Leader);
        let mut next = index + 1;
        for _ in 0..EVENTS_MAX {
            let from = next.to_string();
            let event = async {
                let parameters = [("wait", "true"), ("waitIndex", from.as_str())];
                said(client.wait(&full, &parameters).await?).await
            };
            let Ok(Ok(Said::Done(event))) = timeout(PATIENCE, event).await else {
                return false;
            };
            match event.action.as_str() {
                "delete" | "compareAndDelete" => return true,
                "expire" => return false,
                _ => next = event.node.modified_index + 1,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(index: u64, ttl: Option<i64>) -> Node {
        Node {
            modified_index: index,
            ttl,
            ..Node::default()
        }
    }

    #[tokio::test]
    async fn what_was_read_last_counts_and_only_whole_seconds_of_it() {
        let promised = Promised::default();
        let now = Instant::now();
        let left = |promised: &Promised| promised.now().map(|promise| promise.until - now);
        assert_eq!(left(&promised), None);
        promised.note(&leader(5, Some(30)), now);
        assert_eq!(left(&promised), Some(Duration::from_secs(29)));
        promised.note(&leader(4, Some(60)), now);
        assert_eq!(
            left(&promised),
            Some(Duration::from_secs(29)),
            "that is older"
        );
        promised.note(&leader(5, Some(20)), now);
        assert_eq!(left(&promised), Some(Duration::from_secs(19)));
        for ttl in [Some(1), Some(-3), None] {
            promised.note(&leader(6, ttl), now);
            assert_eq!(left(&promised), None);
        }
    }
}
