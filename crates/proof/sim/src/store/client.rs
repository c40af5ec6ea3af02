//! The DCS port of one member: requests that travel, may be lost on either way, and may arrive late.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{ClusterView, MemberName};
use pgherd_ports::{Acquisition, Condition, Dcs, DcsError, HandOver, Key, Renewal, Written};
use tokio::sync::oneshot;

use super::ops::Caller;
use super::{Service, Store};
use crate::network::Place;
use crate::process::Process;

/// What the client remembers.
#[derive(Debug)]
struct Memory {
    lease: Option<u64>,
    ttl: Duration,
}

/// The DCS as one member reaches it.
#[derive(Clone)]
pub(crate) struct SimDcs {
    process: Process,
    memory: Arc<Mutex<Memory>>,
    /// Held while a lease is being made, so that two writes never make two.
    granting: Arc<tokio::sync::Mutex<()>>,
    retry_timeout: Duration,
}

impl fmt::Debug for SimDcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDcs({:?})", self.process)
    }
}

/// What the store does with a request: the time, who asks, and the answer.
type Deed<T> = Box<dyn FnOnce(&mut Store, Duration, &Caller) -> T + Send>;

impl SimDcs {
    pub(crate) fn new(process: Process, ttl: Duration, retry_timeout: Duration) -> Self {
        Self {
            process,
            memory: Arc::new(Mutex::new(Memory { lease: None, ttl })),
            granting: Arc::default(),
            retry_timeout,
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caller(&self) -> Caller {
        let memory = self.memory();
        Caller {
            name: self.process.me.clone(),
            lease: memory.lease,
            ttl: memory.ttl,
        }
    }

    /// A renewal is over within a quarter of ttl, so that several fit into a lease.
    fn renewal_patience(&self) -> Duration {
        (self.memory().ttl / 4).min(self.retry_timeout)
    }

    /// Everything else is over within a third of ttl.
    fn patience(&self) -> Duration {
        let third = (self.memory().ttl / 3).max(Duration::from_secs(1));
        third.min(self.retry_timeout)
    }

    /// Sends a request and waits for the answer, at most `patience`. The request goes its way even when
    /// nobody waits any more: it may be carried out late.
    async fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        deed: Deed<T>,
    ) -> Result<T, DcsError> {
        self.process.gate().await;
        let (answer, answered) = oneshot::channel();
        let caller = self.caller();
        let request = self.clone().deliver(caller, deed, answer);
        self.process.world.spawn(request);
        let outcome = tokio::time::timeout(patience, answered).await;
        self.process.gate().await;
        match outcome {
            Ok(Ok(result)) => result,
            // The connection died on the way.
            Ok(Err(_)) | Err(_) => Err(DcsError::TimedOut(patience, "no answer".to_owned())),
        }
    }

    /// The same for a write of the loop, around which the process may end.
    async fn write<T: Send + 'static>(&self, deed: Deed<T>) -> Result<T, DcsError> {
        self.process.before_write().await;
        let done = self.ask(self.patience(), deed).await;
        self.process.after_write().await;
        done
    }

    /// One request on its way there and back.
    async fn deliver<T: Send + 'static>(
        self,
        caller: Caller,
        deed: Deed<T>,
        answer: oneshot::Sender<Result<T, DcsError>>,
    ) {
        let (here, there) = (Place::Member(self.process.me.clone()), Place::Dcs);
        if !self.process.world.carry(&here, &there).await {
            return;
        }
        let queued = self.process.world.quietly(|state| state.store.queue());
        if !queued.is_zero() {
            self.process.world.sleep(queued).await;
        }
        let done = self
            .process
            .world
            .change(|state| match state.store.service {
                Service::Up => Some(Ok(deed(&mut state.store, state.now, &caller))),
                Service::Refusing => Some(Err(DcsError::Unreachable(
                    "every endpoint refused the connection".to_owned(),
                ))),
                Service::Silent => None,
            });
        let Some(done) = done else {
            return;
        };
        if self.process.world.carry(&there, &here).await {
            // Nobody waits any more when the answer comes too late.
            drop(answer.send(done));
        }
    }

    /// What a serializable read would give: from a node that fell behind, what it knew then. Nobody reads like
    /// this but a planted bug.
    pub(crate) async fn load_serializable(&self) -> Result<ClusterView, DcsError> {
        let me = self.process.me.clone();
        self.ask(
            self.patience(),
            Box::new(move |store, _, caller| store.view_at_node_of(&me, caller.lease)),
        )
        .await
    }

    /// Writes the leader key whoever holds it. Nobody does that but a planted bug.
    pub(crate) async fn seize_leader(&self) -> Result<Acquisition, DcsError> {
        self.ask_leased(Store::seize).await
    }

    /// Makes sure that there is a lease.
    async fn leased(&self) -> Result<(), DcsError> {
        let _alone = self.granting.lock().await;
        if self.memory().lease.is_some() {
            return Ok(());
        }
        let lease = self.ask(self.patience(), Box::new(Store::lease_of)).await?;
        self.memory().lease = Some(lease);
        Ok(())
    }

    /// Asks for something that needs a lease. When the lease turns out to be gone, once more with a new one.
    async fn ask_leased<T: Send + 'static>(
        &self,
        deed: impl Fn(&mut Store, &Caller) -> Result<T, DcsError> + Send + Clone + 'static,
    ) -> Result<T, DcsError> {
        for _ in 0..2 {
            self.leased().await?;
            let deed = deed.clone();
            let result = self
                .write(Box::new(move |store, _, caller| deed(store, caller)))
                .await?;
            if !is_lost_lease(&result) {
                return result;
            }
            self.memory().lease = None;
        }
        Err(super::ops::no_such_lease())
    }
}

fn is_lost_lease<T>(result: &Result<T, DcsError>) -> bool {
    matches!(result, Err(DcsError::Answered(text)) if text.contains("lease not found"))
}

#[async_trait]
impl Dcs for SimDcs {
    async fn load(&self) -> Result<ClusterView, DcsError> {
        self.ask(
            self.patience(),
            Box::new(|store, _, caller| store.view(caller.lease)),
        )
        .await
    }

    async fn renew(&self) -> Result<Renewal, DcsError> {
        let renewal = self
            .ask(self.renewal_patience(), Box::new(Store::renew))
            .await?;
        if !renewal.alive {
            self.memory().lease = None;
        }
        Ok(renewal)
    }

    async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        self.ask_leased(Store::acquire).await
    }

    async fn release_leader(&self) -> Result<bool, DcsError> {
        self.write(Box::new(|store, _, caller| store.release(caller)))
            .await
    }

    async fn hand_over(&self, to: &MemberName) -> Result<HandOver, DcsError> {
        let to = to.clone();
        self.write(Box::new(move |store, _, caller| {
            store.hand_over(caller, &to)
        }))
        .await
    }

    async fn put(&self, key: &Key, value: &str, when: Condition) -> Result<Written, DcsError> {
        let (key, value) = (key.clone(), value.to_owned());
        let leased = matches!(key, Key::Member(_));
        let deed = move |store: &mut Store, caller: &Caller| store.put(caller, &key, &value, when);
        if leased {
            return self.ask_leased(deed).await;
        }
        self.write(Box::new(move |store, _, caller| deed(store, caller)))
            .await?
    }

    async fn delete(&self, key: &Key, when: Condition) -> Result<Written, DcsError> {
        let key = key.clone();
        self.write(Box::new(move |store, _, caller| {
            store.delete(caller, &key, when)
        }))
        .await
    }

    fn set_ttl(&self, ttl: Duration) {
        self.memory().ttl = ttl;
    }

    async fn leave(&self) -> Result<(), DcsError> {
        self.ask(
            self.patience(),
            Box::new(|store, _, caller| store.leave(caller)),
        )
        .await?;
        self.memory().lease = None;
        Ok(())
    }
}
