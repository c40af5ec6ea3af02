//! Documents about the cluster (contract §16.4).

use std::sync::Arc;
use std::time::Duration;

use pgherd_api::cluster;
use pgherd_api::wanted::Wanted;
use pgherd_domain::{ClusterView, Moment};
use pgherd_ports::{DcsError, Desk, Shown};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::checks::{shown, valid_view};
use crate::reply::Reply;

/// A fresh read of the store is waited for no longer than this.
const FRESH_READ_MAX: Duration = Duration::from_secs(1);

/// A read that several share begins no sooner after the one before. On a thread with one core of its own, clients that
/// ask without a pause have asked anew by then.
const GATHER_MAX: Duration = Duration::from_micros(200);

/// A turn that was asked for is waited for no longer than this.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(400);

/// The same while the DCS does not answer this member: its turns last as long as it waits for that, and who asks in a race
/// waits for 0.25 s.
const LOOK_AGAIN_WITHOUT_DCS: Duration = Duration::from_millis(100);

/// Lets the agent look again when what it shows is older than `age`, and waits for it within a bound.
pub(crate) async fn look_again(desk: &Desk, age: Duration) {
    let asked = desk.clock.now();
    let mut watch = desk.shown.clone();
    let fresh =
        |shown: &Option<Arc<Shown>>, since| shown.as_ref().is_some_and(|shown| shown.at >= since);
    if fresh(&watch.borrow(), asked.minus(age)) {
        return;
    }
    desk.wake.wake();
    let knows = watch.borrow().as_ref().is_none_or(|it| it.dcs_answers);
    let limit = if knows {
        LOOK_AGAIN_MAX
    } else {
        LOOK_AGAIN_WITHOUT_DCS
    };
    // Late or gone, what was shown last is the answer.
    tokio::time::timeout(limit, watch.wait_for(|shown| fresh(shown, asked)))
        .await
        .ok();
}

/// Fresh reads of the store that requests share: however many ask at once, the store is read by one at a time,
/// and each gets a read that began after it had asked. The document is made once for all of them.
#[derive(Debug, Default)]
pub(crate) struct SharedReads(Mutex<Option<Read>>);

/// The last read.
#[derive(Debug)]
struct Read {
    began: Moment,
    ended: Moment,
    /// Requests that it answered besides the one that made it.
    shared: u32,
    reply: Reply,
}

impl SharedReads {
    async fn cluster(&self, desk: &Desk, scope: &str) -> Reply {
        let asked = desk.clock.now();
        let mut last = self.0.lock().await;
        match &mut *last {
            Some(read) if read.began >= asked => {
                read.shared += 1;
                return read.reply.clone();
            }
            Some(read) if read.shared > 0 => gather(desk, read.ended).await,
            Some(_) | None => {}
        }
        let began = desk.clock.now();
        let read = fresh(desk).await.ok().map(Arc::new);
        let last_seen =
            || shown(desk).and_then(|shown| Some(Arc::clone(&shown.cluster.as_ref()?.0)));
        let reply = match read.or_else(last_seen) {
            Some(view) => Reply::json(&cluster::document(scope, &view, &Wanted::of(&view))),
            None => Reply::page(503),
        };
        *last = Some(Read {
            began,
            ended: desk.clock.now(),
            shared: 0,
            reply: reply.clone(),
        });
        reply
    }
}

/// Those who were answered by the last read ask anew at about the same time. The first of them waits for the others,
/// else it would read for itself alone and they for the time of two reads.
async fn gather(desk: &Desk, ended: Moment) {
    while desk.clock.now().since(ended) < GATHER_MAX {
        tokio::task::yield_now().await;
    }
}

/// `/cluster`: a fresh read, or what was last read when the store does not answer.
pub(crate) async fn cluster(desk: &Desk, reads: &SharedReads, scope: &str) -> Reply {
    reads.cluster(desk, scope).await
}

/// `/history`.
pub(crate) fn history(desk: &Desk) -> Reply {
    with_view(desk, |view| Some(cluster::history(view)), 503)
}

/// `/config`.
pub(crate) fn config(desk: &Desk) -> Reply {
    let config = |view: &ClusterView| Some(view.config.as_ref()?.value.clone());
    with_view(desk, config, 502)
}

/// `/failsafe`, as last read: it is asked for when the store is away.
pub(crate) fn failsafe(desk: &Desk) -> Reply {
    let shown = shown(desk);
    let view = shown.as_ref().and_then(|shown| shown.cluster.as_ref());
    match view.map(|(view, _, _)| &view.failsafe) {
        Some(list) if !list.is_empty() => Reply::json(&Value::from_iter(list.clone())),
        Some(_) | None => Reply::page(502),
    }
}

/// A fresh read of the store, within its bound.
pub(crate) async fn fresh(desk: &Desk) -> Result<ClusterView, DcsError> {
    match tokio::time::timeout(FRESH_READ_MAX, desk.dcs.load()).await {
        Ok(read) => read,
        Err(_) => Err(DcsError::TimedOut(
            FRESH_READ_MAX,
            "read the cluster".to_owned(),
        )),
    }
}

fn with_view(desk: &Desk, look: impl Fn(&ClusterView) -> Option<Value>, otherwise: u16) -> Reply {
    let now = desk.clock.now();
    let found = shown(desk).and_then(|shown: Arc<Shown>| look(valid_view(&shown, now)?));
    found.map_or_else(|| Reply::page(otherwise), |value| Reply::json(&value))
}
