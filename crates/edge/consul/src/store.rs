//! One cluster's prefix in Consul, and the port over it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{ClusterView, MemberName, Revision};
use pgherd_ports::keyspace::{self, Item, Prefix};
use pgherd_ports::{
    Acquisition, Condition, Dcs, DcsError, HandOver, Key, Leading, OperatorDcs, Renewal, Wake,
    Written,
};
use pgherd_settings::Consistency;
use reqwest::Method;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access::Access;
use crate::http::{Http, Request, encoded};
use crate::kv::Entry;
use crate::options::ConsulOptions;
use crate::pace::{Pace, connecting};
use crate::service::{self, Registration};
use crate::session::{Session, Sessions};
use crate::watch as watching;
use crate::write::Change;

/// The DCS port on Consul. Connections are made when first needed and by themselves again; nothing here fails because
/// Consul is down at the moment.
#[derive(Debug)]
pub struct Consul {
    store: Arc<Store>,
    /// The watch and the registration of the service; they end with this value.
    _tasks: JoinSet<()>,
}

impl Consul {
    /// Takes up one cluster's prefix. `me` is the member whose lease this is; `None` for a client that only reads and
    /// writes, which has no lease and watches nothing. `wake` is called on changes that a loop must look at (contract
    /// §4.8). To be called within a tokio runtime.
    pub fn connect(options: ConsulOptions, me: Option<MemberName>, wake: Wake) -> Self {
        let (tell, told) = watch::channel(None);
        let store = Arc::new(Store::new(options, me, tell));
        let mut tasks = JoinSet::new();
        if store.me.is_some() {
            store.tell_what_is_otherwise();
            tasks.spawn(watching::follow(Arc::clone(&store), wake));
            tasks.spawn(service::keep(Arc::clone(&store), told));
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
    pub(crate) sessions: Sessions,
    pub(crate) prefix: Prefix,
    pub(crate) me: Option<MemberName>,
    /// What sessions are called.
    pub(crate) session_name: String,
    /// Health checks that end a session.
    pub(crate) checks: Vec<String>,
    /// What my member key says, for the service's sake; `None` when I left.
    pub(crate) said: watch::Sender<Option<String>>,
    /// The service; a client that is no member has none.
    pub(crate) registration: Option<Registration>,
    retry_timeout: Duration,
    /// Revisions of keys as last seen: what unconditional writes compare with, so that one that is late never
    /// overtakes its successor.
    known: Mutex<BTreeMap<String, Revision>>,
}

impl Store {
    fn new(
        options: ConsulOptions,
        me: Option<MemberName>,
        said: watch::Sender<Option<String>>,
    ) -> Self {
        let registration = me
            .as_ref()
            .map(|me| Registration::new(&options, me.as_str()));
        let name = me.as_ref().map_or("", MemberName::as_str);
        let session_name = format!("{}-{name}", options.cluster());
        let ConsulOptions {
            consul,
            namespace,
            scope,
            ttl,
            retry_timeout,
        } = options;
        let access = Access::new(consul.access);
        Self {
            http: Http::new(consul.url, consul.tls, connecting(ttl), access),
            sessions: Sessions::new(ttl),
            prefix: Prefix::new(&namespace, &scope).without_slash_in_front(),
            session_name,
            checks: consul.checks,
            me,
            said,
            registration,
            retry_timeout,
            known: Mutex::default(),
        }
    }

    /// Says what an operator may expect to work in another way.
    fn tell_what_is_otherwise(&self) {
        if self.http.access.now().consistency != Consistency::Consistent {
            tracing::info!(
                "`consul.consistency` counts for the watch only: what decisions depend on is read consistently, for by an \
                 old `/sync` a standby could be promoted that lacks commits"
            );
        }
        if !self.checks.is_empty() {
            tracing::warn!(
                "`consul.checks` may end the lease of a primary that still runs, so Consul keeps the leader key back for \
                 ttl after that: without checks a failover is quicker"
            );
        }
    }

    /// Deadlines of a renewal that begins now.
    pub(crate) fn renewal(&self) -> Pace {
        Pace::of_renewal(self.sessions.ttl(), self.retry_timeout)
    }

    /// Deadlines of any other operation that begins now.
    pub(crate) fn operation(&self) -> Pace {
        Pace::of_operation(self.sessions.ttl(), self.retry_timeout)
    }

    /// My name and my session, which is made if needed; `true` when that happened just now.
    pub(crate) async fn my_session(&self, pace: Pace) -> Result<(&str, Session, bool), DcsError> {
        let Some(me) = &self.me else {
            return Err(DcsError::Answered(
                "this client has no session, for it is not a member".to_owned(),
            ));
        };
        let (session, fresh) = self.ensure_session(pace).await?;
        Ok((me.as_str(), session, fresh))
    }

    /// My name and my session if I have one: what the leader key must hold for me to be leading.
    pub(crate) fn claim(&self) -> Result<Option<(&str, Session)>, DcsError> {
        if self.sessions.next().is_some() {
            return Err(DcsError::Answered(
                "the session is about to be replaced by one with the new ttl; try again".to_owned(),
            ));
        }
        Ok(self
            .me
            .as_ref()
            .map(MemberName::as_str)
            .zip(self.sessions.current()))
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

    async fn read_all(&self) -> Result<ClusterView, DcsError> {
        let pace = self.operation();
        let found = self.http.ask(pace, |_| self.entries(pace)).await?;
        let sessions = [self.sessions.current(), self.sessions.next()];
        // Two while one succeeds the other.
        let mine: Vec<String> = sessions.into_iter().flatten().map(|one| one.id).collect();
        let items = found.iter().filter_map(|entry| self.item(entry, &mine));
        let items: Vec<Item> = items.collect();
        let revisions = items.iter().map(|item| (item.path.clone(), item.revision));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = revisions.collect();
        Ok(keyspace::cluster(&items))
    }

    fn item(&self, entry: &Entry, my_sessions: &[String]) -> Option<Item> {
        Some(Item {
            path: self.prefix.below(entry.key.as_bytes())?.to_owned(),
            value: entry.value.clone(),
            revision: entry.revision,
            on_my_lease: my_sessions.contains(&entry.session),
        })
    }
}

impl Entry {
    /// Whether it is this member on this session.
    pub(crate) fn is(&self, name: &str, session: &Session) -> bool {
        self.value == name && self.session == session.id
    }
}

/// Who leads. My name on a session that is not mine is a former life of this member: somebody else.
pub(crate) fn leading(holder: Option<&Entry>, claim: Option<(&str, &Session)>) -> Leading {
    let Some(holder) = holder else {
        return Leading::Nobody;
    };
    if claim.is_some_and(|(name, session)| holder.is(name, session)) {
        return Leading::Me;
    }
    match MemberName::new(&holder.value) {
        Ok(name) => Leading::Other(name),
        // A value that names no member is nobody's (contract §4.1).
        Err(_) => Leading::Nobody,
    }
}

#[async_trait]
impl Dcs for Consul {
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
        self.store.sessions.set_ttl(ttl);
    }

    fn lease_ttl(&self) -> Option<Duration> {
        self.store.sessions.current().map(|session| session.ttl)
    }

    fn configure(&self, store: &pgherd_settings::Store) {
        if let pgherd_settings::Store::Consul(consul) = store {
            self.store.http.access.set(&consul.access);
        }
    }

    async fn leave(&self) -> Result<(), DcsError> {
        self.store.leave().await
    }
}

#[async_trait]
impl OperatorDcs for Consul {
    async fn erase(&self) -> Result<(), DcsError> {
        let store = &self.store;
        let pace = store.operation();
        let path = format!("kv/{}", encoded(store.prefix.as_str()));
        let path = path.as_str();
        store
            .http
            .ask(pace, |_| async move {
                let request = Request {
                    method: Method::DELETE,
                    path,
                    query: "recurse",
                    body: None,
                    patience: pace.again,
                };
                let answer = store.http.send(request).await?;
                match answer.status {
                    200 => Ok(()),
                    _ => Err(answer.fault()),
                }
            })
            .await
    }

    async fn groups(&self) -> Result<Vec<u32>, DcsError> {
        let store = &self.store;
        let pace = store.operation();
        let found = store.http.ask(pace, |_| store.entries(pace)).await?;
        let keys = found.iter().map(|entry| entry.key.as_bytes());
        Ok(store.prefix.groups(keys))
    }
}
