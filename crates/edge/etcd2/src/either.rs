//! What section `etcd` means: Patroni's is the old API; where the servers do not have it, today's serves. The two share
//! servers and nothing else, so members of one cluster must never be in different ones (`choice` says how that is kept).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{ClusterView, MemberName};
use pgherd_etcd::shared::Pace;
use pgherd_etcd::{Api, Etcd, EtcdOptions};
use pgherd_ports::{
    Acquisition, Condition, Dcs, DcsError, HandOver, Key, OperatorDcs, Renewal, Wake, Written,
};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::choice::Choice;
use crate::scouts::Scouts;
use crate::store::OldEtcd;

/// The DCS port on whichever of etcd's APIs a cluster is in. Until that is known every call is an error that says why; once
/// it is, it holds for as long as this value lives.
pub struct EitherEtcd {
    options: EtcdOptions,
    me: Option<MemberName>,
    wake: Wake,
    chosen: OnceCell<Chosen>,
    /// Clients that look around before anything is chosen.
    scouts: Mutex<Option<Arc<Scouts>>>,
    told: Mutex<Told>,
}

/// What is to be passed on to the store once there is one.
#[derive(Default)]
struct Told {
    ttl: Option<Duration>,
    settings: Option<pgherd_settings::Store>,
}

struct Chosen {
    api: Api,
    dcs: Arc<dyn OperatorDcs>,
}

impl EitherEtcd {
    /// Takes up one cluster's prefix, as the stores on either API do.
    pub fn connect(options: EtcdOptions, me: Option<MemberName>, wake: Wake) -> Self {
        Self {
            options,
            me,
            wake,
            chosen: OnceCell::new(),
            scouts: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// The API that was chosen; `None` while that is open.
    pub fn api(&self) -> Option<Api> {
        self.chosen.get().map(|chosen| chosen.api)
    }

    async fn dcs(&self) -> Result<&Arc<dyn OperatorDcs>, DcsError> {
        let chosen = self.chosen.get_or_try_init(|| self.choose()).await?;
        let told = std::mem::take(&mut *self.told());
        if let Some(ttl) = told.ttl {
            chosen.dcs.set_ttl(ttl);
        }
        if let Some(settings) = &told.settings {
            chosen.dcs.configure(settings);
        }
        Ok(&chosen.dcs)
    }

    async fn choose(&self) -> Result<Chosen, DcsError> {
        let scouts = self.scouts();
        let pace = Pace::of_operation(self.options.ttl, self.options.retry_timeout);
        // There is no lease yet that would not stand a longer wait, and what is wrong can be told.
        let patience = pace.total() * 2;
        let choosing = timeout(patience, self.choose_by(&scouts, pace));
        let api = choosing.await.unwrap_or_else(|_| {
            let why = "it is not known yet whether this cluster is in its API v2 or v3";
            Err(DcsError::TimedOut(patience, why.to_owned()))
        })?;
        let (options, me, wake) = (self.options.clone(), self.me.clone(), self.wake.clone());
        let dcs: Arc<dyn OperatorDcs> = match api {
            Api::V2 => Arc::new(OldEtcd::connect(options, me, wake)),
            Api::V3 => Arc::new(Etcd::connect(options, me, wake)),
        };
        *self.scouts.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(Chosen { api, dcs })
    }

    async fn choose_by(&self, scouts: &Scouts, pace: Pace) -> Result<Api, DcsError> {
        let Choice { api, agreed } = scouts.look(pace).await?;
        // Who is no member looks, and leaves it to members to agree.
        if !agreed && self.me.is_some() {
            let counts = scouts.today.agree(api).await?;
            if counts != api {
                return Err(DcsError::Answered(
                    "another member of this cluster chose the other API of etcd in the same moment; it is looked at again"
                        .to_owned(),
                ));
            }
        }
        if self.me.is_some() {
            tell(api);
        }
        Ok(api)
    }

    fn scouts(&self) -> Arc<Scouts> {
        let mut scouts = self.scouts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(scouts.get_or_insert_with(|| Arc::new(Scouts::send(&self.options))))
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(api: Api) {
    match api {
        Api::V2 => tracing::info!("this cluster is in etcd's API v2, as Patroni's section `etcd`"),
        Api::V3 => tracing::info!(
            "this cluster is in etcd's API v3, although the section is `etcd`: its servers have v2 switched off, or it has \
             been there before. Patroni's section for it is `etcd3`"
        ),
    }
}

impl fmt::Debug for EitherEtcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EitherEtcd")
            .field("api", &self.api())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Dcs for EitherEtcd {
    async fn load(&self) -> Result<ClusterView, DcsError> {
        self.dcs().await?.load().await
    }

    async fn renew(&self) -> Result<Renewal, DcsError> {
        self.dcs().await?.renew().await
    }

    async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        self.dcs().await?.acquire_leader().await
    }

    async fn release_leader(&self) -> Result<bool, DcsError> {
        self.dcs().await?.release_leader().await
    }

    async fn hand_over(&self, to: &MemberName) -> Result<HandOver, DcsError> {
        self.dcs().await?.hand_over(to).await
    }

    async fn put(&self, key: &Key, value: &str, when: Condition) -> Result<Written, DcsError> {
        self.dcs().await?.put(key, value, when).await
    }

    async fn delete(&self, key: &Key, when: Condition) -> Result<Written, DcsError> {
        self.dcs().await?.delete(key, when).await
    }

    fn set_ttl(&self, ttl: Duration) {
        match self.chosen.get() {
            Some(chosen) => chosen.dcs.set_ttl(ttl),
            None => self.told().ttl = Some(ttl),
        }
    }

    fn lease_ttl(&self) -> Option<Duration> {
        self.chosen.get()?.dcs.lease_ttl()
    }

    fn configure(&self, store: &pgherd_settings::Store) {
        match self.chosen.get() {
            Some(chosen) => chosen.dcs.configure(store),
            None => self.told().settings = Some(store.clone()),
        }
    }

    async fn leave(&self) -> Result<(), DcsError> {
        self.dcs().await?.leave().await
    }
}

#[async_trait]
impl OperatorDcs for EitherEtcd {
    async fn erase(&self) -> Result<(), DcsError> {
        self.dcs().await?.erase().await?;
        if self.api() != Some(Api::V2) {
            return Ok(());
        }
        // What members agreed on is in the other API.
        match self.scouts().today.erase().await {
            Ok(()) | Err(DcsError::Denied(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn groups(&self) -> Result<Vec<u32>, DcsError> {
        self.dcs().await?.groups().await
    }
}
