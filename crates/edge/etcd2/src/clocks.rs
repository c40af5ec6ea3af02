//! What the clocks of etcd's servers say. By the old API a key ends at a time of day: the server that takes the write adds
//! ttl to what its own clock says, and whichever server leads etcd by then deletes the key when its clock says so. Where that
//! one is ahead, the key would end before its ttl is over and a second leader could begin. So whatever others may be ahead
//! of the server that is written to is added to ttl.
//!
//! Every answer has the time in its head, in whole seconds. Each narrows down where the server's clock is in relation to
//! ours: to well below a second after a few of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::fmt::rfc2822;
use tokio::time::{Instant, sleep, timeout};

use crate::store::Store;
use pgherd_etcd::shared::connecting;

/// What is heard is exact to this, in milliseconds.
const STEP: i64 = 1000;
/// What a clock may drift in a second, in milliseconds: more than what keeps to the time ever does.
const DRIFT: i64 = 1;
/// A server that was not heard for so long is left out.
const KEPT: Duration = Duration::from_mins(15);
/// A difference that is certain and more than this is told.
const TOLD: i64 = 1000;

/// How far servers' clocks are from ours.
#[derive(Debug)]
pub(crate) struct Clocks {
    begun: Instant,
    known: Mutex<BTreeMap<String, Range>>,
}

/// The clock is between these, in milliseconds from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    least: i64,
    most: i64,
    at: Instant,
}

impl Clocks {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            known: Mutex::default(),
        }
    }

    /// The server at `url` said `date` in an answer to what was sent and heard then.
    pub(crate) fn heard(&self, url: &str, date: &str, sent: Instant, heard: Instant) {
        let Ok(date) = rfc2822::parse(date) else {
            return;
        };
        let said = date.timestamp().as_millisecond();
        let range = Range {
            least: said - self.ours(heard),
            most: said + STEP - self.ours(sent),
            at: heard,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, range| heard.saturating_duration_since(range.at) < KEPT);
        let narrowed = known.get(url).and_then(|before| before.and(range));
        // What does not fit was set since.
        known.insert(url.to_owned(), narrowed.unwrap_or(range));
    }

    /// How far any other server's clock may be ahead of that of the one at `url`.
    pub(crate) fn ahead_of(&self, url: &str) -> Duration {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(this) = known.get(url) else {
            return Duration::ZERO;
        };
        let others = known.iter().filter(|(other, _)| *other != url);
        let most = others.map(|(_, range)| range.most).max();
        let ahead = most.map_or(0, |most| most - this.least);
        Duration::from_millis(u64::try_from(ahead).unwrap_or(0))
    }

    /// The least that two servers' clocks differ by, when that is worth telling.
    fn difference(&self) -> Option<(String, String, Duration)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (ahead, first) = known.iter().max_by_key(|(_, range)| range.least)?;
        let (behind, last) = known.iter().min_by_key(|(_, range)| range.most)?;
        let difference = first.least - last.most;
        let span = Duration::from_millis(u64::try_from(difference).ok()?);
        (difference > TOLD).then(|| (ahead.clone(), behind.clone(), span))
    }

    fn ours(&self, at: Instant) -> i64 {
        let span = at.saturating_duration_since(self.begun);
        i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 2)
    }
}

impl Range {
    /// What both allow; `None`: the clock was set in between.
    fn and(self, later: Self) -> Option<Self> {
        let passed = later.at.saturating_duration_since(self.at).as_millis();
        let drift = i64::try_from(passed).unwrap_or(i64::MAX / 4) / 1000 * DRIFT + DRIFT;
        let least = later.least.max(self.least - drift);
        let most = later.most.min(self.most + drift);
        (least < most).then_some(Self {
            least,
            most,
            at: later.at,
        })
    }
}

/// Asks every server what time it is, again and again: those that nothing is written to may lead etcd next.
pub(crate) async fn compare(store: Arc<Store>) {
    let mut told = false;
    loop {
        let ttl = store.leases.ttl();
        let patience = connecting(ttl);
        let asked = store.pool.order().into_iter().map(|endpoint| async move {
            let answer = endpoint.run(|client| async move { client.get("version").await });
            // Whoever does not answer is no reason to wait, and others say so.
            timeout(patience, answer).await.is_ok()
        });
        join_all(asked).await;
        let difference = store.clocks.difference();
        if let Some((ahead, behind, span)) = difference.as_ref().filter(|_| !told) {
            tracing::warn!(
                "the clock of etcd at {ahead} is at least {span:?} ahead of that at {behind}: by API v2 keys end by the clock of \
                 whichever server leads etcd, so this much is added to ttl, and a failover takes longer. Let all servers of \
                 etcd keep to the time (NTP), or move to etcd's API v3"
            );
        }
        told = difference.is_some();
        sleep(ttl / 4 + Duration::from_millis(130)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Fri, 27 Nov 2026 08:01:53 GMT";
    const LATER: &str = "Fri, 27 Nov 2026 08:01:56 GMT";

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[tokio::test]
    async fn a_server_that_is_behind_gets_what_others_are_ahead() {
        let clocks = Clocks::new();
        let (sent, heard) = (clocks.begun, clocks.begun + millis(10));
        assert_eq!(clocks.ahead_of("a"), Duration::ZERO);
        clocks.heard("a", DATE, sent, heard);
        assert_eq!(clocks.ahead_of("a"), Duration::ZERO, "it is the only one");
        clocks.heard("b", LATER, sent, heard);
        // Each is known to a second.
        assert_eq!(clocks.ahead_of("a"), millis(4010));
        assert_eq!(clocks.ahead_of("b"), Duration::ZERO);
        let told = clocks.difference();
        assert_eq!(told, Some(("b".to_owned(), "a".to_owned(), millis(1990))));
    }

    #[tokio::test]
    async fn answers_narrow_a_clock_down_until_it_is_set() {
        let clocks = Clocks::new();
        let at = |number| clocks.begun + millis(number);
        // The second begins between the two.
        clocks.heard("a", DATE, at(900), at(901));
        clocks.heard("a", "Fri, 27 Nov 2026 08:01:54 GMT", at(1000), at(1001));
        let range = *clocks.known.lock().unwrap().get("a").unwrap();
        assert!(range.most - range.least <= 104, "{range:?}");
        clocks.heard("a", "Fri, 27 Nov 2026 09:00:00 GMT", at(2000), at(2001));
        let range = *clocks.known.lock().unwrap().get("a").unwrap();
        assert_eq!(range.most - range.least, STEP + 1);
        clocks.heard("a", "soon", at(3000), at(3001));
        assert_eq!(clocks.ahead_of("a"), Duration::ZERO);
    }

    #[tokio::test]
    async fn servers_that_keep_to_the_time_cost_a_second_at_most() {
        let clocks = Clocks::new();
        for url in ["a", "b", "c"] {
            for step in 0..20 {
                let at = clocks.begun + millis(step * 1130);
                let second = 53 + (step * 1130) / 1000;
                let date = format!(
                    "Fri, 27 Nov 2026 08:{:02}:{:02} GMT",
                    1 + second / 60,
                    second % 60
                );
                clocks.heard(url, &date, at, at + millis(1));
            }
        }
        assert!(
            clocks.ahead_of("a") < millis(400),
            "{:?}",
            clocks.ahead_of("a")
        );
        assert_eq!(clocks.difference(), None);
    }
}
