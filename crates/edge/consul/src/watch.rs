//! The watch on the prefix: wakes the loop, and never dies in silence.
//!
//! A change only says "look again", so nothing is lost when the watch is interrupted: the loop is woken once after each
//! new start. It is a chain of reads that Consul answers when something changes, or after a while; one that is not
//! answered even then is given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::Revision;
use pgherd_ports::Wake;
use pgherd_ports::keyspace::Event;
use pgherd_settings::Consistency;
use tokio::time::sleep;

use crate::http::encoded;
use crate::kv::{Entry, entries};
use crate::pace::{connecting, pause};
use crate::store::Store;

/// What was there, by the path below the prefix.
type Seen = BTreeMap<String, (String, Revision)>;

/// Watches for ever.
pub(crate) async fn follow(store: Arc<Store>, wake: Wake) {
    loop {
        let why = watch(&store, &wake).await;
        tracing::debug!(agent = store.http.url(), why, "watch ended; start another");
        // A watch that ends at once must not be made again in a hot loop.
        sleep(pause(store.sessions.ttl())).await;
    }
}

/// One watch, until it ends; the text says why.
async fn watch(store: &Store, wake: &Wake) -> String {
    let path = format!("kv/{}", encoded(store.prefix.as_str()));
    let mode = match store.http.access.now().consistency {
        Consistency::Consistent => "&consistent",
        Consistency::Default => "",
        Consistency::Stale => "&stale",
    };
    let mut index = 0;
    let mut before: Option<Seen> = None;
    loop {
        let ttl = store.sessions.ttl();
        let (wait, patience) = spans(ttl, index);
        let query = format!("recurse{mode}&index={index}&wait={}ms", wait.as_millis());
        let answer = match store.http.get(&path, &query, patience).await {
            Ok(answer) => answer,
            Err(fault) => return fault.text().to_owned(),
        };
        let found = match entries(&answer) {
            Ok(found) => found,
            Err(fault) => return fault.text().to_owned(),
        };
        let Some(now) = answer.index else {
            return "its answer has no index".to_owned();
        };
        // An index that goes back belongs to servers that were restored: it is waited for from the start.
        index = if now < index { 0 } else { now.max(1) };
        let after = seen(store, found);
        let wakes = before.is_none_or(|before| wakes(store, &before, &after));
        if wakes {
            wake.wake();
        }
        before = Some(after);
    }
}

/// How long Consul may keep a read waiting, and how long it may take to answer one. It adds up to a sixteenth.
fn spans(ttl: Duration, index: u64) -> (Duration, Duration) {
    let wait = (ttl / 4).clamp(Duration::from_secs(1), Duration::from_secs(10));
    let answer = connecting(ttl);
    match index {
        0 => (wait, answer * 2),
        _ => (wait, wait + wait / 16 + answer),
    }
}

fn seen(store: &Store, found: Vec<Entry>) -> Seen {
    let below = |entry: Entry| {
        let path = store.prefix.below(entry.key.as_bytes())?.to_owned();
        Some((path, (entry.value, entry.revision)))
    };
    found.into_iter().filter_map(below).collect()
}

fn wakes(store: &Store, before: &Seen, after: &Seen) -> bool {
    let value = |seen: &Seen, path: &str| seen.get(path).map(|(value, _)| value.clone());
    let paths = before.keys().chain(after.keys());
    let changed = paths.filter(|path| before.get(*path) != after.get(*path));
    changed
        .map(|path| (path, value(before, path), value(after, path)))
        .any(|(path, before, after)| {
            let event = Event {
                path,
                before: before.as_deref(),
                after: after.as_deref(),
            };
            event.wakes(store.me.as_ref())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_watch_is_given_up_within_a_lease() {
        for seconds in [4, 10, 20, 30, 300] {
            let ttl = Duration::from_secs(seconds);
            let (wait, patience) = spans(ttl, 7);
            assert!(
                patience < ttl * 3 / 4 && patience > wait * 17 / 16,
                "{ttl:?}"
            );
        }
    }
}
