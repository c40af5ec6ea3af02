//! The watches on the cluster's objects and pods: they wake the loop, note when leases change, and never die in silence.
//!
//! A change only says "look again", so nothing is lost when a watch is interrupted: the loop is woken once after each new
//! start. The server ends a watch after a while; one that it does not end even then is given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pgherd_ports::keyspace::{Event, Item};
use pgherd_ports::{Clock as _, Wake};
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::fault::Fault;
use crate::http::{Request, silence};
use crate::object::Object;
use crate::pace::{connecting, pause};
use crate::store::Store;

/// No event is longer.
const EVENT_BYTES_MAX: usize = 8 << 20;
/// No clock is looked at more often.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Objects by their names.
type Seen = BTreeMap<String, Object>;

/// Watches objects of a kind for ever.
pub(crate) async fn follow(store: Arc<Store>, kind: &'static str, wake: Wake) {
    loop {
        if let Err(fault) = watch(&store, kind, &wake).await {
            tracing::debug!(kind, why = fault.text(), "watch ended; start another");
        }
        // A watch that ends at once must not be made again in a hot loop.
        sleep(pause(store.ttl())).await;
    }
}

/// Reads everything, and follows the changes from there. Ends when they can not be followed any more.
async fn watch(store: &Store, kind: &'static str, wake: &Wake) -> Result<(), Fault> {
    let listed = store.list(kind, store.operation()).await?;
    let mut version = listed.version;
    let objects = listed.objects.into_iter();
    let mut seen: Seen = objects.map(|one| (one.name.clone(), one)).collect();
    items(store, kind, &seen);
    wake.wake();
    loop {
        let begun = Instant::now();
        follow_from(store, kind, &mut version, &mut seen, wake).await?;
        if begun.elapsed() < pause(store.ttl()) {
            sleep(pause(store.ttl())).await;
        }
    }
}

/// One request, until the server ends it.
async fn follow_from(
    store: &Store,
    kind: &'static str,
    version: &mut String,
    seen: &mut Seen,
    wake: &Wake,
) -> Result<(), Fault> {
    let (wait, silent) = spans(store.ttl());
    let path = format!(
        "{}?{}&watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={}",
        store.names.path(kind, None),
        store.names.selector(),
        wait.as_secs(),
    );
    let request = Request {
        method: Method::GET,
        path: &path,
        body: None,
        patience: wait,
    };
    let over = Instant::now() + wait + silent;
    let gone = |_| Fault::silent("no answer");
    let begin = timeout(silent, store.http.begin(request));
    let mut response = begin.await.map_err(gone)??;
    if response.status().as_u16() != 200 {
        return Err(Fault::answered(format!("status {}", response.status())));
    }
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let next = timeout(over - Instant::now(), response.chunk());
        let next = match next.await {
            Ok(next) => next.map_err(|error| silence(&error))?,
            Err(_) => {
                store.http.hang_up().await;
                return Err(Fault::silent("silence"));
            }
        };
        let Some(chunk) = next else {
            return Ok(());
        };
        buffer.extend_from_slice(&chunk);
        if buffer.len() > EVENT_BYTES_MAX {
            return Err(Fault::answered("an event that is too long"));
        }
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            take_in(store, kind, &line, version, seen, wake)?;
        }
    }
}

/// How long the server may keep a watch, and how long it may be silent beyond that.
fn spans(ttl: Duration) -> (Duration, Duration) {
    let wait = (ttl / 4).clamp(Duration::from_secs(1), Duration::from_secs(30));
    (wait, connecting(ttl) * 2)
}

/// Takes one event in.
fn take_in(
    store: &Store,
    kind: &'static str,
    line: &[u8],
    version: &mut String,
    seen: &mut Seen,
    wake: &Wake,
) -> Result<(), Fault> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let event: Value = serde_json::from_slice(line)
        .map_err(|error| Fault::answered(format!("an event that is not JSON: {error}")))?;
    let what = event
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(object) = event.get("object") else {
        return Err(Fault::answered("an event without an object"));
    };
    if what == "ERROR" {
        // Mostly 410: the version is too old, and everything is read again.
        return Err(Fault::answered(object.to_string()));
    }
    let object = Object::read(object)?;
    *version = object.version.clone();
    if what == "BOOKMARK" {
        return Ok(());
    }
    let before = items(store, kind, seen);
    match what {
        "DELETED" => seen.remove(&object.name),
        _ => seen.insert(object.name.clone(), object),
    };
    let after = items(store, kind, seen);
    if wakes(store, &before, &after) {
        wake.wake();
    }
    Ok(())
}

/// The keys in what was seen; leases are noted on the way.
fn items(store: &Store, kind: &'static str, seen: &Seen) -> Vec<Item> {
    let objects: Vec<Object> = seen.values().cloned().collect();
    match kind {
        "pods" => store.items_of_pods(&objects),
        _ => store.items_of_things(&objects),
    }
}

fn wakes(store: &Store, before: &[Item], after: &[Item]) -> bool {
    let find = |items: &[Item], path: &str| {
        let found = items.iter().find(|item| item.path == path);
        found.map(|item| (item.value.clone(), item.on_my_lease))
    };
    let paths = before.iter().chain(after).map(|item| item.path.as_str());
    paths.into_iter().any(|path| {
        let (before, after) = (find(before, path), find(after, path));
        let event = Event {
            path,
            before: before.as_ref().map(|(value, _)| value.as_str()),
            after: after.as_ref().map(|(value, _)| value.as_str()),
        };
        before != after && event.wakes(store.me.as_ref())
    })
}

/// Wakes the loop when the leader's lease runs out: nobody else does, for nothing changes then.
pub(crate) async fn await_the_end(store: Arc<Store>, wake: Wake) {
    let mut woken_for = None;
    loop {
        let pause = match store.watched.last_leader() {
            Some((since, ttl)) if woken_for != Some(since) => {
                let left = since.plus(ttl).since(store.clock.now());
                if left.is_zero() {
                    woken_for = Some(since);
                    wake.wake();
                }
                left
            }
            Some(_) | None => store.ttl() / 8,
        };
        sleep(pause.max(PAUSE_MIN)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_watch_is_given_up_within_a_lease() {
        for seconds in [4, 10, 20, 30, 300] {
            let ttl = Duration::from_secs(seconds);
            let (wait, silent) = spans(ttl);
            assert!(wait + silent < ttl, "{ttl:?}");
            assert!(wait >= Duration::from_secs(1), "{ttl:?}");
        }
    }
}
