//! Bugs in what the agent does to the world: its ports, wrapped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_agent::Ports;
use pgherd_domain::{
    Adjustment, ClusterView, MemberName, Moment, PgRole, PostgresSeen, Upstream, UpstreamSeen,
    Work, WorkError,
};
use pgherd_ports::{
    Acquisition, AdjustError, Condition, Dcs, DcsError, Fence, HandOver, Key, Leading,
    LocalPostgres, Progress, PromiseStore, Renewal, Written,
};
use pgherd_settings::Settings;

use super::Planted;
use crate::process::Process;
use crate::store::SimDcs;

/// How often a client library keeps its lease alive.
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// The ports of an agent with this bug.
pub(crate) fn in_ports(bug: Planted, ports: Ports, dcs: &SimDcs, process: &Process) -> Ports {
    match bug {
        Planted::RenewalsBesideTurns => {
            process
                .world
                .spawn(keep_alive(dcs.clone(), process.clone()));
            ports
        }
        Planted::LeaseFromAnswer | Planted::FenceWithoutMargin => Ports {
            dcs: Arc::new(BadDcs::new(bug, dcs, process)),
            fence: Arc::new(LateFence {
                bug,
                inner: ports.fence,
                process: process.clone(),
            }),
            postgres: Arc::new(LateStop {
                inner: ports.postgres,
                process: process.clone(),
            }),
            ..ports
        },
        Planted::ErrorRenews
        | Planted::ErrorIsLoss
        | Planted::AcquireUnconditionally
        | Planted::SyncUnconditionally
        | Planted::SerializableReads => Ports {
            dcs: Arc::new(BadDcs::new(bug, dcs, process)),
            ..ports
        },
        Planted::PromiseForgotten => Ports {
            promises: Arc::new(Forgetful(ports.promises)),
            ..ports
        },
        _ => ports,
    }
}

/// Renews as long as the process lives.
async fn keep_alive(dcs: SimDcs, process: Process) {
    loop {
        process.world.sleep(KEEP_ALIVE).await;
        process.gate().await;
        // Nobody looks at the answer.
        drop(dcs.renew().await);
    }
}

/// The DCS, used wrongly.
#[derive(Debug)]
struct BadDcs {
    bug: Planted,
    inner: SimDcs,
    process: Process,
    /// The last answer said that the key is mine.
    led: AtomicBool,
}

impl BadDcs {
    fn new(bug: Planted, dcs: &SimDcs, process: &Process) -> Self {
        Self {
            bug,
            inner: dcs.clone(),
            process: process.clone(),
            led: AtomicBool::new(false),
        }
    }

    /// What an error of a renewal is taken for.
    fn taken_for(&self, error: DcsError) -> Result<Renewal, DcsError> {
        if !self.led.load(Ordering::SeqCst) {
            return Err(error);
        }
        match self.bug {
            Planted::ErrorRenews => Ok(Renewal {
                alive: true,
                leading: Leading::Me,
            }),
            Planted::ErrorIsLoss => {
                let somebody = MemberName::new("somebody").map_err(|_| error)?;
                Ok(Renewal {
                    alive: false,
                    leading: Leading::Other(somebody),
                })
            }
            _ => Err(error),
        }
    }
}

#[async_trait]
impl Dcs for BadDcs {
    async fn load(&self) -> Result<ClusterView, DcsError> {
        if self.bug == Planted::SerializableReads {
            return self.inner.load_serializable().await;
        }
        self.inner.load().await
    }

    async fn renew(&self) -> Result<Renewal, DcsError> {
        let sent = self.process.world.now();
        let answer = match self.inner.renew().await {
            Ok(renewal) => {
                let led = renewal.leading == Leading::Me;
                self.led.store(led, Ordering::SeqCst);
                Ok(renewal)
            }
            Err(error) => self.taken_for(error),
        };
        if self.bug == Planted::LeaseFromAnswer && answer.is_ok() {
            let Process { world, me, .. } = &self.process;
            let took = world.now() - sent;
            world.quietly(|state| state.host_mut(me).planted_delay = took);
        }
        answer
    }

    async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        if self.bug == Planted::AcquireUnconditionally {
            return self.inner.seize_leader().await;
        }
        self.inner.acquire_leader().await
    }

    async fn release_leader(&self) -> Result<bool, DcsError> {
        self.led.store(false, Ordering::SeqCst);
        self.inner.release_leader().await
    }

    async fn hand_over(&self, to: &MemberName) -> Result<HandOver, DcsError> {
        self.led.store(false, Ordering::SeqCst);
        self.inner.hand_over(to).await
    }

    async fn put(&self, key: &Key, value: &str, when: Condition) -> Result<Written, DcsError> {
        let when = match (self.bug, key) {
            (Planted::SyncUnconditionally, Key::Sync) => Condition::ALWAYS,
            (_, _) => when,
        };
        self.inner.put(key, value, when).await
    }

    async fn delete(&self, key: &Key, when: Condition) -> Result<Written, DcsError> {
        self.inner.delete(key, when).await
    }

    fn set_ttl(&self, ttl: Duration) {
        self.inner.set_ttl(ttl);
    }

    fn lease_ttl(&self) -> Option<Duration> {
        self.inner.lease_ttl()
    }

    async fn leave(&self) -> Result<(), DcsError> {
        self.inner.leave().await
    }
}

/// The fence, told a deadline that is too late.
#[derive(Debug)]
struct LateFence {
    bug: Planted,
    inner: Arc<dyn Fence>,
    process: Process,
}

impl Fence for LateFence {
    fn set(&self, deadline: Option<Moment>, margin: Duration) {
        let Process { world, me, .. } = &self.process;
        let delay = world.quietly(|state| {
            let host = state.host_mut(me);
            if self.bug == Planted::FenceWithoutMargin {
                host.planted_delay = margin;
            }
            host.planted_delay
        });
        self.inner
            .set(deadline.map(|moment| moment.plus(delay)), margin);
    }
}

/// The agent's own fence, as late as the one beside it.
#[derive(Debug)]
struct LateStop {
    inner: Arc<dyn LocalPostgres>,
    process: Process,
}

#[async_trait]
impl LocalPostgres for LateStop {
    async fn observe(&self) -> PostgresSeen {
        self.inner.observe().await
    }

    async fn exited(&self) {
        self.inner.exited().await;
    }

    async fn standbys_changed(&self) {
        self.inner.standbys_changed().await;
    }

    async fn carry_out(&self, work: &Work, progress: &Progress) -> Result<(), WorkError> {
        self.inner.carry_out(work, progress).await
    }

    async fn adjust(&self, change: &Adjustment) -> Result<(), AdjustError> {
        self.inner.adjust(change).await
    }

    async fn ask_history(&self, upstream: &Upstream) -> Result<UpstreamSeen, String> {
        self.inner.ask_history(upstream).await
    }

    async fn configure(&self, settings: Arc<Settings>, role: PgRole, view: Option<&ClusterView>) {
        self.inner.configure(settings, role, view).await;
    }

    async fn reload(&self) -> Result<(), AdjustError> {
        self.inner.reload().await
    }

    async fn is_gone(&self) -> bool {
        self.inner.is_gone().await
    }

    async fn fence(&self) {
        let Process { world, me, .. } = &self.process;
        let delay = world.look(|state| state.host(me).planted_delay);
        world.sleep(delay).await;
        let renewed = world.look(|state| {
            let host = state.host(me);
            let now = host.pendulum.moment(state.now);
            host.fenced_at.is_some_and(|deadline| deadline > now)
        });
        if !renewed {
            self.inner.fence().await;
        }
    }
}

/// A disk that keeps no promise.
#[derive(Debug)]
struct Forgetful(Arc<dyn PromiseStore>);

#[async_trait]
impl PromiseStore for Forgetful {
    async fn load(&self) -> Result<BTreeMap<MemberName, Moment>, String> {
        self.0.load().await
    }

    async fn keep(&self, _: &BTreeMap<MemberName, Moment>) -> Result<(), String> {
        Ok(())
    }
}
