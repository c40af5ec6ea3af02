//! One cluster's prefix in etcd, and the port over it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{DeleteOptions, GetOptions, GetResponse, KeyValue};
use pgherd_domain::{ClusterView, MemberName, Revision};
use pgherd_ports::keyspace::{self, Item, Prefix};
use pgherd_ports::{
    Acquisition, Condition, Dcs, DcsError, HandOver, Key, Leading, OperatorDcs, Renewal, Wake,
    Written,
};
use tokio::task::JoinSet;

use crate::discovery;
use crate::lease::{Lease, Leases};
use crate::members;
use crate::options::EtcdOptions;
use crate::pace::Pace;
use crate::pool::Pool;
use crate::terms::Terms;
use crate::tls::Login;
use crate::user::User;
use crate::watch;
use crate::write::Change;

/// The DCS port on etcd v3. Connections are made when first needed and by themselves again; nothing here
/// fails because etcd is down at the moment.
#[derive(Debug)]
pub struct Etcd {
    store: Arc<Store>,
    /// The watch and the refresh of the member list; they end with this value.
    _tasks: JoinSet<()>,
}

impl Etcd {
    /// What all operations share.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Takes up one cluster's prefix. `me` is the member whose lease this is; `None` for a client that only
    /// reads and writes, which has no lease and watches nothing. `wake` is called on changes that a loop
    /// must look at (contract §4.8). To be called within a tokio runtime.
    pub fn connect(options: EtcdOptions, me: Option<MemberName>, wake: Wake) -> Self {
        let discovery = options.etcd.discovery.clone();
        let store = Arc::new(Store::new(options, me));
        let mut tasks = JoinSet::new();
        if !store.use_proxies {
            tasks.spawn(members::refresh(Arc::clone(&store)));
        }
        if let Some(discovery) = discovery {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let (pool, tls) = (&store.pool, &store.pool.login().tls);
                discovery::refresh(pool, tls, &discovery, || store.leases.ttl()).await;
            });
        }
        if store.me.is_some() {
            tasks.spawn(watch::follow(Arc::clone(&store), wake));
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
    pub(crate) pool: Pool,
    pub(crate) terms: Terms,
    pub(crate) leases: Leases,
    pub(crate) prefix: Prefix,
    pub(crate) me: Option<MemberName>,
    retry_timeout: Duration,
    use_proxies: bool,
    /// Revisions of keys as last seen: what unconditional writes compare with, so that one that is late
    /// never overtakes its successor.
    known: Mutex<BTreeMap<String, Revision>>,
}

/// The leader key as a linearizable read found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) lease: i64,
    pub(crate) revision: Revision,
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
        let login = Login {
            user: User::of(&etcd),
            tls: etcd.tls,
            ttl,
        };
        let seed = me.as_ref().map_or("", MemberName::as_str);
        Self {
            pool: Pool::new(&etcd.hosts, login, seed),
            terms: Terms::default(),
            leases: Leases::new(ttl),
            prefix: Prefix::new(&namespace, &scope),
            me,
            retry_timeout,
            use_proxies: etcd.use_proxies,
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

    /// My name and my lease, which is granted if needed; `true` when that happened just now.
    pub(crate) async fn my_lease(&self, pace: Pace) -> Result<(&str, Lease, bool), DcsError> {
        let Some(me) = &self.me else {
            return Err(DcsError::Answered(
                "this client has no lease, for it is not a member".to_owned(),
            ));
        };
        let (lease, fresh) = self.leases.ensure(&self.pool, &self.terms, pace).await?;
        Ok((me.as_str(), lease, fresh))
    }

    /// My name and my lease if I have one: what the leader key must hold for me to be leading.
    pub(crate) fn claim(&self) -> Result<Option<(&str, Lease)>, DcsError> {
        if self.leases.next().is_some() {
            return Err(DcsError::Answered(
                "the lease is about to be replaced by one with the new ttl; try again".to_owned(),
            ));
        }
        Ok(self
            .me
            .as_ref()
            .map(MemberName::as_str)
            .zip(self.leases.current()))
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
        let prefix = self.prefix.as_str();
        let found = self
            .pool
            .ask(self.operation(), |mut client, _| async move {
                let options = GetOptions::new().with_prefix();
                let found = client.get(prefix, Some(options)).await?;
                self.terms.admit(found.header())?;
                Ok(found)
            })
            .await?;
        let leases = [self.leases.current(), self.leases.next()];
        // Two while one succeeds the other.
        let mine: Vec<i64> = leases.into_iter().flatten().map(|lease| lease.id).collect();
        let items = found.kvs().iter().filter_map(|kv| self.item(kv, &mine));
        let items: Vec<Item> = items.collect();
        let revisions = items.iter().map(|item| (item.path.clone(), item.revision));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = revisions.collect();
        Ok(keyspace::cluster(&items))
    }

    fn item(&self, kv: &KeyValue, my_leases: &[i64]) -> Option<Item> {
        Some(Item {
            path: self.prefix.below(kv.key())?.to_owned(),
            value: String::from_utf8_lossy(kv.value()).into_owned(),
            revision: kv.mod_revision(),
            on_my_lease: my_leases.contains(&kv.lease()),
        })
    }
}

impl Holder {
    /// The holder out of a read of the leader key alone.
    pub(crate) fn of(found: &GetResponse) -> Option<Self> {
        found.kvs().first().map(|kv| Self {
            name: String::from_utf8_lossy(kv.value()).into_owned(),
            lease: kv.lease(),
            revision: kv.mod_revision(),
        })
    }

    /// Whether it is this member on this lease.
    pub(crate) fn is(&self, name: &str, lease: Lease) -> bool {
        self.name == name && self.lease == lease.id
    }
}

/// Who leads. My name on a lease that is not mine is a former life of this member: somebody else.
pub(crate) fn leading(holder: Option<&Holder>, claim: Option<(&str, Lease)>) -> Leading {
    let Some(holder) = holder else {
        return Leading::Nobody;
    };
    if claim.is_some_and(|(name, lease)| holder.is(name, lease)) {
        return Leading::Me;
    }
    match MemberName::new(&holder.name) {
        Ok(name) => Leading::Other(name),
        // A value that names no member is nobody's (contract §4.1).
        Err(_) => Leading::Nobody,
    }
}

#[async_trait]
impl Dcs for Etcd {
    async fn load(&self) -> Result<ClusterView, DcsError> {
        let view = self.store.read_all().await?;
        if view.leader.is_none() && view.initialize.is_none() {
            self.members_are_not_in_the_old_api().await?;
            self.store.nobody_leads_by_the_old_api().await?;
        }
        Ok(view)
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
        if let pgherd_settings::Store::Etcd(etcd) = store
            && self.store.pool.login().user.follow(etcd)
        {
            self.store.pool.connect_anew();
        }
    }

    async fn leave(&self) -> Result<(), DcsError> {
        self.store.leave().await
    }
}

#[async_trait]
impl OperatorDcs for Etcd {
    async fn erase(&self) -> Result<(), DcsError> {
        let store = &self.store;
        let prefix = store.prefix.as_str();
        store
            .pool
            .ask(store.operation(), |mut client, _| async move {
                let options = DeleteOptions::new().with_prefix();
                let done = client.delete(prefix, Some(options)).await?;
                store.terms.admit(done.header())?;
                Ok(())
            })
            .await
    }

    async fn groups(&self) -> Result<Vec<u32>, DcsError> {
        let store = &self.store;
        let prefix = store.prefix.as_str();
        let found = store
            .pool
            .ask(store.operation(), |mut client, _| async move {
                let options = GetOptions::new().with_prefix().with_keys_only();
                let found = client.get(prefix, Some(options)).await?;
                store.terms.admit(found.header())?;
                Ok(found)
            })
            .await?;
        Ok(store.prefix.groups(found.kvs().iter().map(KeyValue::key)))
    }
}
