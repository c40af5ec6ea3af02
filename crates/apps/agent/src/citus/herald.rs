//! A worker's side: its leader tells the coordinator's leader when the primary is about to stop, to be promoted, and when it
//! serves. One message after the other, each with its deadline; what is lost the coordinator finds in the DCS.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgherd_domain::{COORDINATOR_GROUP, CitusEvent, CitusStep, ClusterSpec, MemberName};
use pgherd_ports::{Clock, Groups, Peers};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::{CALL_PATIENCE, MESSAGES_MAX, within};

/// Who tells, and by which times.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) me: MemberName,
    pub(super) ttl: Duration,
    pub(super) retry_timeout: Duration,
}

impl Times {
    pub(super) fn of(spec: &ClusterSpec) -> Self {
        Self {
            me: spec.me.clone(),
            ttl: spec.ttl,
            retry_timeout: spec.retry_timeout,
        }
    }
}

/// How long an answer is waited for. Before a stop the coordinator waits for statements that are in its way, for
/// `retry_timeout` at most, and then it must be done.
pub(super) fn patience(step: CitusStep, times: &Times) -> Duration {
    match step {
        CitusStep::BeforeDemote => times.ttl.min(times.retry_timeout + CALL_PATIENCE),
        CitusStep::BeforePromote | CitusStep::AfterPromote => CALL_PATIENCE,
    }
}

/// Tells the coordinator.
#[derive(Debug)]
pub(crate) struct Herald {
    group: u32,
    messages: mpsc::Sender<Message>,
    told: Option<mpsc::Receiver<Message>>,
    /// The primary serves, and the coordinator was told.
    settled: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Message {
    event: CitusEvent,
    patience: Duration,
    done: oneshot::Sender<()>,
}

impl Herald {
    pub(super) fn new(group: u32) -> Self {
        let (messages, told) = mpsc::channel(MESSAGES_MAX);
        Self {
            group,
            messages,
            told: Some(told),
            settled: Arc::default(),
        }
    }

    /// The task that sends what is told. `None` when it has begun already.
    pub(super) fn begin(
        &mut self,
        groups: Arc<dyn Groups>,
        peers: Arc<dyn Peers>,
        clock: Arc<dyn Clock>,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let mut told = self.told.take()?;
        Some(async move {
            while let Some(message) = told.recv().await {
                let Message {
                    event,
                    patience,
                    done,
                } = message;
                let step = event.step.as_str();
                let sending = send(&event, patience, (&*groups, &*peers), &*clock);
                let sent = within(&*clock, patience, sending).await;
                let sent = sent.unwrap_or_else(|| Err(format!("no answer within {patience:?}")));
                match sent {
                    Ok(()) => debug!("the Citus coordinator knows of {step}"),
                    Err(why) => warn!(
                        "the Citus coordinator was not told of {step}: {why}; it learns it from the DCS within loop_wait"
                    ),
                }
                // Whoever waited may have gone on.
                done.send(()).ok();
            }
        })
    }

    /// Whether the primary of this group serves, as a turn saw it in which no work ran. When it does again, that is told.
    pub(super) fn note(&self, serves: bool, times: &Times) {
        if serves && !self.settled.load(Ordering::Acquire) {
            self.serves_again(times)();
        } else if !serves {
            self.settled.store(false, Ordering::Release);
        }
    }

    /// What tells that the primary serves.
    pub(super) fn serves_again(&self, times: &Times) -> Box<dyn FnOnce() + Send> {
        let (message, _) = self.message(CitusStep::AfterPromote, times);
        let (messages, settled) = (self.messages.clone(), Arc::clone(&self.settled));
        Box::new(move || {
            let sent = messages.try_send(message).is_ok();
            settled.store(sent, Ordering::Release);
        })
    }

    /// Tells one step. What it gives ends when the coordinator has answered, or will not.
    pub(super) fn tell(&self, step: CitusStep, times: &Times) -> Option<oneshot::Receiver<()>> {
        self.settled.store(false, Ordering::Release);
        let (message, answered) = self.message(step, times);
        self.messages.try_send(message).ok()?;
        Some(answered)
    }

    fn message(&self, step: CitusStep, times: &Times) -> (Message, oneshot::Receiver<()>) {
        let (done, answered) = oneshot::channel();
        let message = Message {
            event: CitusEvent {
                step,
                group: self.group,
                leader: times.me.clone(),
                timeout: times.ttl,
                cooldown: times.retry_timeout,
            },
            patience: patience(step, times),
            done,
        };
        (message, answered)
    }
}

/// Sends one message to the leader of the coordinator's group. Whether that member lives is asked first: one that does not
/// must not cost a planned stop the time that it may take to answer.
async fn send(
    event: &CitusEvent,
    patience: Duration,
    (groups, peers): (&dyn Groups, &dyn Peers),
    clock: &dyn Clock,
) -> Result<(), String> {
    let loading = within(clock, CALL_PATIENCE, groups.load(COORDINATOR_GROUP));
    let view = loading
        .await
        .ok_or("the DCS does not answer")?
        .map_err(|error| error.to_string())?;
    let leader = view.leader_member().ok_or("nobody leads its group")?;
    if leader.api_url.is_empty() {
        return Err("its leader says not where it is".to_owned());
    }
    if event.step == CitusStep::BeforeDemote
        && !peers.is_alive(&leader.api_url, CALL_PATIENCE).await
    {
        return Err(format!("{} does not answer", leader.api_url));
    }
    let telling = peers.tell_coordinator(&leader.api_url, event, patience);
    telling.await.map_err(|error| error.to_string())
}
