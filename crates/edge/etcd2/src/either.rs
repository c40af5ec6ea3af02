//! What section `etcd` means: Patroni's is the old API; where the servers do not have it, today's serves. The two share
//! servers and nothing else, so members of one cluster must never be in different ones (`choice` says how that is kept).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use pgherd_domain::{ClusterView, MemberName};
use pgherd_etcd::shared::{Fault, connecting};
use pgherd_etcd::{Api, Etcd, EtcdOptions};
use pgherd_ports::{
    Acquisition, Condition, Dcs, DcsError, HandOver, Key, OperatorDcs, Renewal, Wake, Written,
};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::choice::{Choice, Old, choose};
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

struct Scouts {
    old: OldEtcd,
    today: Etcd,
}

/// What an endpoint says of the old API.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Offer {
    On,
    Off,
    /// It does not tell; the text says why.
    Silent(String),
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
        let Choice { api, agreed } = scouts.look(&self.options).await?;
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
        let (options, me, wake) = (self.options.clone(), self.me.clone(), self.wake.clone());
        let dcs: Arc<dyn OperatorDcs> = match api {
            Api::V2 => Arc::new(OldEtcd::connect(options, me, wake)),
            Api::V3 => Arc::new(Etcd::connect(options, me, wake)),
        };
        *self.scouts.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(Chosen { api, dcs })
    }

    fn scouts(&self) -> Arc<Scouts> {
        let mut scouts = self.scouts.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let (old, today) = (self.options.clone(), self.options.clone());
            Arc::new(Scouts {
                old: OldEtcd::connect(old, None, Wake::new()),
                today: Etcd::connect(today, None, Wake::new()),
            })
        };
        Arc::clone(scouts.get_or_insert_with(made))
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

impl Scouts {
    async fn look(&self, options: &EtcdOptions) -> Result<Choice, DcsError> {
        let (old, today) = tokio::join!(self.old(options), self.today.traces());
        let old = old?;
        match today {
            Ok(today) => choose(&old, today).map_err(DcsError::Answered),
            // Whoever may not use today's API can not have been there, and has the same user as the other members.
            Err(DcsError::Denied(why)) if matches!(old, Old::On { .. }) => {
                tracing::info!(why, "etcd's API v3 is not for this user");
                Ok(Choice::alone(Api::V2))
            }
            Err(_) if matches!(old, Old::On { .. }) && self.is_etcd_2().await => {
                Ok(Choice::alone(Api::V2))
            }
            Err(error) => Err(error),
        }
    }

    /// What there is of the old API: each endpoint is asked on its own.
    async fn old(&self, options: &EtcdOptions) -> Result<Old, DcsError> {
        let store = self.old.store();
        store
            .pool
            .wait_for_endpoints(store.operation().deadline)
            .await;
        let patience = connecting(options.ttl);
        let key = store.prefix.key(&Key::Initialize);
        let key = &key;
        let asked = store.pool.order().into_iter().map(|endpoint| async move {
            let asking = endpoint.run(|client| async move { client.offers(key).await });
            let offer = match timeout(patience, asking).await {
                Ok(Ok(true)) => Offer::On,
                Ok(Ok(false)) => Offer::Off,
                Ok(Err(fault)) => Offer::Silent(why(fault)),
                Err(_) => Offer::Silent(format!("no answer within {patience:?}")),
            };
            (endpoint.url().to_owned(), offer)
        });
        let offers = join_all(asked).await;
        if offers.iter().any(|(_, offer)| *offer == Offer::On) {
            let view = store.read_all().await?;
            return Ok(Old::On {
                initialized: view.initialize.is_some(),
                led: view.leader.is_some(),
            });
        }
        let off = offers.iter().any(|(_, offer)| *offer == Offer::Off);
        let silent: Vec<String> = offers
            .into_iter()
            .filter_map(|(url, offer)| match offer {
                Offer::Silent(why) => Some(format!("{url}: {why}")),
                Offer::On | Offer::Off => None,
            })
            .collect();
        match (off, silent.is_empty()) {
            (true, true) => Ok(Old::Off),
            (true, false) => Ok(Old::Unknown(silent.join("; "))),
            (false, _) if silent.is_empty() => {
                Err(DcsError::Unreachable("no endpoint is known yet".to_owned()))
            }
            (false, _) => Err(DcsError::Unreachable(silent.join("; "))),
        }
    }

    /// Whether the servers are of a version that has nothing but the old API.
    async fn is_etcd_2(&self) -> bool {
        let store = self.old.store();
        let asked = |client: crate::http::Client, _| async move { client.get("version").await };
        let answer = store.pool.ask(store.operation(), asked).await;
        answer.is_ok_and(|(_, body)| {
            let said: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
            let version = said
                .as_ref()
                .and_then(|said| said.get("etcdserver")?.as_str());
            version.is_some_and(|version| version.starts_with("2."))
        })
    }
}

fn why(fault: Fault) -> String {
    match fault.settle("") {
        Ok(why) => why,
        Err(error) => error.to_string(),
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
