//! One cluster's objects in Kubernetes, and the port over them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{ClusterView, MemberName, Revision};
use pgherd_ports::{
    Acquisition, Clock as _, Condition, Dcs, DcsError, HandOver, Key, OperatorDcs, Renewal,
    SystemClock, Wake, Written,
};
use tokio::task::JoinSet;

use crate::http::Http;
use crate::member::Said;
use crate::names::{GROUP, Names};
use crate::object::Object;
use crate::options::KubernetesOptions;
use crate::pace::Pace;
use crate::record::Watched;
use crate::reign::Mine;
use crate::watch;
use crate::write::Change;

/// The DCS port on objects of Kubernetes. Connections are made when first needed and by themselves again; nothing here
/// fails because no API server answers at the moment.
#[derive(Debug)]
pub struct Kubernetes {
    store: Arc<Store>,
    /// The watches; they end with this value.
    _tasks: JoinSet<()>,
}

impl Kubernetes {
    /// Takes up one cluster's objects. `me` is the member whose lease this is, and the name of its pod; `None` for a client
    /// that only reads and writes, which has no lease and watches nothing. `wake` is called on changes that a loop must
    /// look at (contract §4.8). To be called within a tokio runtime.
    #[must_use]
    pub fn connect(options: KubernetesOptions, me: Option<MemberName>, wake: Wake) -> Self {
        let store = Arc::new(Store::new(options, me));
        let mut tasks = JoinSet::new();
        if store.me.is_some() {
            for kind in [store.names.things(), "pods"] {
                tasks.spawn(watch::follow(Arc::clone(&store), kind, wake.clone()));
            }
            tasks.spawn(watch::await_the_end(Arc::clone(&store), wake));
        }
        Self {
            store,
            _tasks: tasks,
        }
    }
}

/// What all operations share.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) http: Http,
    pub(crate) names: Names,
    pub(crate) settings: pgherd_settings::Kubernetes,
    pub(crate) me: Option<MemberName>,
    /// Names the lease of this process.
    pub(crate) lease: String,
    pub(crate) clock: SystemClock,
    retry_timeout: Duration,
    ttl: Mutex<Duration>,
    mine: Mutex<Mine>,
    /// What my pod was told last.
    pub(crate) said: Mutex<Option<Said>>,
    /// One write to my pod at a time, so that none overtakes its successor.
    pub(crate) telling: tokio::sync::Mutex<()>,
    /// Since when leases have been as they are.
    pub(crate) watched: Watched,
    /// The leader's object as I left it: what the next renewal is compared with.
    leader: Mutex<Option<Object>>,
    /// Revisions of keys that others wrote, with what they were when they were first seen so.
    pub(crate) known: Mutex<BTreeMap<String, (u64, Revision)>>,
    /// The highest version that was seen of anything.
    pub(crate) highest: AtomicI64,
    writes: AtomicU64,
    /// The service that keeps the Endpoints with the configuration alive has been made.
    pub(crate) has_service: AtomicBool,
}

impl Store {
    fn new(options: KubernetesOptions, me: Option<MemberName>) -> Self {
        let KubernetesOptions {
            kubernetes,
            surroundings,
            scope,
            ttl,
            retry_timeout,
        } = options;
        let clock = SystemClock;
        let (wall, uptime) = (clock.wall().as_micros(), clock.now().as_nanos());
        let process = std::process::id();
        Self {
            http: Http::new(kubernetes.clone(), surroundings, ttl, retry_timeout),
            names: Names::new(&kubernetes, &scope),
            settings: kubernetes,
            lease: format!("{wall:x}-{uptime:x}-{process:x}-{:x}", next_handle()),
            me,
            clock,
            retry_timeout,
            ttl: Mutex::new(ttl),
            mine: Mutex::default(),
            said: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            watched: Watched::default(),
            leader: Mutex::default(),
            known: Mutex::default(),
            highest: AtomicI64::new(1),
            writes: AtomicU64::new(0),
            has_service: AtomicBool::new(false),
        }
    }

    /// The ttl of leases from now on.
    pub(crate) fn ttl(&self) -> Duration {
        *self.ttl.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// My terms as the leader.
    pub(crate) fn mine(&self) -> MutexGuard<'_, Mine> {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deadlines of a renewal that begins now.
    pub(crate) fn renewal(&self) -> Pace {
        Pace::of_renewal(self.ttl(), self.retry_timeout)
    }

    /// Deadlines of any other operation that begins now.
    pub(crate) fn operation(&self) -> Pace {
        Pace::of_operation(self.ttl(), self.retry_timeout)
    }

    /// The leader's object as I left it.
    pub(crate) fn kept_leader(&self) -> Option<Object> {
        let kept = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }

    /// Keeps it.
    pub(crate) fn keep_leader(&self, object: Option<Object>) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = object;
    }

    /// A name for one write, by which it is known when its answer was lost.
    pub(crate) fn name_of_write(&self) -> String {
        format!("{}-{:x}", self.lease, self.next_number())
    }

    /// A number that this handle has not used before.
    pub(crate) fn next_number(&self) -> u64 {
        self.writes.fetch_add(1, Ordering::Relaxed)
    }
}

/// Two handles of one process are two lives of a member.
fn next_handle() -> u64 {
    static HANDLES: AtomicU64 = AtomicU64::new(0);
    HANDLES.fetch_add(1, Ordering::Relaxed)
}

#[async_trait]
impl Dcs for Kubernetes {
    async fn load(&self) -> Result<ClusterView, DcsError> {
        self.store.read_all().await
    }

    async fn renew(&self) -> Result<Renewal, DcsError> {
        self.store.renew().await
    }

    async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        self.store.acquire_leader().await
    }

    async fn release_leader(&self) -> Result<bool, DcsError> {
        self.store.release_leader().await
    }

    async fn hand_over(&self, to: &MemberName) -> Result<HandOver, DcsError> {
        self.store.hand_over(to).await
    }

    async fn put(&self, key: &Key, value: &str, when: Condition) -> Result<Written, DcsError> {
        self.store.write(key, Change::Put(value), when).await
    }

    async fn delete(&self, key: &Key, when: Condition) -> Result<Written, DcsError> {
        self.store.write(key, Change::Delete, when).await
    }

    fn set_ttl(&self, ttl: Duration) {
        let now = &self.store.ttl;
        *now.lock().unwrap_or_else(PoisonError::into_inner) = ttl;
    }

    fn lease_ttl(&self) -> Option<Duration> {
        let of_leader = self.store.mine().ttl();
        of_leader.or_else(|| self.store.said_ttl())
    }

    fn configure(&self, store: &pgherd_settings::Store) {
        if let pgherd_settings::Store::Kubernetes(kubernetes) = store {
            self.store.http.set_codes(&kubernetes.retriable_http_codes);
        }
    }

    async fn leave(&self) -> Result<(), DcsError> {
        self.store.leave().await
    }
}

#[async_trait]
impl OperatorDcs for Kubernetes {
    async fn erase(&self) -> Result<(), DcsError> {
        let store = &self.store;
        let pace = store.operation();
        let kind = store.names.things();
        store.http.ask(pace, |_| store.delete_all(kind, pace)).await
    }

    async fn groups(&self) -> Result<Vec<u32>, DcsError> {
        let store = &self.store;
        let pace = store.operation();
        let kind = store.names.things();
        let listed = store.http.ask(pace, |_| store.list(kind, pace)).await?;
        let groups = listed.objects.iter();
        let mut groups: Vec<u32> = groups
            .filter_map(|object| object.labels.get(GROUP)?.parse().ok())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }
}
