//! One cluster's prefix in etcd's old API, and the port over it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{ClusterView, MemberName, Revision};
use pgherd_etcd::EtcdOptions;
use pgherd_etcd::shared::{Pace, Pool, User, discover};
use pgherd_ports::keyspace::{self, Item, Prefix};
use pgherd_ports::{
    Acquisition, Condition, Dcs, DcsError, HandOver, Key, Leading, OperatorDcs, Renewal, Wake,
    Written,
};
use tokio::task::JoinSet;

use crate::answer::Said;
use crate::clocks::{self, Clocks};
use crate::http::Client;
use crate::keys::odd;
use crate::lease::{Leases, seconds};
use crate::login::Login;
use crate::members;
use crate::node::Node;
use crate::promised::Promised;
use crate::watch;
use crate::write::Change;

/// The DCS port on etcd's old API. Connections are made when first needed and by themselves again; nothing here fails
/// because etcd is down at the moment.
#[derive(Debug)]
pub struct OldEtcd {
    store: Arc<Store>,
    /// The watch, and what finds endpoints and compares their clocks; they end with this value.
    _tasks: JoinSet<()>,
}

impl OldEtcd {
    /// Takes up one cluster's prefix. `me` is the member whose lease this is; `None` for a client that only reads and
    /// writes, which has no lease and watches nothing. `wake` is called on changes that a loop must look at (contract
    /// §4.8). To be called within a tokio runtime.
    pub fn connect(options: EtcdOptions, me: Option<MemberName>, wake: Wake) -> Self {
        let (discovery, use_proxies) = (options.etcd.discovery.clone(), options.etcd.use_proxies);
        let store = Arc::new(Store::new(options, me));
        let mut tasks = JoinSet::new();
        if !use_proxies {
            tasks.spawn(members::refresh(Arc::clone(&store)));
        }
        if let Some(discovery) = discovery {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let (pool, tls) = (&store.pool, &store.pool.login().tls);
                discover(pool, tls, &discovery, || store.leases.ttl()).await;
            });
        }
        if store.me.is_some() {
            tasks.spawn(clocks::compare(Arc::clone(&store)));
            tasks.spawn(watch::follow(Arc::clone(&store), wake));
        }
        Self {
            store,
            _tasks: tasks,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

/// What all operations share.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) pool: Pool<Login>,
    pub(crate) clocks: Arc<Clocks>,
    pub(crate) leases: Leases,
    pub(crate) promised: Promised,
    pub(crate) prefix: Prefix,
    pub(crate) me: Option<MemberName>,
    user: Arc<User>,
    retry_timeout: Duration,
    /// Revisions of keys as last seen: what unconditional writes compare with, so that one that is late never overtakes
    /// its successor.
    known: Mutex<BTreeMap<String, Revision>>,
}

impl Store {
    fn new(options: EtcdOptions, me: Option<MemberName>) -> Self {
        let EtcdOptions {
            etcd,
            namespace,
            scope,
            ttl,
            retry_timeout,
        } = options;
        let user = Arc::new(User::of(&etcd));
        let clocks = Arc::new(Clocks::new());
        let login = Login {
            tls: etcd.tls,
            user: Arc::clone(&user),
            ttl,
            clocks: Arc::clone(&clocks),
        };
        let seed = me.as_ref().map_or("", MemberName::as_str);
        Self {
            pool: Pool::new(&etcd.hosts, login, seed),
            clocks,
            leases: Leases::new(ttl),
            promised: Promised::default(),
            prefix: Prefix::new(&namespace, &scope),
            me,
            user,
            retry_timeout,
            known: Mutex::default(),
        }
    }

    /// Deadlines of a renewal that begins now.
    pub(crate) fn renewal(&self) -> Pace {
        Pace::of_renewal(self.leases.ttl(), self.retry_timeout)
    }

    /// Deadlines of any other operation that begins now.
    pub(crate) fn operation(&self) -> Pace {
        Pace::of_operation(self.leases.ttl(), self.retry_timeout)
    }

    /// My name, which only a member has.
    pub(crate) fn my_name(&self) -> Result<&str, DcsError> {
        match &self.me {
            None => Err(DcsError::Answered(
                "this client has no lease, for it is not a member".to_owned(),
            )),
            Some(me) if me.as_str().starts_with('_') => Err(DcsError::Answered(format!(
                "etcd's API v2 hides keys that begin with `_`, so others would not see member `{me}`: give it another name"
            ))),
            Some(me) => Ok(me.as_str()),
        }
    }

    /// The ttl that a key is to be given by this endpoint.
    pub(crate) fn ttl_at(&self, client: &Client) -> String {
        seconds(self.leases.ttl() + client.others_ahead())
    }

    /// The revision of a key as last seen; 0: it was not there.
    pub(crate) fn known(&self, path: &str) -> Revision {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(path).copied().unwrap_or(0)
    }

    /// Notes the revision of a key.
    pub(crate) fn note(&self, path: String, revision: Revision) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(path, revision);
    }

    pub(crate) async fn read_all(&self) -> Result<ClusterView, DcsError> {
        let pace = self.operation();
        let asked = |client, _| async move { self.nodes(&client).await };
        let tree = self.pool.ask(pace, asked).await?;
        let lease = self.leases.current();
        let me = self.me.as_ref().map(MemberName::as_str);
        let mine = |node: &Node| {
            lease
                .zip(me)
                .is_some_and(|(lease, me)| lease.holds(node, me))
        };
        let leaves = tree.leaves();
        let items = leaves
            .into_iter()
            .filter_map(|node| node.item(&self.prefix, mine));
        let mut items: Vec<Item> = items.collect();
        items.sort_by(|one, other| one.path.cmp(&other.path));
        let revisions = items.iter().map(|item| (item.path.clone(), item.revision));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = revisions.collect();
        Ok(keyspace::cluster(&items))
    }
}

/// Who leads. My name from a former life is somebody else.
pub(crate) fn leading(holder: Option<&Node>, mine: bool) -> Leading {
    match holder {
        None => Leading::Nobody,
        Some(_) if mine => Leading::Me,
        // A value that names no member is nobody's (contract §4.1).
        Some(holder) => MemberName::new(&holder.value).map_or(Leading::Nobody, Leading::Other),
    }
}

#[async_trait]
impl Dcs for OldEtcd {
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
        self.store.leases.set_ttl(ttl);
    }

    fn lease_ttl(&self) -> Option<Duration> {
        self.store.leases.current().map(|lease| lease.ttl)
    }

    fn configure(&self, store: &pgherd_settings::Store) {
        if let pgherd_settings::Store::Etcd(etcd) = store {
            self.store.user.follow(etcd);
        }
    }

    async fn leave(&self) -> Result<(), DcsError> {
        self.store.leave().await
    }
}

#[async_trait]
impl OperatorDcs for OldEtcd {
    async fn erase(&self) -> Result<(), DcsError> {
        let store = &self.store;
        let prefix = store.prefix.as_str();
        let asked = |client: Client, _| async move {
            match client.remove(prefix, &[("recursive", "true")]).await? {
                Said::Done(_) | Said::Absent(_) => Ok(()),
                Said::Changed | Said::Forgotten => Err(odd(prefix)),
            }
        };
        store.pool.ask(store.operation(), asked).await
    }

    async fn groups(&self) -> Result<Vec<u32>, DcsError> {
        let store = &self.store;
        let asked = |client, _| async move { store.nodes(&client).await };
        let tree = store.pool.ask(store.operation(), asked).await?;
        let leaves = tree.leaves();
        let keys = leaves.iter().map(|node| node.key.as_bytes());
        Ok(store.prefix.groups(keys))
    }
}
