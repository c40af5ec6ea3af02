//! The PostgreSQL port of one member.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::{
    Adjustment, ClusterView, Entry, Fact, LiveSeen, Lsn, MemberName, Moment, PgRole, PostgresSeen,
    SlotName, Upstream, UpstreamSeen, Work, WorkError,
};
use pgherd_ports::{AdjustError, Clock, LocalPostgres, Progress};
use pgherd_settings::Settings;
use serde_json::Value;

use super::life::{self, Ending};
use super::seen;
use super::works::{self, Worker};
use crate::clock::SimClock;
use crate::dice::Span;
use crate::disk::NO_SPACE;
use crate::invariants;
use crate::network::Place;
use crate::process::Process;
use crate::world::State;

const LOOK: Span = Span::millis(1, 5);
const CHANGE: Span = Span::millis(5, 20);
/// When a glance at the standbys comes.
const GLANCE: Span = Span::millis(1, 100);
/// How long the heartbeat query may take.
const QUERY_TAKES_AT_MOST: Duration = Duration::from_secs(2);
/// How long a small change may take.
const CHANGE_TAKES_AT_MOST: Duration = Duration::from_secs(5);

/// What the port remembers between two looks.
#[derive(Debug, Default)]
struct Memory {
    /// The postmaster and when it was first seen.
    postmaster: Option<(i32, Moment)>,
    /// Its last answer.
    live: Option<Fact<LiveSeen>>,
    /// The standbys that streamed from it at the last glance.
    standbys: BTreeSet<MemberName>,
}

/// One member's PostgreSQL as its agent reaches it.
pub(crate) struct SimPostgres {
    process: Process,
    clock: SimClock,
    memory: Arc<Mutex<Memory>>,
}

impl fmt::Debug for SimPostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimPostgres({:?})", self.process)
    }
}

impl SimPostgres {
    pub(crate) fn new(process: Process) -> Self {
        Self {
            clock: SimClock::new(process.clone()),
            process,
            memory: Arc::default(),
        }
    }

    async fn takes(&self, span: Span) {
        let takes = self
            .process
            .world
            .quietly(|state| state.host_mut(&self.process.me).dice.within(span));
        self.process.world.sleep(takes).await;
    }

    /// Waits for the answer to one of the agent's statements. `false`: it did not come within `limit`.
    async fn query(&self, limit: Duration) -> bool {
        let Process { world, me, .. } = &self.process;
        world
            .until(|state| (!state.host(me).stuck).then_some(()))
            .await;
        let answered = async {
            let slow = world.look(|state| state.host(me).slow_sql);
            world.sleep(slow).await;
            // A server that hangs may come back before the deadline.
            world
                .until(|state| (!state.host(me).server.hangs()).then_some(()))
                .await;
        };
        let answered = tokio::time::timeout(limit, answered).await.is_ok();
        self.process.gate().await;
        answered
    }

    /// Puts what was seen together with what is remembered of the same postmaster.
    fn remember(
        &self,
        pid: Option<i32>,
        answer: Result<LiveSeen, String>,
    ) -> (Fact<LiveSeen>, Option<Moment>) {
        let now = self.clock.now();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.postmaster.map(|(pid, _)| pid) != pid {
            *memory = Memory {
                postmaster: pid.map(|pid| (pid, now)),
                ..Memory::default()
            };
        }
        let live = match (answer, memory.live.take()) {
            (Ok(live), _) => Fact::seen(live, now),
            (Err(why), Some(before)) => before.failed(why, now),
            (Err(why), None) => Fact::Unknown {
                why,
                since: now,
                last: None,
            },
        };
        memory.live = Some(live.clone());
        (live, memory.postmaster.map(|(_, since)| since))
    }

    fn disk_is_full(&self) -> bool {
        self.process
            .world
            .look(|state| state.host(&self.process.me).server.disk.full)
    }

    /// Makes a change that needs an open server.
    fn on_open<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, AdjustError>,
    ) -> Result<T, AdjustError> {
        self.process.world.change(|state| {
            if state.host(&self.process.me).server.is_open() {
                change(state)
            } else {
                Err(AdjustError::NotAnswering("no connection".to_owned()))
            }
        })
    }
}

#[async_trait]
impl LocalPostgres for SimPostgres {
    async fn observe(&self) -> PostgresSeen {
        self.process.gate().await;
        self.takes(LOOK).await;
        let answers = self.query(QUERY_TAKES_AT_MOST).await;
        let (data, pid, accepting, standby_signal, answer, entry) =
            self.process.world.look(|state| {
                let server = &state.host(&self.process.me).server;
                let pid = server.postmaster.as_ref().map(|it| it.pid);
                let answer = match (server.live(), pid) {
                    (Some(_), _) if !answers => {
                        Err("canceling statement due to statement timeout".to_owned())
                    }
                    (Some(live), _) => Ok(live),
                    (None, None) => Err("no postmaster runs".to_owned()),
                    (None, Some(_)) if works::is_starting(server) => {
                        Err("the database system is starting up".to_owned())
                    }
                    (None, Some(_)) => Err("no answer".to_owned()),
                };
                (
                    seen::directory(&server.directory),
                    pid,
                    server.postmaster.as_ref().is_some_and(works::accepts),
                    server.cluster().is_some_and(|it| it.standby_signal),
                    answer,
                    if server.closed {
                        Entry::Closed
                    } else {
                        Entry::Open
                    },
                )
            });
        let (live, up_since) = self.remember(pid, answer);
        PostgresSeen {
            data,
            postmaster: pid,
            accepting,
            standby_signal,
            live,
            up_since,
            entry,
            hung: None,
        }
    }

    async fn exited(&self) {
        let pid = self
            .process
            .world
            .until(|state| {
                state
                    .host(&self.process.me)
                    .server
                    .postmaster
                    .as_ref()
                    .map(|it| it.pid)
            })
            .await;
        self.process
            .world
            .until(|state| (!state.host(&self.process.me).server.runs(pid)).then_some(()))
            .await;
        self.process.gate().await;
    }

    async fn standbys_changed(&self) {
        let Process { world, me, .. } = &self.process;
        let last = || {
            let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.standbys.clone()
        };
        let seen = |state: &State| {
            let host = state.host(me);
            let server = &host.server;
            let postmaster = server.postmaster.as_ref();
            let answers = !host.stuck && !server.hangs() && server.is_open();
            let postmaster = postmaster.filter(|_| answers)?;
            Some(postmaster.senders.keys().cloned().collect::<BTreeSet<_>>())
        };
        let other = |state: &State| seen(state).filter(|now| *now != last());
        world.until(other).await;
        // It is looked for now and then.
        self.takes(GLANCE).await;
        let now = world.until(seen).await;
        self.memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .standbys = now;
        self.process.gate().await;
    }

    async fn carry_out(&self, work: &Work, progress: &Progress) -> Result<(), WorkError> {
        self.process.gate().await;
        self.process.before_write().await;
        let worker = Worker {
            process: self.process.clone(),
        };
        let done = worker.carry_out(work, progress).await;
        self.process.after_write().await;
        self.process.gate().await;
        done
    }

    async fn adjust(&self, change: &Adjustment) -> Result<(), AdjustError> {
        self.process.gate().await;
        self.process.before_write().await;
        self.takes(CHANGE).await;
        let in_time = self.query(CHANGE_TAKES_AT_MOST).await;
        let done = match change {
            _ if self.disk_is_full() => Err(AdjustError::Refused(NO_SPACE.to_owned())),
            Adjustment::ForgetOldDirectory => {
                self.process
                    .world
                    .change(|state| forget_old_directory(state, &self.process.me));
                Ok(())
            }
            Adjustment::CloseEntry => {
                self.process
                    .world
                    .change(|state| state.host_mut(&self.process.me).server.closed = true);
                Ok(())
            }
            Adjustment::OpenEntry => {
                self.process
                    .world
                    .change(|state| life::open_entry(state, &self.process.me));
                Ok(())
            }
            Adjustment::SeekUpstream
            | Adjustment::Follow { .. }
            | Adjustment::SetSynchronousStandbyNames(_)
            | Adjustment::CreateSlot(_)
            | Adjustment::CreateLogicalSlot { .. }
            | Adjustment::DropSlot(_)
            | Adjustment::KeepLogicalSlots { .. }
            | Adjustment::SetSlotParameters(_)
            | Adjustment::ResumeReplay
            | Adjustment::AdvanceSlot { .. } => {
                if in_time {
                    self.on_open(|state| adjust_open(state, &self.process.me, change))
                } else {
                    Err(AdjustError::NotAnswering("statement timeout".to_owned()))
                }
            }
        };
        self.process.after_write().await;
        self.process.gate().await;
        done
    }

    async fn ask_history(&self, upstream: &Upstream) -> Result<UpstreamSeen, String> {
        self.process.gate().await;
        let from = MemberName::new(&upstream.host)
            .ok()
            .filter(|name| {
                self.process
                    .world
                    .look(|state| state.hosts.contains_key(name))
            })
            .ok_or("the host name is not known")?;
        let (here, there) = (
            Place::Member(self.process.me.clone()),
            Place::Member(from.clone()),
        );
        let asked = async {
            if !self.process.world.carry(&here, &there).await {
                return Err("connection timed out".to_owned());
            }
            let told = self.process.world.look(|state| history_of(state, &from));
            if !self.process.world.carry(&there, &here).await {
                return Err("connection timed out".to_owned());
            }
            told
        };
        let told = tokio::time::timeout(Duration::from_secs(3), asked).await;
        self.process.gate().await;
        told.unwrap_or_else(|_| Err("no answer in 3 s".to_owned()))
    }

    async fn configure(&self, settings: Arc<Settings>, _: PgRole, _: Option<&ClusterView>) {
        self.process.gate().await;
        let controlled = &settings.changing.postgresql.controlled.command_line;
        let Process { world, me, .. } = &self.process;
        world.quietly(|state| {
            let server = &mut state.host_mut(me).server;
            server.configured.clone_from(controlled);
        });
    }

    async fn keep_dynamic(&self, dynamic: &Value) {
        self.process.gate().await;
        let Process { world, me, .. } = &self.process;
        world.quietly(|state| state.host_mut(me).kept_dynamic = Some(dynamic.clone()));
    }

    async fn reload(&self) -> Result<(), AdjustError> {
        self.process.gate().await;
        self.on_open(|_| Ok(()))
    }

    async fn is_gone(&self) -> bool {
        self.process.gate().await;
        let me = &self.process.me;
        self.process
            .world
            .look(|state| state.host(me).server.postmaster.is_none())
    }

    async fn fence(&self) {
        self.process.gate().await;
        if self
            .process
            .world
            .look(|state| state.host(&self.process.me).server.runs_as_primary())
        {
            life::stop_immediately(&self.process.world, &self.process.me, Ending::Fenced).await;
        }
        self.process.gate().await;
    }
}

fn history_of(state: &State, from: &MemberName) -> Result<UpstreamSeen, String> {
    let server = &state.host(from).server;
    if !server.is_open() {
        return Err("the server does not accept connections".to_owned());
    }
    let (timeline, history) = server.history().ok_or("there is no data directory")?;
    Ok(UpstreamSeen {
        in_recovery: !server.runs_as_primary(),
        system_id: server
            .cluster()
            .map(|cluster| cluster.system_id.clone())
            .unwrap_or_default(),
        timeline,
        history,
        same_wal: None,
        oldest: server.cluster().map(|cluster| cluster.oldest),
    })
}

fn adjust_open(state: &mut State, me: &MemberName, change: &Adjustment) -> Result<(), AdjustError> {
    let server = &mut state.host_mut(me).server;
    let active = |slot: &SlotName| {
        let postmaster = server.postmaster.as_ref();
        postmaster.is_some_and(|it| it.senders.values().any(|it| it.slot.as_ref() == Some(slot)))
    };
    let busy = match change {
        Adjustment::DropSlot(slot) | Adjustment::AdvanceSlot { slot, .. } => active(slot),
        _ => false,
    };
    if busy {
        return Err(AdjustError::Refused("the slot is active".to_owned()));
    }
    let Some(cluster) = server.cluster_mut() else {
        return Err(AdjustError::NotAnswering("no connection".to_owned()));
    };
    match change {
        Adjustment::Follow { upstream } => {
            if cluster.upstream != *upstream {
                cluster.upstream.clone_from(upstream);
                server.generation += 1;
            }
        }
        Adjustment::SetSynchronousStandbyNames(names) => {
            let names = names.clone().unwrap_or_default();
            if cluster.synchronous != names {
                cluster.synchronous.clone_from(&names);
                state.tell(
                    me.as_str(),
                    format!("postgres: synchronous_standby_names = '{names}'"),
                );
            }
        }
        Adjustment::CreateSlot(slot) => {
            let end = cluster.wal.end();
            cluster.slots.entry(slot.clone()).or_insert(end);
        }
        Adjustment::DropSlot(slot) => {
            cluster.slots.remove(slot);
        }
        Adjustment::AdvanceSlot { slot, to } => {
            let end = cluster.wal.end();
            match cluster.slots.get_mut(slot) {
                Some(restart) => *restart = (*restart).max(Lsn::min(*to, end)),
                None => return Err(AdjustError::Refused("there is no such slot".to_owned())),
            }
        }
        Adjustment::SeekUpstream => {
            if server
                .postmaster
                .as_ref()
                .is_some_and(|it| it.receiver.is_none())
            {
                server.generation += 1;
            }
        }
        Adjustment::CreateLogicalSlot { .. }
        | Adjustment::KeepLogicalSlots { .. }
        | Adjustment::SetSlotParameters(_)
        | Adjustment::ResumeReplay => {}
        Adjustment::ForgetOldDirectory | Adjustment::CloseEntry | Adjustment::OpenEntry => {}
    }
    Ok(())
}

fn forget_old_directory(state: &mut State, me: &MemberName) {
    if state.host(me).server.set_aside.is_some() {
        invariants::at_forgetting(state, me);
        state.host_mut(me).server.set_aside = None;
        state.tell(me.as_str(), "postgres: the old data directory was removed");
    }
}
