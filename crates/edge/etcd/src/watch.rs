//! The watch on the prefix: wakes the loop, and never dies in silence.
//!
//! An event only says "look again", so nothing is lost when the watch is interrupted: the loop is woken
//! once after each new start. A watch that hears nothing asks for a sign of life; without one it is given up
//! and made anew on another endpoint.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use pgherd_ports::Wake;
use pgherd_ports::keyspace::Event;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::endpoint::Endpoint;
use crate::fault::Fault;
use crate::pace::{connecting, hedge, penalty};
use crate::store::Store;
use crate::tls::Login;

/// Watches for ever.
pub(crate) async fn follow(store: Arc<Store>, wake: Wake) {
    loop {
        let ttl = store.leases.ttl();
        let Some(endpoint) = store.pool.order().into_iter().next() else {
            return;
        };
        if let Err(why) = watch(&store, &endpoint, &wake).await {
            tracing::debug!(endpoint = endpoint.url(), why, "watch ended; start another");
            endpoint.avoid_until(Instant::now() + penalty(ttl));
        }
        // A watch that ends at once must not be made again in a hot loop.
        sleep(hedge(ttl)).await;
    }
}

/// One watch on one endpoint, until it ends; the text says why.
async fn watch(store: &Store, endpoint: &Endpoint<Login>, wake: &Wake) -> Result<(), String> {
    let begun = Instant::now();
    let patience = connecting(store.leases.ttl());
    let mut stream = match timeout(patience, open(store, endpoint)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(fault)) => return Err(format!("{fault:?}")),
        Err(_) => {
            endpoint.hang_up_if_silent(begun);
            return Err(format!("no answer within {patience:?}"));
        }
    };
    let mut heard = Instant::now();
    let mut asked = heard;
    loop {
        let limits = Limits::of(store.leases.ttl());
        let until = (asked + limits.ask_after).min(heard + limits.silent);
        match timeout_at(until, stream.message()).await {
            Ok(Ok(Some(response))) => {
                heard = Instant::now();
                asked = heard;
                endpoint.forgive();
                take(store, &response, wake)?;
            }
            Ok(Ok(None)) => return Err("the server closed it".to_owned()),
            Ok(Err(error)) => return Err(format!("{:?}", Fault::from(error))),
            Err(_) if Instant::now() >= heard + limits.silent => {
                endpoint.hang_up_if_silent(heard);
                return Err(format!("silent for {:?}", limits.silent));
            }
            Err(_) => {
                asked = Instant::now();
                let sent = stream.request_progress().await;
                sent.map_err(|error| error.to_string())?;
            }
        }
    }
}

async fn open(store: &Store, endpoint: &Endpoint<Login>) -> Result<WatchStream, Fault> {
    endpoint
        .run(|mut client| async move {
            let options = WatchOptions::new().with_prefix().with_prev_key();
            let watch = client.watch(store.prefix.as_str(), Some(options));
            Ok(watch.await?)
        })
        .await
}

/// Looks at one message; an error ends the watch.
fn take(store: &Store, response: &WatchResponse, wake: &Wake) -> Result<(), String> {
    let admitted = store.terms.admit(response.header());
    admitted.map_err(|fault| format!("{fault:?}"))?;
    if response.canceled() {
        return Err(format!(
            "the server cancelled it: {}",
            response.cancel_reason()
        ));
    }
    if response.created() || response.events().iter().any(|event| wakes(store, event)) {
        wake.wake();
    }
    Ok(())
}

fn wakes(store: &Store, event: &etcd_client::Event) -> bool {
    let Some(path) = event.kv().and_then(|kv| store.prefix.below(kv.key())) else {
        return false;
    };
    let before = event
        .prev_kv()
        .map(|kv| String::from_utf8_lossy(kv.value()));
    let after = match event.event_type() {
        EventType::Put => event.kv().map(|kv| String::from_utf8_lossy(kv.value())),
        EventType::Delete => None,
    };
    let event = Event {
        path,
        before: before.as_deref(),
        after: after.as_deref(),
    };
    event.wakes(store.me.as_ref())
}

/// How long a watch may be silent.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// After this a sign of life is asked for.
    ask_after: Duration,
    /// After this it is given up.
    silent: Duration,
}

impl Limits {
    fn of(ttl: Duration) -> Self {
        Self {
            ask_after: ttl / 4,
            silent: ttl * 3 / 4,
        }
    }
}
