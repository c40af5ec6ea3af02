//! The local server: what is remembered of it between two looks, and the port itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pgherd_domain::{
    Adjustment, ClusterView, HooksSeen, Moment, PgRole, PostgresSeen, SlotParameters, Upstream,
    UpstreamSeen, Work, WorkError,
};
use pgherd_pgconf::{PidFile, StandbyNames};
use pgherd_ports::{AdjustError, Clock, LocalPostgres, Progress, Wake};
use pgherd_settings::Settings;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::act::logical_slots::LogicalSlots;
use crate::aside::Aside;
use crate::configuration::EndOfReplay;
use crate::connect::Door;
use crate::control::Control;
use crate::hooks::Hooks;
use crate::observe::{DISK_PATIENCE, Look, Seen};
use crate::parameters::Checked;
use crate::place::Place;
use crate::process::{self, Family, Launched, Postmaster, Watch};
use crate::query::Heartbeat;
use crate::setup::{SetupError, settle};
use crate::standbys::Glance;

/// One PostgreSQL server on this host.
#[derive(Debug)]
pub struct LocalServer {
    pub(crate) place: Place,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) control: Control,
    pub(crate) watch: Watch,
    /// What was last seen, for facts that a probe does not give this time.
    pub(crate) seen: Mutex<Seen>,
    /// The look at the disk that has not come back yet.
    pub(crate) look: Look,
    /// Held while files of the configuration are written; with what PostgreSQL said of the parameters.
    pub(crate) writing: tokio::sync::Mutex<Checked>,
    /// The operator's callbacks and hooks.
    pub(crate) hooks: Hooks,
    /// Logical slots that are made and moved in the background.
    pub(crate) logical: LogicalSlots,
    wanted: Mutex<Wanted>,
    /// The standbys that streamed at the last glance.
    pub(crate) standbys: Mutex<Glance>,
    /// What was launched and was not seen to be a postmaster yet.
    launched: Mutex<Option<Launched>>,
    /// A long work runs that writes files or moves processes: settings are only taken in.
    working: AtomicBool,
}

/// What files are to say.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The settings in force.
    pub(crate) settings: Arc<Settings>,
    /// The role whose overrides apply.
    pub(crate) role: PgRole,
    /// Who says `synchronous_standby_names`; `None` until the agent has said it.
    pub(crate) names: Option<StandbyNames>,
    /// What logical slots need; `None` until the agent has said it.
    pub(crate) slot_parameters: Option<SlotParameters>,
    /// Where replay is to stop, if anywhere; `None` until that was said.
    pub(crate) stop_before: Option<Option<EndOfReplay>>,
    /// The upstream that was ordered last; `None` until one was.
    pub(crate) upstream: Option<Option<Upstream>>,
    /// The settings and the role that the files have.
    pub(crate) applied: Option<(Arc<Settings>, PgRole)>,
    /// The dynamic configuration that was last kept beside the data; `None` when those may be others now.
    pub(crate) kept: Option<Arc<Value>>,
}

impl LocalServer {
    /// A server as `settings` describe it. Nothing on disk is touched. `wake` is woken when the connection
    /// to the server breaks. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When programs are missing, there is no account to run PostgreSQL as, or the data directory is one
    /// that PostgreSQL would refuse.
    pub fn new(
        settings: Arc<Settings>,
        clock: Arc<dyn Clock>,
        wake: Wake,
    ) -> Result<Self, SetupError> {
        let place = settle(&settings.fixed.place)?;
        let now = clock.now();
        Ok(Self {
            place,
            hooks: Hooks::new(Arc::clone(&clock)),
            logical: LogicalSlots::default(),
            clock,
            heartbeat: Heartbeat::new(wake),
            control: Control::default(),
            watch: Watch::default(),
            seen: Mutex::new(Seen::nothing(now)),
            look: Look::default(),
            writing: tokio::sync::Mutex::default(),
            wanted: Mutex::new(Wanted {
                settings,
                role: PgRole::Uninitialized,
                names: None,
                slot_parameters: None,
                stop_before: None,
                upstream: None,
                applied: None,
                kept: None,
            }),
            standbys: Mutex::default(),
            launched: Mutex::default(),
            working: AtomicBool::new(false),
        })
    }

    /// What files are to say now.
    pub(crate) fn wanted(&self) -> Wanted {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.clone()
    }

    /// Changes what files are to say.
    pub(crate) fn want(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.wanted().settings
    }

    /// The pid file of the postmaster that runs, looked at now. While the disk does not answer: of the one
    /// that was seen last, if it still runs.
    pub(crate) async fn running(&self) -> Option<PidFile> {
        let place = self.place.clone();
        let looking =
            spawn_blocking(move || process::running(place.data_dir(), &place.names().postgres));
        match timeout(DISK_PATIENCE, looking).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) | Err(_) => self.held().map(|held| held.file.clone()),
        }
    }

    /// The postmaster that was seen last, if it still runs. Does not touch the disk.
    pub(crate) fn held(&self) -> Option<Arc<Postmaster>> {
        self.watch.held().filter(|held| held.runs())
    }

    /// The postmaster that runs, looked at now and held from now on.
    pub(crate) async fn postmaster(&self) -> Option<Arc<Postmaster>> {
        self.watch.hold(&self.running().await?, self.now())
    }

    /// Notes what is launched to become the postmaster; `None`: it has ended, or is known by its pid file.
    pub(crate) fn note_launched(&self, launched: Option<Launched>) {
        *self.launched.lock().unwrap_or_else(PoisonError::into_inner) = launched;
    }

    /// What was launched, and is neither known to be a postmaster nor has ended.
    pub(crate) fn launching(&self) -> Option<Launched> {
        let launched = *self.launched.lock().unwrap_or_else(PoisonError::into_inner);
        launched.filter(|launched| launched.runs())
    }

    /// The processes on the data directory.
    pub(crate) fn family(&self) -> Family {
        let seen = self.watch.held().map(|held| held.folder.clone());
        let data_dir = self.place.data_dir();
        Family {
            folder: seen
                .or_else(|| data_dir.canonicalize_utf8().ok())
                .unwrap_or_else(|| data_dir.to_owned()),
            program: self.place.names().postgres.clone(),
        }
    }

    /// A connection to the running server as the superuser.
    pub(crate) async fn door(&self) -> Door {
        Door::local(&self.settings(), self.running().await.as_ref())
    }

    /// The data directory and what is set aside for it.
    pub(crate) fn aside(&self) -> Aside {
        Aside::new(self.place.data_dir(), self.place.files())
    }

    /// Whether a long work runs that settings must not interfere with.
    pub(crate) fn is_working(&self) -> bool {
        self.working.load(Ordering::Acquire)
    }

    /// Says that a long work runs, until the guard is dropped.
    pub(crate) fn begin_work(&self) -> Working<'_> {
        self.working.store(true, Ordering::Release);
        self.want(|wanted| wanted.kept = None);
        Working(&self.working)
    }

    /// Now.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }
}

/// A long work that runs.
pub(crate) struct Working<'a>(&'a AtomicBool);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[async_trait]
impl LocalPostgres for LocalServer {
    async fn observe(&self) -> PostgresSeen {
        self.look().await
    }

    async fn exited(&self) {
        self.watch.exited().await;
    }

    async fn standbys_changed(&self) {
        self.standbys_come_or_go().await;
    }

    async fn carry_out(&self, work: &Work, progress: &Progress) -> Result<(), WorkError> {
        self.carry(work, progress).await
    }

    async fn adjust(&self, change: &Adjustment) -> Result<(), AdjustError> {
        self.change(change).await
    }

    async fn ask_history(&self, upstream: &Upstream) -> Result<UpstreamSeen, String> {
        self.ask_upstream(upstream).await
    }

    async fn configure(
        &self,
        settings: Arc<Settings>,
        role: PgRole,
        cluster: Option<&ClusterView>,
    ) {
        self.take_settings(settings, role).await;
        if self.held().is_some() && !self.is_working() {
            self.tell_seen(role, cluster).await;
        }
    }

    fn note_leading(&self, leads: bool) {
        self.hooks.note_leading(leads);
    }

    async fn reload(&self) -> Result<(), AdjustError> {
        self.reload_anyway().await
    }

    async fn keep_dynamic(&self, dynamic: &Value) {
        self.keep(dynamic).await;
    }

    fn hooks(&self) -> HooksSeen {
        self.hooks.book()
    }

    async fn is_gone(&self) -> bool {
        self.nothing_is_left().await
    }

    async fn fence(&self) {
        self.stop_at_once().await;
    }
}
