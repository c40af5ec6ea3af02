//! The loop: observe, decide, guard, act; then sleep until something happens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use std::time::Duration;

use pgherd_decide::{Decision, Memory, fence_margin};
use pgherd_domain::{
    Action, Answer, ClusterSpec, ClusterView, Effect, Fact, Lsn, MemberName, Moment, Notice,
    Observation, PgRole, Plea, RequestId, Revision, SyncMode, WallTime, WatchdogPlan, WorkKind,
};
use pgherd_guard::Note;
use pgherd_ports::{
    Asked, Clock, Dcs, Desk, Fence, LocalPostgres, Peers, PromiseBook, PromiseStore, Shown,
    VoteBook, Wake, Watchdog, WatchdogOrder, WatchdogWant,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::act::{Then, needs_the_lease};
use crate::citus::{CitusPorts, Part};
use crate::fan::Fan;
use crate::fence::Situation;
use crate::inquiries::Inquiries;
use crate::keeper::{self, Board};
use crate::promises::{Appeal, Roll};
use crate::settings::SettingsSource;
use crate::think::{Think, Thought, think};
use crate::worker::Worker;
use crate::{fence, promises, show, spec, tell, watchdog};

/// Requests that wait for a turn, at most.
const REQUESTS_MAX: usize = 16;
/// The shortest time from one turn to the next, so that a storm of events costs little.
const TURN_PAUSE: Duration = Duration::from_millis(5);

/// The outside world of one agent.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The store.
    pub dcs: Arc<dyn Dcs>,
    /// The local server.
    pub postgres: Arc<dyn LocalPostgres>,
    /// The other members.
    pub peers: Arc<dyn Peers>,
    /// What stops a primary when the agent can not.
    pub fence: Arc<dyn Fence>,
    /// What resets the host when nothing else can stop a primary.
    pub watchdog: Arc<dyn Watchdog>,
    /// Where promises to other members are written down.
    pub promises: Arc<dyn PromiseStore>,
    /// What a group of a Citus cluster needs besides.
    pub citus: Option<CitusPorts>,
}

/// Why an agent ends with an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// The decision was to end; the text says why and what to do.
    #[error("{0}")]
    Decided(String),
    /// etcd does not know the user or the password, and no primary runs here that would be left alone.
    #[error("Etcd3 authentication failed: {0}. Correct `username` and `password` of section etcd3")]
    LockedOut(String),
    /// Another agent runs under this name.
    #[error(
        "Can't start; there is already a node named '{name}' running at {api_url}. Give this one another name, or stop the other"
    )]
    NameTaken {
        /// The name.
        name: MemberName,
        /// Where the other one answers.
        api_url: String,
    },
}

/// Sees every turn: what was seen, what was decided, what the guard held back. For transcripts.
pub type OnTurn = Box<dyn Fn(&Observation, &Decision, &[Note]) + Send + Sync>;

/// One member's agent.
pub struct Agent {
    pub(crate) ports: Ports,
    pub(crate) wake: Wake,
    pub(crate) settings: SettingsSource,
    pub(crate) spec: Arc<ClusterSpec>,
    pub(crate) board: Arc<Board>,
    pub(crate) dcs: Fact<ClusterView>,
    pub(crate) last_read: Option<(Arc<ClusterView>, Moment, WallTime)>,
    pub(crate) worker: Worker,
    pub(crate) inquiries: Inquiries,
    pub(crate) promises: PromiseBook,
    pub(crate) votes: VoteBook,
    /// When the last read of the cluster that was answered had begun.
    pub(crate) read_began: Option<Moment>,
    pub(crate) roll: Roll,
    /// What a plea says of this leader's slots.
    slots_told: BTreeMap<String, Lsn>,
    pub(crate) appeal: watch::Sender<Option<Arc<Appeal>>>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) requests: mpsc::Receiver<Asked>,
    pub(crate) replies: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    pub(crate) next_request: u64,
    pub(crate) shutdown: watch::Receiver<bool>,
    /// This member's part in Citus.
    pub(crate) citus: Part,
    memory: Memory,
    think: Think,
    pub(crate) shown: watch::Sender<Option<Arc<Shown>>>,
    pub(crate) situation: Fan<Situation>,
    plan: watch::Sender<WatchdogPlan>,
    reload: Wake,
    on_turn: Option<OnTurn>,
    name_is_checked: bool,
    /// A primary whose commits wait for standbys: their coming and going is looked for between two turns.
    heeds_standbys: bool,
    pub(crate) last_line: (String, Moment),
    /// Why etcd does not let this agent in, when it never has.
    pub(crate) locked_out: Option<String>,
    /// The revision of a `/config` that was of no use, as last told.
    pub(crate) lost_config: Option<Revision>,
    /// Keys whose values nobody understands, as they were told.
    pub(crate) told_garbage: BTreeMap<String, Revision>,
    /// The notes of the last turn.
    pub(crate) last_notes: Vec<String>,
    /// What the last turn told besides: each is logged when it begins to hold.
    pub(crate) last_notices: Vec<Notice>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("me", &self.spec.me)
            .finish_non_exhaustive()
    }
}

/// A cluster that has never been read.
pub(crate) const fn nothing_seen() -> Fact<ClusterView> {
    Fact::Unknown {
        why: String::new(),
        since: Moment::from_nanos(0),
        last: None,
    }
}

impl Agent {
    /// An agent, and the desk at which others read and ask. `wake` is the one that the ports wake; when
    /// `shutdown` becomes true the agent stops PostgreSQL, gives the key up and ends.
    pub fn new(
        settings: SettingsSource,
        ports: Ports,
        wake: Wake,
        shutdown: watch::Receiver<bool>,
    ) -> (Self, Desk) {
        let spec = Arc::new(spec::of_settings(&settings));
        let now = ports.clock.now();
        let board = Board::new(spec.me.clone(), spec.ttl, now);
        let (ask, requests) = mpsc::channel(REQUESTS_MAX);
        let shown = watch::Sender::new(None);
        let reload = Wake::new();
        let promises = PromiseBook::new(Arc::clone(&ports.promises));
        let votes = VoteBook::default();
        let plan = watchdog::plan(settings.in_force());
        let group = settings.in_force().fixed.citus.as_ref();
        let (citus, hears_citus) = Part::of(group.map(|citus| citus.group), ports.citus.as_ref());
        let desk = Desk {
            shown: shown.subscribe(),
            lease: board.subscribe(),
            requests: ask,
            reload: reload.clone(),
            wake: wake.clone(),
            clock: Arc::clone(&ports.clock),
            dcs: Arc::clone(&ports.dcs),
            peers: Arc::clone(&ports.peers),
            promises: promises.clone(),
            votes: votes.clone(),
            postgres: Arc::clone(&ports.postgres),
            citus: hears_citus,
        };
        let agent = Self {
            ports,
            wake,
            settings,
            spec,
            board,
            dcs: nothing_seen(),
            last_read: None,
            worker: Worker::default(),
            inquiries: Inquiries::default(),
            promises,
            votes,
            read_began: None,
            roll: Roll::default(),
            slots_told: BTreeMap::new(),
            appeal: watch::Sender::new(None),
            effects: Vec::new(),
            requests,
            replies: BTreeMap::new(),
            next_request: 1,
            shutdown,
            citus,
            memory: Memory::new(now),
            think: Box::new(think),
            shown,
            situation: Fan::new(Situation::UNSEEN),
            plan: watch::Sender::new(plan),
            reload,
            on_turn: None,
            name_is_checked: false,
            heeds_standbys: false,
            last_line: (String::new(), now),
            locked_out: None,
            lost_config: None,
            told_garbage: BTreeMap::new(),
            last_notes: Vec::new(),
            last_notices: Vec::new(),
        };
        (agent, desk)
    }

    /// Shows every turn to `on_turn`.
    #[must_use]
    pub fn on_turn(mut self, on_turn: OnTurn) -> Self {
        self.on_turn = Some(on_turn);
        self
    }

    /// Thinks otherwise than an agent does: for proofs that a wrong thought is found.
    #[must_use]
    pub fn thinking(mut self, think: Think) -> Self {
        self.think = think;
        self
    }

    /// Runs until a shutdown is done or a decision ends it. Everything it has begun ends with the future.
    ///
    /// # Errors
    /// When it can not go on; PostgreSQL and the data directory are then left as they are.
    pub async fn run(mut self) -> Result<(), Fatal> {
        let mut beside = JoinSet::new();
        self.ports.dcs.set_ttl(self.spec.ttl);
        beside.spawn(keeper::keep(
            Arc::clone(&self.board),
            Arc::clone(&self.ports.dcs),
            Arc::clone(&self.ports.clock),
            self.wake.clone(),
        ));
        beside.spawn(fence::watch(
            self.situation.subscribe(),
            Arc::clone(&self.board),
            self.ports.clone(),
        ));
        beside.spawn(watchdog::tell(
            self.situation.subscribe(),
            self.plan.subscribe(),
            Arc::clone(&self.board),
            self.ports.clone(),
        ));
        self.open_promises().await;
        beside.spawn(promises::ask(
            self.appeal.subscribe(),
            Arc::clone(&self.board),
            self.ports.clone(),
            self.wake.clone(),
        ));
        beside.spawn(tell::who_waits(
            self.spec.store,
            self.shown.subscribe(),
            Arc::clone(&self.ports.clock),
        ));
        self.begin_citus(&mut beside);
        loop {
            match self.turn().await {
                (Then::GoOn, wake_at) => self.sleep(wake_at).await,
                (Then::Exit(result), _) => {
                    self.leave(&result).await;
                    return result;
                }
            }
        }
    }

    /// One turn.
    async fn turn(&mut self) -> (Then, Moment) {
        let seen = self.observe().await;
        if let Some(why) = self.locked_out.take() {
            return (Then::Exit(Err(Fatal::LockedOut(why))), seen.now);
        }
        if let Err(fatal) = self.check_name().await {
            return (Then::Exit(Err(fatal)), seen.now);
        }
        self.take_config(&seen).await;
        self.heeds_standbys =
            self.spec.synchronous_mode != SyncMode::Off && seen.postgres.runs_as_primary();
        let Thought {
            decision,
            actions,
            notes,
        } = (self.think)(&self.spec, self.memory.clone(), &seen);
        for note in &notes {
            error!("held back by the guard: {note}");
        }
        if let Some(on_turn) = &self.on_turn {
            on_turn(&seen, &decision, &notes);
        }
        self.tell(&decision, &seen);
        self.show(&seen, &decision);
        let wake_at = decision.wake_at;
        self.memory = decision.memory;
        self.slots_told = decision.slots;
        self.place(&seen, &actions).await;
        self.note_for_citus(&seen);
        self.call_the_roll(&seen, &actions);
        let then = self.act(actions).await;
        let ended = self.ports.clock.now();
        self.tell_overrun(seen.now, ended);
        self.board.turned(ended);
        (then, wake_at)
    }

    /// Sleeps until something happens or `wake_at` has come.
    async fn sleep(&mut self, wake_at: Moment) {
        let clock = Arc::clone(&self.ports.clock);
        let postgres = Arc::clone(&self.ports.postgres);
        let earliest = clock.now().plus(TURN_PAUSE);
        let mut reloaded = false;
        let stopping = *self.shutdown.borrow_and_update();
        tokio::select! {
            biased;
            () = self.wake.woken() => {}
            () = postgres.exited() => info!("PostgreSQL has exited"),
            () = postgres.standbys_changed(), if self.heeds_standbys => {}
            () = self.worker.ends() => {}
            () = self.inquiries.answered() => {}
            _ = self.shutdown.changed(), if !stopping => {}
            () = self.reload.woken() => reloaded = true,
            () = clock.sleep_until(wake_at) => {}
        }
        if reloaded {
            self.reload_local().await;
        }
        clock.sleep_until(earliest).await;
    }

    /// A member of this name that answers elsewhere is another agent (contract §1.5, step 3).
    async fn check_name(&mut self) -> Result<(), Fatal> {
        let Some(view) = self.dcs.known().filter(|_| !self.name_is_checked) else {
            return Ok(());
        };
        self.name_is_checked = true;
        let Some(other) = view.members.get(&self.spec.me) else {
            return Ok(());
        };
        let elsewhere = !other.api_url.is_empty() && other.api_url != self.spec.api_url;
        if elsewhere
            && self
                .ports
                .peers
                .is_alive(&other.api_url, Duration::from_secs(3))
                .await
        {
            let api_url = other.api_url.clone();
            return Err(Fatal::NameTaken {
                name: self.spec.me.clone(),
                api_url,
            });
        }
        Ok(())
    }

    /// Takes a changed `/config` in force, and hands settings and role to PostgreSQL.
    async fn take_config(&mut self, seen: &Observation) {
        let view = seen.dcs.known();
        self.tell_lost_config(view);
        self.tell_garbage(view);
        let config = view.and_then(ClusterView::dynamic);
        if let Some(config) = config
            && self.settings.take_dynamic(config)
        {
            info!("dynamic configuration changed");
            self.settle();
        }
        self.spec = Arc::new(spec::of_settings(&self.settings));

        let idle = seen
            .work
            .kind()
            .is_none_or(|kind| kind == WorkKind::Checkpoint);
        if let Some(view) = view {
            let leads = view.leader_name() == Some(&self.spec.me);
            self.ports.postgres.note_leading(leads);
        }
        if !idle {
            return;
        }
        let role = if seen.postgres.runs_as_primary() {
            PgRole::Primary
        } else if self.leads_standby(seen) {
            PgRole::StandbyLeader
        } else {
            PgRole::Replica
        };
        let settings = Arc::clone(self.settings.in_force());
        let postgres = &self.ports.postgres;
        // Also a server that is down or comes up: what it is made, copied or started with is what is in force now, and a
        // setting that keeps it from coming up can be corrected.
        let is_up = seen.postgres.is_running() && seen.postgres.accepting;
        let cluster = seen.dcs.known().filter(|_| is_up);
        postgres.configure(settings, role, cluster).await;
        if let Some(config) = config.filter(|_| is_up) {
            postgres.keep_dynamic(config).await;
        }
    }

    /// Whether this replica leads a standby cluster.
    fn leads_standby(&self, seen: &Observation) -> bool {
        let leader = seen.dcs.known().and_then(ClusterView::leader_name);
        self.spec.standby.is_some() && leader == Some(&self.spec.me) && seen.lease.is_mine(seen.now)
    }

    /// Tells the fences and the watchdog what they are to guard, before anything of the decision is done.
    async fn place(&self, seen: &Observation, actions: &[Action]) {
        let serves = self.may_write(seen) || becomes_primary(seen, actions);
        let before = self.situation.get().serves;
        // Backends may outlive their postmaster; only when none is left nothing writes any more.
        let serves = serves || (before && !self.has_ended(seen).await);
        let situation = Situation {
            paused: self.spec.pause,
            primary: seen.postgres.runs_as_primary() && !self.memory.bootstraps(),
            serves,
        };
        self.situation.modify_if(|before| {
            let changed = *before != situation;
            *before = situation;
            changed
        });
    }

    /// Whether a primary runs that has not written its last record.
    fn may_write(&self, seen: &Observation) -> bool {
        seen.postgres.runs_as_primary() && !seen.postgres.has_shut_down()
    }

    /// Whether nothing is left of the primary that ran. A server that runs now was started after that.
    async fn has_ended(&self, seen: &Observation) -> bool {
        seen.postgres.is_running() || self.ports.postgres.is_gone().await
    }

    /// What a former agent of this member promised binds this one.
    async fn open_promises(&self) {
        let otherwise = self.ports.clock.now().plus(self.spec.ttl);
        if let Err(why) = self.promises.open(&self.spec.me, otherwise).await {
            error!("what this member promised is not known, so it does not race for ttl: {why}");
        }
    }

    /// Who might elect itself is asked for promises when the DCS fails; known before anything is written.
    fn call_the_roll(&mut self, seen: &Observation, actions: &[Action]) {
        self.roll.read(&self.spec.me, seen);
        for action in actions {
            if let Action::WriteFailsafe(list) = action {
                self.roll.writes(list, seen.now);
            }
        }
        self.show_the_roll();
    }

    pub(crate) fn show_the_roll(&self) {
        let plea = Plea {
            name: self.spec.me.clone(),
            conn_url: self.spec.conn_url.clone(),
            api_url: self.spec.api_url.clone(),
            slots: self.slots_told.clone(),
            span: None,
        };
        let appeal = self
            .spec
            .failsafe_mode
            .then(|| self.roll.appeal(plea))
            .flatten();
        self.appeal.send_if_modified(|before| {
            let changed = *before != appeal;
            *before = appeal;
            changed
        });
    }

    /// New settings: what hangs on them outside PostgreSQL.
    fn settle(&mut self) {
        self.spec = Arc::new(spec::of_settings(&self.settings));
        self.board.set_ttl(self.spec.ttl);
        self.plan
            .send_replace(watchdog::plan(self.settings.in_force()));
        self.ports.dcs.set_ttl(self.spec.ttl);
        self.ports
            .dcs
            .configure(&self.settings.in_force().fixed.store);
        if let Some(citus) = &self.ports.citus {
            citus
                .groups
                .configure(&self.settings.in_force().fixed.store);
        }
        self.ports.peers.configure(self.settings.in_force());
    }

    async fn reload_local(&mut self) {
        if self.settings.reload() {
            self.settle();
        } else {
            // the same settings may name files with a renewed certificate
            self.ports.peers.configure(self.settings.in_force());
        }
        let shown = self.shown.borrow().as_ref().map(|shown| shown.role);
        let role = match shown {
            Some(role @ (PgRole::Primary | PgRole::StandbyLeader)) => role,
            Some(PgRole::Replica | PgRole::Demoted | PgRole::Promoted | PgRole::Uninitialized)
            | None => PgRole::Replica,
        };
        let settings = Arc::clone(self.settings.in_force());
        self.ports
            .postgres
            .configure(settings, role, self.dcs.known())
            .await;
        info!("Reloading PostgreSQL configuration.");
        if let Err(error) = self.ports.postgres.reload().await {
            warn!("PostgreSQL was not reloaded: {error}");
        }
    }

    fn show(&self, seen: &Observation, decision: &Decision) {
        let settings = self.settings.in_force();
        let cluster = self.last_read.clone();
        let shown = Shown {
            hooks: self.ports.postgres.hooks(),
            ..show::of_turn(&self.spec, settings, seen, decision, cluster)
        };
        self.shown.send_replace(Some(Arc::new(shown)));
    }

    /// The end: the lease is given back, unless a paused cluster is to stay as it is.
    async fn leave(&mut self, result: &Result<(), Fatal>) {
        self.worker.cancel().await;
        let keeps_running = self.spec.pause || result.is_err();
        let serves = self.situation.get().serves;
        if result.is_ok() && (self.spec.pause || !serves) {
            // The task that tells it may not have had a moment since the last turn.
            let plan = self.plan.borrow().clone();
            let want = WatchdogWant::Off;
            self.ports.watchdog.set(WatchdogOrder { plan, want });
        }
        if self.spec.pause && result.is_ok() {
            // The last turn may have been the first to see the pause.
            let margin = fence_margin(self.spec.ttl);
            self.ports.fence.set(None, margin);
        }
        if keeps_running {
            return;
        }
        let clock = Arc::clone(&self.ports.clock);
        tokio::select! {
            biased;
            left = self.ports.dcs.leave() => {
                if let Err(error) = left {
                    warn!("what this agent holds in the DCS will run out by itself: {error}");
                }
            }
            () = clock.sleep(Duration::from_secs(3)) => {
                warn!("what this agent holds in the DCS will run out by itself: no answer");
            }
        }
    }
}

/// Whether this member is on the way to a primary: a work makes it one, or the watchdog is to count for that.
fn becomes_primary(seen: &Observation, actions: &[Action]) -> bool {
    let runs = seen.work.running.as_ref();
    runs.is_some_and(|(work, _, _)| needs_the_lease(work))
        || actions.iter().any(|action| match action {
            Action::Begin(work) => needs_the_lease(work),
            action => *action == Action::ArmWatchdog,
        })
}
