//! A server on a free port with a desk that the test holds the other end of.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::documents::{MemberDoc, StatusDoc};
use pgherd_domain::{
    Accepted, Answer, ClusterSpec, ClusterView, HooksSeen, LeaderKey, LeaseSeen, LiveSeen, Lsn,
    MemberName, Moment, Operation, PeerStatus, PgRole, PgState, Plea, ServerVersion, Standing,
    SyncMode, Tags, TimelineHistory, TimelineId, Versioned, WallTime,
};
use pgherd_ports::{
    Asked, CitusAsked, Clock, Desk, PeerError, Peers, PromiseBook, PromiseStore, Shown,
    SystemClock, VoteBook, Wake,
};
use pgherd_rest::Server;
use pgherd_settings::{Restapi, Settings, load};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::store::Store;
use crate::vote::StillPostgres;

/// Nothing here takes longer, also on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A running server and everything around it.
#[derive(Debug)]
pub struct Stand {
    /// Where it answers, such as `http://127.0.0.1:40001`.
    pub url: String,
    pub clock: Arc<ShiftedClock>,
    pub store: Arc<Store>,
    pub peers: Arc<FixedPeers>,
    pub settings: Arc<Settings>,
    pub shown: watch::Sender<Option<Arc<Shown>>>,
    pub lease: watch::Sender<LeaseSeen>,
    pub requests: mpsc::Receiver<Asked>,
    pub reload: Wake,
    /// What the member promised.
    pub promises: PromiseBook,
    /// For whom it has voted.
    pub votes: VoteBook,
    pub postgres: Arc<StillPostgres>,
    pub stop: Option<oneshot::Sender<()>>,
    pub server: JoinHandle<()>,
    pub http: reqwest::Client,
}

/// The host's clock, moved forward as the test wants.
#[derive(Debug, Default)]
pub struct ShiftedClock(AtomicU64);

impl ShiftedClock {
    /// Lets time pass.
    pub fn pass(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap();
        self.0.fetch_add(nanos, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for ShiftedClock {
    fn now(&self) -> Moment {
        let shift = Duration::from_nanos(self.0.load(Ordering::SeqCst));
        SystemClock.now().plus(shift)
    }

    fn wall(&self) -> WallTime {
        SystemClock.wall()
    }

    async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep(moment.since(self.now())).await;
    }
}

/// Peers that say what the test lays down, by `api_url`.
#[derive(Debug, Default)]
pub struct FixedPeers(pub Mutex<BTreeMap<String, PeerStatus>>);

#[async_trait]
impl Peers for FixedPeers {
    async fn status(&self, api_url: &str, _patience: Duration) -> Result<PeerStatus, PeerError> {
        let known = self.0.lock().unwrap().get(api_url).cloned();
        known.ok_or_else(|| PeerError::Unreachable(api_url.to_owned()))
    }

    async fn vote(
        &self,
        api_url: &str,
        _: &MemberName,
        patience: Duration,
    ) -> Result<PeerStatus, PeerError> {
        self.status(api_url, patience).await
    }

    async fn plead(&self, api_url: &str, _: &Plea, _: Duration) -> Result<Accepted, PeerError> {
        Err(PeerError::Unreachable(api_url.to_owned()))
    }

    async fn is_alive(&self, api_url: &str, _patience: Duration) -> bool {
        self.0.lock().unwrap().contains_key(api_url)
    }

    fn configure(&self, _settings: &Settings) {}
}

/// Promises written down in memory.
#[derive(Debug, Default)]
pub struct Notes(pub Mutex<BTreeMap<MemberName, Moment>>);

#[async_trait]
impl PromiseStore for Notes {
    async fn load(&self) -> Result<BTreeMap<MemberName, Moment>, String> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn keep(&self, promises: &BTreeMap<MemberName, Moment>) -> Result<(), String> {
        self.0.lock().unwrap().clone_from(promises);
        Ok(())
    }
}

impl Stand {
    /// A server with plain settings.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server whose `restapi` is adjusted first. Nothing is shown yet.
    pub async fn start_with(adjust: impl FnOnce(&mut Restapi)) -> Self {
        Self::start_for(adjust, None).await
    }

    /// The same, of a member of Citus' coordinator when `citus` hears its messages.
    pub async fn start_for(
        adjust: impl FnOnce(&mut Restapi),
        citus: Option<mpsc::Sender<CitusAsked>>,
    ) -> Self {
        let mut settings = settings();
        settings.changing.restapi.listen.port = 0;
        adjust(&mut settings.changing.restapi);
        let settings = Arc::new(settings);
        let (shown, see_shown) = watch::channel(None);
        let (lease, see_lease) = watch::channel(LeaseSeen::NONE);
        let (ask, requests) = mpsc::channel(8);
        let (stop, stopped) = oneshot::channel();
        let (store, peers) = (
            Arc::new(Store::new(view())),
            Arc::new(FixedPeers::default()),
        );
        let (clock, reload) = (Arc::new(ShiftedClock::default()), Wake::new());
        let promises = PromiseBook::new(Arc::new(Notes::default()));
        let (votes, postgres) = (VoteBook::default(), Arc::new(StillPostgres::default()));
        let desk = Desk {
            shown: see_shown,
            lease: see_lease,
            requests: ask,
            reload: reload.clone(),
            wake: Wake::new(),
            clock: clock.clone(),
            dcs: store.clone(),
            peers: peers.clone(),
            promises: promises.clone(),
            votes: votes.clone(),
            postgres: postgres.clone(),
            citus,
        };
        let server = Server::bind(Arc::clone(&settings)).await.unwrap();
        let scheme = settings.changing.restapi.scheme();
        let url = format!("{scheme}://{}", server.address().unwrap());
        let shutdown = async move { drop(stopped.await) };
        let server = tokio::spawn(server.run(desk, shutdown));
        let http = client(reqwest::Client::builder());
        let stop = Some(stop);
        Self {
            url,
            clock,
            store,
            peers,
            settings,
            shown,
            lease,
            requests,
            reload,
            promises,
            votes,
            postgres,
            stop,
            server,
            http,
        }
    }

    /// A server whose member `a` leads.
    pub async fn leading() -> Self {
        let stand = Self::start().await;
        stand.show(&stand.sample());
        stand.hold_lease(Duration::from_secs(600));
        stand
    }

    pub fn hold_lease(&self, span: Duration) {
        let good_until = Some(self.clock.now().plus(span));
        self.lease.send_replace(LeaseSeen {
            standing: Standing::Held,
            good_until,
            trouble: None,
        });
    }

    pub fn show(&self, shown: &Shown) {
        self.shown.send_replace(Some(Arc::new(shown.clone())));
    }

    /// What a turn of the leader `a` shows.
    pub fn sample(&self) -> Shown {
        let now = self.clock.now();
        Shown {
            at: now,
            spec: Arc::new(spec()),
            settings: Arc::clone(&self.settings),
            state: PgState::Running,
            role: PgRole::Primary,
            live: Some(live()),
            system_id: Some("7277694203142172922".into()),
            cluster: Some((Arc::new(self.store.view()), now, SystemClock.wall())),
            dcs_answers: true,
            member: MemberDoc::default(),
            line: "no action. I am (a), the leader with the lock".into(),
            running: true,
            failsafe_active: false,
            unfenced: None,
            hooks: HooksSeen::default(),
            watchdog_failed: false,
        }
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        answer(self.http.get(format!("{}{path}", self.url))).await
    }

    pub async fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let method = method.parse().unwrap();
        answer(
            self.http
                .request(method, format!("{}{path}", self.url))
                .body(body.to_owned()),
        )
        .await
    }

    /// Answers the next request to the agent, and tells what it was.
    pub async fn serve_one(&mut self, answer: Answer) -> Operation {
        let asked = tokio::time::timeout(LIMIT, self.requests.recv())
            .await
            .unwrap()
            .unwrap();
        asked.reply.send(answer).unwrap();
        asked.operation
    }
}

/// Code and body.
pub async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// A client that trusts everybody unless told otherwise, without proxies.
pub fn client(builder: reqwest::ClientBuilder) -> reqwest::Client {
    builder
        .tls_backend_preconfigured(crate::tls::trusting())
        .no_proxy()
        .timeout(LIMIT)
        .build()
        .unwrap()
}

pub fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

/// `a` leads, `b` follows.
pub fn view() -> ClusterView {
    let member = |host: &str| MemberDoc {
        api_url: format!("http://{host}:8008/patroni"),
        conn_url: format!("postgres://{host}:5432/postgres"),
        state: Some(PgState::Running),
        timeline: Some(TimelineId(3)),
        xlog_location: Some(Lsn::new(1_000)),
        ..MemberDoc::default()
    };
    let config = json!({"ttl": 30, "loop_wait": 10, "retry_timeout": 10});
    ClusterView {
        leader: Some(LeaderKey {
            name: name("a"),
            revision: 5,
            on_my_lease: true,
        }),
        members: [
            (name("a"), member("10.0.0.1")),
            (name("b"), member("10.0.0.2")),
        ]
        .into(),
        config: Some(Versioned {
            value: config,
            revision: 50,
        }),
        status: StatusDoc {
            optime: Some(Lsn::new(1_000)),
            ..StatusDoc::default()
        },
        ..ClusterView::default()
    }
}

/// A replica that is fit to take over.
pub fn fit() -> PeerStatus {
    PeerStatus {
        state: Some(PgState::Running),
        role: Some(PgRole::Replica),
        is_primary: false,
        position: Lsn::new(1_000),
        timeline: Some(TimelineId(3)),
        nofailover: false,
        failover_priority: 1,
        watchdog_failed: false,
    }
}

pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub fn settings() -> Settings {
    let file = "scope: demo\nname: a\netcd3: {hosts: '127.0.0.1:2379'}\n\
                restapi: {listen: '127.0.0.1:8008', connect_address: '127.0.0.1:8008'}\n\
                postgresql:\n  listen: 127.0.0.1:5432\n  connect_address: 10.0.0.1:5432\n  data_dir: /d\n  \
                authentication: {superuser: {username: s}, replication: {username: r}}\n";
    let files = [("a.yml".to_owned(), file.to_owned())];
    let loaded = load(&files, &BTreeMap::new()).unwrap();
    loaded.local.effective(None).0
}

fn spec() -> ClusterSpec {
    ClusterSpec {
        me: name("a"),
        store: "etcd",
        conn_url: "postgres://10.0.0.1:5432/postgres".into(),
        api_url: "http://10.0.0.1:8008/patroni".into(),
        proxy_url: None,
        version: "4.1.5".into(),
        tags: Tags::default(),
        ttl: Duration::from_secs(30),
        loop_wait: Duration::from_secs(10),
        retry_timeout: Duration::from_secs(10),
        maximum_lag_on_failover: 1_048_576,
        check_timeline: false,
        primary_start_timeout: Duration::from_secs(300),
        primary_race_backoff: Duration::ZERO,
        max_timelines_history: 0,
        pause: false,
        synchronous_mode: SyncMode::Off,
        synchronous_mode_strict: false,
        synchronous_node_count: 1,
        maximum_lag_on_syncnode: None,
        zones: None,
        silent_standby: Some(Duration::from_secs(5)),
        use_slots: true,
        member_slots_ttl: Duration::from_secs(1_800),
        permanent_slots: Vec::new(),
        logical_slots: BTreeMap::new(),
        ignore_slots: Vec::new(),
        slot_budget: None,
        start_timeout: Duration::from_secs(60),
        primary_stop_timeout: None,
        use_pg_rewind: false,
        reclone_when_rewind_fails: false,
        reclone_when_diverged: false,
        copies_when_wal_is_gone: true,
        runs_pre_promote: false,
        restores_without_leader: false,
        may_bootstrap: true,
        dynamic_config: None,
        knows_config: true,
        failsafe_mode: false,
        watchdog: pgherd_domain::WatchdogMode::Automatic,
        standby: None,
    }
}

fn live() -> LiveSeen {
    LiveSeen {
        in_recovery: false,
        timeline: TimelineId(3),
        flushed: Lsn::new(1_000),
        received: Lsn::default(),
        replayed: Lsn::default(),
        replayed_at: None,
        replay_paused: false,
        apply_delay: Duration::ZERO,
        stop_before: None,
        slot_parameters: pgherd_domain::SlotParameters::default(),
        outgrown: false,
        receiver: None,
        version: ServerVersion(150_018),
        started_at: "2024-08-28 19:39:26.352526+00".into(),
        slots: BTreeMap::new(),
        replication: Vec::new(),
        synchronous_standby_names: String::new(),
        synchronous_commit: "on".into(),
        configured_upstream: None,
        restores_from_archive: false,
        history: TimelineHistory::default(),
        pending_restart: BTreeMap::new(),
    }
}
