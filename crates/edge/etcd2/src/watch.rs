//! The watch on the prefix: wakes the loop, and never dies in silence.
//!
//! An event only says "look again", so nothing is lost when the watch is interrupted: the loop is woken once after each new
//! start. It is a chain of reads that etcd answers when something changes; one that brings nothing for a while is given up
//! and asked anew, and the head of its answer, which comes at once, is the sign of life.

use std::sync::Arc;
use std::time::Duration;

use pgherd_etcd::shared::{Endpoint, connecting, hedge, penalty};
use pgherd_ports::Wake;
use pgherd_ports::keyspace::Event;
use tokio::time::{Instant, sleep, timeout};

use crate::answer::{Answer, Said};
use crate::http::{Client, index, said_within};
use crate::login::Login;
use crate::store::Store;

/// Watches for ever.
pub(crate) async fn follow(store: Arc<Store>, wake: Wake) {
    loop {
        let ttl = store.leases.ttl();
        if let Some(endpoint) = store.pool.order().into_iter().next() {
            let why = watch(&store, &endpoint, &wake).await;
            tracing::debug!(endpoint = endpoint.url(), why, "watch ended; start another");
            endpoint.avoid_until(Instant::now() + penalty(ttl));
        }
        // A watch that ends at once must not be made again in a hot loop.
        sleep(hedge(ttl)).await;
    }
}

/// One watch on one endpoint, until it ends; the text says why.
async fn watch(store: &Store, endpoint: &Endpoint<Login>, wake: &Wake) -> String {
    let mut next = None;
    loop {
        let begun = Instant::now();
        let (client, number) = match endpoint.client().await {
            Ok(client) => client,
            Err(fault) => return format!("{fault:?}"),
        };
        match step(store, &client, next).await {
            Ok(Step { now, event }) => {
                endpoint.forgive();
                if next.is_none() || event.is_some_and(|event| wakes(store, &event)) {
                    wake.wake();
                }
                next = Some(now + 1);
            }
            Err(Ended::Said(why)) => return why,
            Err(Ended::Silent) => {
                endpoint.hang_up_if_silent(begun);
                endpoint.hang_up(number);
                return "no answer".to_owned();
            }
        }
    }
}

/// What one read brought.
struct Step {
    /// Everything up to this index of the store was seen.
    now: u64,
    event: Option<Answer>,
}

/// Why a watch ended.
enum Ended {
    Said(String),
    Silent,
}

/// One read: what happened from `next` on, which is waited for only so long.
async fn step(store: &Store, client: &Client, next: Option<u64>) -> Result<Step, Ended> {
    let Spans { head, wait } = Spans::of(store.leases.ttl());
    let from = next.map(|next| next.to_string());
    let mut parameters = vec![("wait", "true"), ("recursive", "true")];
    parameters.extend(from.as_ref().map(|from| ("waitIndex", from.as_str())));
    let opened = timeout(head, client.wait(store.prefix.as_str(), &parameters)).await;
    let response = match opened {
        Ok(Ok(response)) => response,
        Ok(Err(fault)) => return Err(Ended::Said(format!("{fault:?}"))),
        Err(_) => return Err(Ended::Silent),
    };
    let index = index(response.headers());
    if next.is_some_and(|next| index != 0 && index + 1 < next) {
        return Err(Ended::Said("its index went back".to_owned()));
    }
    if next.is_none() {
        // A change from now on is in what the next read finds, for that begins here.
        return Ok(Step {
            now: index,
            event: None,
        });
    }
    match said_within(response, wait).await {
        Ok(None) => Ok(Step {
            now: index.max(next.unwrap_or(1) - 1),
            event: None,
        }),
        Ok(Some(Said::Done(answer))) => Ok(Step {
            now: answer.node.modified_index,
            event: Some(*answer),
        }),
        Ok(Some(Said::Forgotten)) => Err(Ended::Said("too much happened meanwhile".to_owned())),
        Ok(Some(Said::Absent(_) | Said::Changed)) => {
            Err(Ended::Said("it answered something else".to_owned()))
        }
        Err(fault) => Err(Ended::Said(format!("{fault:?}"))),
    }
}

fn wakes(store: &Store, answer: &Answer) -> bool {
    if answer.node.dir {
        return true;
    }
    let Some(path) = store.prefix.below(answer.node.key.as_bytes()) else {
        return false;
    };
    let gone = matches!(
        answer.action.as_str(),
        "delete" | "expire" | "compareAndDelete"
    );
    let before = answer.before.as_ref().map(|node| node.value.as_str());
    // Patroni renews the key by writing it.
    if path == "leader" && !gone && before == Some(answer.node.value.as_str()) {
        return false;
    }
    let event = Event {
        path,
        before,
        after: (!gone).then_some(answer.node.value.as_str()),
    };
    event.wakes(store.me.as_ref())
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Spans {
    /// Until the head of the answer comes.
    head: Duration,
    /// Until something happens.
    wait: Duration,
}

impl Spans {
    fn of(ttl: Duration) -> Self {
        Self {
            head: connecting(ttl) * 2,
            wait: (ttl / 4).clamp(Duration::from_secs(1), Duration::from_secs(10)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_watch_is_given_up_within_a_lease() {
        for seconds in [4, 10, 20, 30, 300] {
            let ttl = Duration::from_secs(seconds);
            let spans = Spans::of(ttl);
            assert!(spans.head + spans.wait < ttl, "{ttl:?}");
        }
    }
}
