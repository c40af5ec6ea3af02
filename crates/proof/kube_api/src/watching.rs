//! The stream of a watch: events as they happen, a bookmark now and then, and an end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::route::{Watch, status};
use crate::state::{Change, Refusal, State};

/// Sends events until the watch ends or nobody reads any more.
pub(crate) async fn stream(
    state: Arc<State>,
    watch: Watch,
    every: Duration,
    to: mpsc::Sender<Bytes>,
) {
    let end = Instant::now() + Duration::from_secs(watch.seconds);
    let mut moved = state.moved.subscribe();
    let mut at = match watch.from {
        Some(from) => from,
        None => {
            let (there, version) = present(&state, &watch);
            if !send(&to, there).await {
                return;
            }
            version
        }
    };
    let mut bookmark = Instant::now() + every;
    loop {
        let (events, ended) = since(&state, &watch, &mut at);
        if !send(&to, events).await || ended {
            return;
        }
        let wait = end.min(bookmark);
        tokio::select! {
            () = to.closed() => return,
            moved = timeout_at(wait, moved.changed()) => match moved {
                Ok(Ok(())) => continue,
                Ok(Err(_)) => return,
                Err(_) => {}
            },
        }
        sleep_until(wait).await;
        if Instant::now() >= end {
            return;
        }
        bookmark = Instant::now() + every;
        if watch.bookmarks {
            let object = json!({
                "kind": watch.called, "apiVersion": "v1",
                "metadata": {"resourceVersion": at.to_string(), "creationTimestamp": null},
            });
            if !send(&to, vec![json!({"type": "BOOKMARK", "object": object})]).await {
                return;
            }
        }
    }
}

async fn send(to: &mpsc::Sender<Bytes>, events: Vec<Value>) -> bool {
    for event in events {
        if to.send(format!("{event}\n").into()).await.is_err() {
            return false;
        }
    }
    true
}

fn present(state: &State, watch: &Watch) -> (Vec<Value>, u64) {
    let inner = state.lock();
    let events = inner
        .objects
        .iter()
        .filter(|((kind, namespace, _), _)| kind == watch.kind && *namespace == watch.namespace)
        .filter(|(_, object)| watch.selector.finds(object))
        .map(|(_, object)| json!({"type": "ADDED", "object": object}));
    (events.collect(), inner.version)
}

/// What happened since version `at`, which moves on; whether that is known.
fn since(state: &State, watch: &Watch, at: &mut u64) -> (Vec<Value>, bool) {
    let inner = state.lock();
    if *at < inner.forgotten {
        let text = format!("too old resource version: {at} ({})", inner.forgotten);
        let gone = status(&Refusal(410, "Expired", text));
        return (vec![json!({"type": "ERROR", "object": gone})], true);
    }
    // They are in order, and mostly there is one.
    let known = inner
        .changes
        .partition_point(|change| change.version <= *at);
    let new = inner.changes.range(known..);
    let events = new.filter_map(|change| event(watch, change)).collect();
    *at = inner.version.max(*at);
    (events, false)
}

fn event(watch: &Watch, change: &Change) -> Option<Value> {
    if change.place.0 != watch.kind || change.place.1 != watch.namespace {
        return None;
    }
    let found = |object: &Option<Value>| {
        let object = object.as_ref();
        object
            .filter(|object| watch.selector.finds(object))
            .cloned()
    };
    let (kind, mut object) = match (found(&change.before), found(&change.after)) {
        (None, None) => return None,
        (None, Some(after)) => ("ADDED", after),
        (Some(_), Some(after)) => ("MODIFIED", after),
        (Some(before), None) => ("DELETED", before),
    };
    let version = json!({"metadata": {"resourceVersion": change.version.to_string()}});
    crate::merge::merge(&mut object, &version);
    Some(json!({"type": kind, "object": object}))
}
