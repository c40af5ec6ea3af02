//! The endpoints: which is asked first, and how one operation asks several.

use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use pgherd_ports::DcsError;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::connect::Connect;
use crate::endpoint::Endpoint;
use crate::fault::Fault;
use crate::pace::{Pace, penalty};
use crate::race::Race;
use crate::tls::Login;

/// How many endpoints are kept; etcd clusters have 3 to 7 members.
const ENDPOINTS_MAX: usize = 16;

/// All endpoints of one etcd cluster.
#[derive(Debug)]
pub struct Pool<C: Connect = Login> {
    login: Arc<C>,
    seed: String,
    state: Mutex<State<C>>,
    /// Told when endpoints were found.
    found: Notify,
}

#[derive(Debug)]
struct State<C: Connect> {
    /// The configured ones first.
    endpoints: Vec<Arc<Endpoint<C>>>,
    configured: usize,
    /// The one that answered last is asked first.
    sticky: String,
}

/// Counts the attempts of one operation. With more than one, a conflict may be with ourselves.
#[derive(Debug, Clone, Default)]
pub struct Tries(Arc<AtomicU32>);

impl Tries {
    /// Whether some other attempt of the same operation may have reached etcd.
    pub fn repeated(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 1
    }
}

impl<C: Connect> Pool<C> {
    /// Endpoints as configured. `seed` spreads clients over them: each begins with another one.
    pub fn new(urls: &[String], login: C, seed: &str) -> Self {
        let pool = Self {
            login: Arc::new(login),
            seed: seed.to_owned(),
            state: Mutex::new(State {
                endpoints: Vec::new(),
                configured: 0,
                sticky: String::new(),
            }),
            found: Notify::new(),
        };
        pool.configure(urls);
        pool
    }

    /// Takes `urls` in the place of the addresses that were configured before; what is known of one that stays
    /// is kept.
    pub fn configure(&self, urls: &[String]) {
        let mut state = self.state();
        let configured = state.configured;
        let learned = state.endpoints.split_off(configured);
        let before = std::mem::take(&mut state.endpoints);
        let known: Vec<_> = before.iter().chain(&learned).cloned().collect();
        for url in urls.iter().take(ENDPOINTS_MAX) {
            let endpoint = self.endpoint(&known, url);
            state.endpoints.push(endpoint);
        }
        state.configured = state.endpoints.len();
        let others = learned
            .into_iter()
            .filter(|one| !urls.iter().any(|url| url == one.url()));
        let room = ENDPOINTS_MAX - state.configured;
        state.endpoints.extend(others.take(room));
        if !state.endpoints.iter().any(|one| one.url() == state.sticky) {
            let mut hasher = DefaultHasher::new();
            self.seed.hash(&mut hasher);
            let first = hasher.finish() % u64::try_from(state.configured.max(1)).unwrap_or(1);
            state.sticky = usize::try_from(first)
                .ok()
                .and_then(|first| state.endpoints.get(first))
                .map(|endpoint| endpoint.url().to_owned())
                .unwrap_or_default();
        }
        drop(state);
        self.found.notify_waiters();
    }

    /// How connections are made.
    pub fn login(&self) -> &C {
        &self.login
    }

    /// Every endpoint is connected to anew with its next request. What is under way ends as it began.
    pub fn connect_anew(&self) {
        for endpoint in &self.state().endpoints {
            endpoint.let_go();
        }
    }

    /// The one of `known` with this address, or a new one.
    fn endpoint(&self, known: &[Arc<Endpoint<C>>], url: &str) -> Arc<Endpoint<C>> {
        let found = known.iter().find(|there| there.url() == url);
        found.map_or_else(
            || Arc::new(Endpoint::new(url.to_owned(), Arc::clone(&self.login))),
            Arc::clone,
        )
    }

    /// Waits until there is somebody to ask, no longer than until `deadline`: endpoints may still be looked for.
    pub async fn wait_for_endpoints(&self, deadline: Instant) {
        let found = self.found.notified();
        if self.state().endpoints.is_empty() {
            tokio::time::timeout_at(deadline, found).await.ok();
        }
    }

    /// The addresses that were configured.
    pub fn configured(&self) -> Vec<String> {
        let state = self.state();
        let configured = state.endpoints.iter().take(state.configured);
        configured
            .map(|endpoint| endpoint.url().to_owned())
            .collect()
    }

    /// Takes the addresses that etcd names itself in use, after the configured ones; others learned before
    /// are dropped.
    pub fn learn(&self, urls: &[String]) {
        let mut state = self.state();
        let configured = state.configured;
        let known = state.endpoints.split_off(configured);
        for url in urls {
            let listed = state.endpoints.iter().any(|there| there.url() == url);
            if listed || state.endpoints.len() >= ENDPOINTS_MAX {
                continue;
            }
            let endpoint = self.endpoint(&known, url);
            state.endpoints.push(endpoint);
        }
    }

    /// Endpoints in the order in which to ask them: the last that answered, the others as listed, and those
    /// that failed lately at the end.
    pub fn order(&self) -> Vec<Arc<Endpoint<C>>> {
        let now = Instant::now();
        let state = self.state();
        let mut order = state.endpoints.clone();
        let first = order.iter().position(|one| one.url() == state.sticky);
        order.rotate_left(first.unwrap_or(0));
        order.sort_by_key(|endpoint| endpoint.is_avoided(now));
        order
    }

    /// How long a failing endpoint is asked last.
    fn penalty(&self) -> Duration {
        penalty(self.login.ttl())
    }

    /// Runs `attempt` on one endpoint after another, and beside one another, until one answers or the
    /// deadline passes (see `race`). Attempts that lost are dropped.
    ///
    /// # Errors
    /// When nobody answered in time, and at once for what every endpoint would say.
    pub async fn ask<T, F, Fut>(&self, pace: Pace, attempt: F) -> Result<T, DcsError>
    where
        F: Fn(C::Client, Tries) -> Fut + Sync,
        Fut: Future<Output = Result<T, Fault>> + Send,
        T: Send,
    {
        self.wait_for_endpoints(pace.deadline).await;
        let mut race = Race::new(self.order(), pace, self.penalty(), Instant::now());
        let tries = Tries::default();
        let mut running = FuturesUnordered::new();
        loop {
            while let Some((lane, endpoint)) = race.due(Instant::now()) {
                tries.0.fetch_add(1, Ordering::SeqCst);
                let (attempt, tries) = (&attempt, tries.clone());
                running.push(Box::pin(async move {
                    let result = endpoint.run(|client| attempt(client, tries.clone())).await;
                    (lane, endpoint, result)
                }));
            }
            tokio::select! {
                biased;
                Some((lane, endpoint, result)) = running.next() => match result {
                    Ok(value) => {
                        race.won(lane, Instant::now());
                        self.state().sticky = endpoint.url().to_owned();
                        return Ok(value);
                    }
                    Err(fault) => race.failed(lane, fault.settle(endpoint.url())?, Instant::now()),
                },
                () = sleep_until(race.next()) => {}
            }
            let now = Instant::now();
            if race.is_over(now) {
                return Err(race.lost(now));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
