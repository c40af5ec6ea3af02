//! One cluster's prefix in ZooKeeper, and the port over it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{ClusterView, MemberName};
use pgherd_ports::{
    Acquisition, Condition, Dcs, DcsError, HandOver, Key, OperatorDcs, Renewal, Wake, Written,
};
use tokio::task::JoinSet;

use crate::attempt::Change;
use crate::ensemble::{Ensemble, Exchange};
use crate::exhibitor;
use crate::fault::explain;
use crate::lease::Lease;
use crate::link::{Answer, Link};
use crate::login::{Login, Session};
use crate::options::ZooKeeperOptions;
use crate::pace::Pace;
use crate::paths::Paths;
use crate::reign::Reign;
use crate::request::{Request, code};
use crate::watch;

/// Connections that are kept for the next operation; more are made when more run at once.
const IDLE_MAX: usize = 3;

/// The session of a client that is no member lives no longer than this: each command leaves one behind.
const CLIENT_SESSION: Duration = Duration::from_secs(6);

/// The DCS port on ZooKeeper. Connections are made when first needed and by themselves again; nothing here
/// fails because ZooKeeper is down at the moment.
#[derive(Debug)]
pub struct ZooKeeper {
    store: Arc<Store>,
    /// The watch and the poll of Exhibitor; they end with this value.
    _tasks: JoinSet<()>,
}

impl ZooKeeper {
    /// Takes up one cluster's prefix. `me` is the member whose lease this is; `None` for a client that only
    /// reads and writes, which has no lease and watches nothing. `wake` is called on changes that a loop
    /// must look at (contract §4.8). To be called within a tokio runtime.
    pub fn connect(options: ZooKeeperOptions, me: Option<MemberName>, wake: Wake) -> Self {
        let exhibitor = options.zookeeper.exhibitor.clone();
        let store = Arc::new(Store::new(options, me));
        let mut tasks = JoinSet::new();
        if let Some(exhibitor) = exhibitor {
            tasks.spawn(exhibitor::poll(Arc::clone(&store), exhibitor));
        }
        if let Some(me) = store.me.clone() {
            tasks.spawn(watch::follow(Arc::clone(&store), me, wake));
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
    pub(crate) ensemble: Ensemble,
    pub(crate) paths: Paths,
    pub(crate) me: Option<MemberName>,
    /// The session that my keys hang on; one operation at a time uses it.
    pub(crate) lease: tokio::sync::Mutex<Lease>,
    retry_timeout: Duration,
    idle: Mutex<Vec<Link>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ttl: Duration,
    standing: Standing,
    /// My sessions: two while one succeeds the other.
    mine: Vec<Session>,
    /// The members as last seen.
    members: Vec<String>,
}

/// What is known of the leader key and me.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is not mine.
    Not,
    /// It was mine when last asked.
    Leading(Reign),
    /// Something was sent about it whose outcome is not known; a renewal finds out.
    Unsure,
}

impl Store {
    fn new(options: ZooKeeperOptions, me: Option<MemberName>) -> Self {
        let ZooKeeperOptions {
            zookeeper,
            namespace,
            scope,
            ttl,
            retry_timeout,
        } = options;
        let seed = me.as_ref().map_or("", MemberName::as_str);
        Self {
            ensemble: Ensemble::new(&zookeeper.hosts, Login::new(&zookeeper), seed),
            paths: Paths::new(&zookeeper.chroot, &namespace, &scope),
            me,
            lease: tokio::sync::Mutex::default(),
            retry_timeout,
            idle: Mutex::default(),
            state: Mutex::new(State {
                ttl,
                standing: Standing::Not,
                mine: Vec::new(),
                members: Vec::new(),
            }),
        }
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.state(|state| state.ttl)
    }

    /// The ttl that counts: servers may grant less than asked.
    fn granted_ttl(&self) -> Duration {
        let limit = self.state(|state| state.mine.iter().map(|session| session.lives).min());
        limit.map_or(self.ttl(), |limit| limit.min(self.ttl()))
    }

    pub(crate) fn standing(&self) -> Standing {
        self.state(|state| state.standing.clone())
    }

    pub(crate) fn stand(&self, standing: Standing) {
        self.state(|state| state.standing = standing);
    }

    /// My reign, if I have one. While the key is being taken this waits until that is over.
    ///
    /// # Errors
    /// When it is not known at the moment.
    pub(crate) async fn claim(&self, pace: &Pace) -> Result<Option<Reign>, DcsError> {
        if self.standing() == Standing::Unsure {
            drop(self.lease(pace).await?);
        }
        match self.standing() {
            Standing::Not => Ok(None),
            Standing::Leading(reign) => Ok(Some(reign)),
            Standing::Unsure => Err(DcsError::Answered(
                "whether the leader key is mine is being found out; try again".into(),
            )),
        }
    }

    /// The sessions that are mine from now on.
    pub(crate) fn note_sessions(&self, mine: Vec<Session>) {
        self.state(|state| state.mine = mine);
    }

    pub(crate) fn is_mine(&self, session: i64) -> bool {
        session != 0 && self.state(|state| state.mine.iter().any(|mine| mine.id == session))
    }

    pub(crate) fn known_members(&self) -> Vec<String> {
        self.state(|state| state.members.clone())
    }

    pub(crate) fn note_members(&self, members: &[String]) {
        self.state(|state| state.members = members.to_vec());
    }

    /// Deadlines of a renewal that begins now.
    pub(crate) fn renewal(&self) -> Pace {
        Pace::of_renewal(self.granted_ttl(), self.retry_timeout)
    }

    /// Deadlines of any other operation that begins now.
    pub(crate) fn operation(&self) -> Pace {
        Pace::of_operation(self.granted_ttl(), self.retry_timeout)
    }

    /// Asks on any session until some server answers. What was asked may have been carried out more than once
    /// when [`Pace::repeated`] says so.
    pub(crate) async fn ask(
        &self,
        requests: &[Request],
        pace: &mut Pace,
    ) -> Result<Vec<Answer>, DcsError> {
        let ttl = match self.me {
            Some(_) => self.ttl(),
            None => self.ttl().min(CLIENT_SESSION),
        };
        loop {
            let idle = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let link = match idle {
                Some(link) => link,
                None => match self.ensemble.open(Session::new(ttl), pace).await? {
                    Ok((link, _)) => link,
                    Err(_) => {
                        pace.failed("ZooKeeper", "it begins no session", false)?;
                        continue;
                    }
                },
            };
            let exchange = self.ensemble.exchange(link, requests, pace, ttl).await?;
            if let Exchange::Answered(link, answers) = exchange {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                if idle.len() < IDLE_MAX {
                    idle.push(link);
                }
                return Ok(answers);
            }
        }
    }

    /// Makes the nodes that keys lie below, as far as they are missing.
    pub(crate) async fn ensure_parents(&self, pace: &mut Pace) -> Result<(), DcsError> {
        let parents = self.paths.parents();
        let looks: Vec<Request> = parents.iter().cloned().map(exists).collect();
        let answers = self.ask(&looks, pace).await?;
        let missing = parents.into_iter().zip(answers);
        // One that is there is not made again: that may need a permission which only its maker had.
        let missing: Vec<Request> = missing
            .filter(|(_, answer)| *answer == Err(code::NO_NODE))
            .map(|(path, _)| Request::Parent { path })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        for answer in self.ask(&missing, pace).await? {
            match answer {
                Ok(_) | Err(code::NODE_EXISTS) => {}
                Err(code) => return Err(DcsError::Answered(explain(code))),
            }
        }
        Ok(())
    }
}

fn exists(path: String) -> Request {
    Request::Exists { path, watch: false }
}

#[async_trait]
impl Dcs for ZooKeeper {
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
        match key {
            Key::Member(name) => self.store.put_member(name, value, when).await,
            _ => self.store.write(key, Change::Put(value), when).await,
        }
    }

    async fn delete(&self, key: &Key, when: Condition) -> Result<Written, DcsError> {
        let change = match key {
            Key::Sync => Change::Clear,
            _ => Change::Delete,
        };
        self.store.write(key, change, when).await
    }

    fn set_ttl(&self, ttl: Duration) {
        self.store.state(|state| state.ttl = ttl);
    }

    fn lease_ttl(&self) -> Option<Duration> {
        self.store
            .state(|state| state.mine.iter().map(|session| session.lives).min())
    }

    async fn leave(&self) -> Result<(), DcsError> {
        self.store.leave().await
    }
}

#[async_trait]
impl OperatorDcs for ZooKeeper {
    async fn erase(&self) -> Result<(), DcsError> {
        self.store.erase().await
    }

    async fn groups(&self) -> Result<Vec<u32>, DcsError> {
        self.store.groups().await
    }
}
