//! Performing scenarios: each command on the world or on the herd.

use std::time::Duration;

use pgherd_domain::{MemberName, Operation, TimelineId};

use super::by_hand;
use super::condition::Condition;
use super::keys::{config, on_dcs, order};
use super::parse::{self, Command, Damage, Deed, Pairs, Process, Told};
use super::remote;
use crate::clients;
use crate::cost::Costs;
use crate::herd::{Herd, Shape};
use crate::planted::Planted;
use crate::postgres::{self, Directory, Ending};
use crate::world::State;

/// How often clients commit.
const SEEKING: Duration = Duration::from_millis(200);
const STUBBORN: Duration = Duration::from_millis(500);

/// How long a cluster may take to come up before a scenario begins.
const SETTLING: Duration = Duration::from_secs(300);

/// Where a scenario is played.
pub(crate) struct Stage {
    seed: u64,
    shape: Shape,
    pub(crate) herd: Option<Herd>,
    /// The moment that the transcript counts from.
    pub(crate) zero: Duration,
    archive: bool,
    /// Primaries of other clusters, made with the first members.
    remotes: Vec<MemberName>,
    planted: Option<Planted>,
    /// What the thoughts of the agents cost, when it is measured.
    pub(crate) costs: Option<Costs>,
    /// When the last deed was done.
    last_deed: Duration,
}

impl Stage {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            shape: Shape::default(),
            herd: None,
            zero: Duration::ZERO,
            archive: false,
            remotes: Vec::new(),
            planted: None,
            costs: None,
            last_deed: Duration::ZERO,
        }
    }

    /// How long a lease lives.
    pub(crate) fn ttl(&self) -> Duration {
        self.shape.ttl()
    }

    /// Reads one line of a scenario and performs it.
    ///
    /// # Errors
    /// When it is not understood, or does not hold.
    pub(crate) async fn line(&mut self, line: &str) -> Result<(), String> {
        self.perform(&parse::command(line)?).await
    }

    pub(super) async fn perform(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Seed(_) => Ok(()),
            Command::Archive => {
                self.archive = true;
                Ok(())
            }
            Command::Remote(who) => {
                match &self.herd {
                    Some(herd) => {
                        let leader = herd
                            .world
                            .look(|state| state.store.leader().map(str::to_owned));
                        let leader = MemberName::new(&leader.unwrap_or_default());
                        remote::beside(&herd.world, who, &leader.map_err(|_| "nobody leads")?);
                    }
                    None => self.remotes.push(who.clone()),
                }
                Ok(())
            }
            Command::Plant(bug) => {
                self.planted = Some(*bug);
                Ok(())
            }
            Command::Cluster {
                members,
                leader,
                settings,
            } => self.cluster(members, leader.as_ref(), settings).await,
            Command::Tags(who, tags) => {
                match &mut self.herd {
                    Some(herd) => herd.set_tags(who, tags.clone()),
                    None => drop(self.shape.tags.insert(who.clone(), tags.clone())),
                }
                Ok(())
            }
            Command::Watchdog(who, mode, exists) => {
                let device = (mode.clone(), *exists);
                self.shape.watchdogs.insert(who.clone(), device);
                Ok(())
            }
            Command::Wait(how_long) => {
                self.herd()?.world.sleep(*how_long).await;
                Ok(())
            }
            Command::Until(condition, limit) => self.until(condition, *limit).await,
            Command::Expect(condition) => {
                let since = self.last_deed;
                let holds = self
                    .herd()?
                    .world
                    .look(|state| condition.holds(state, since));
                holds
                    .then_some(())
                    .ok_or_else(|| format!("does not hold: {condition:?}"))
            }
            Command::Do(told) => self.deed(told),
        }
    }

    fn herd(&mut self) -> Result<&mut Herd, String> {
        self.herd
            .as_mut()
            .ok_or_else(|| "`cluster` must come first".to_owned())
    }

    async fn until(&mut self, condition: &Condition, limit: Duration) -> Result<(), String> {
        let since = self.last_deed;
        let world = self.herd()?.world.clone();
        let holds = world.until(|state| condition.holds(state, since).then_some(()));
        tokio::time::timeout(limit, holds)
            .await
            .map_err(|_| format!("did not hold within {limit:?}: {condition:?}"))
    }

    /// Without a leader the members start at once with empty directories; with one the scenario begins
    /// when it leads and the others stream.
    async fn cluster(
        &mut self,
        members: &[MemberName],
        leader: Option<&MemberName>,
        settings: &Pairs,
    ) -> Result<(), String> {
        self.shape.dynamic.clone_from(settings);
        let mut herd = Herd::new(self.seed, self.shape.clone(), members);
        herd.planted = self.planted;
        herd.costs.clone_from(&self.costs);
        if self.archive {
            herd.world
                .change(|state| state.archive = Some(TimelineId(1)));
        }
        for name in &self.remotes {
            remote::alone(&herd.world, name);
        }
        if let Some(leader) = leader {
            herd.start_agent(leader)?;
        }
        self.herd = Some(herd);
        if let Some(leader) = leader {
            let leads = if settings.contains_key("standby_cluster") {
                Condition::LeadsStandby(leader.clone())
            } else {
                Condition::Leads(leader.clone())
            };
            self.until(&leads, SETTLING).await?;
        }
        let herd = self.herd()?;
        let world = herd.world.clone();
        herd.beside(clients::seeking(world.clone(), SEEKING));
        for member in members {
            herd.beside(clients::stubborn(world.clone(), member.clone(), STUBBORN));
            if leader != Some(member) {
                herd.start_agent(member)?;
            }
        }
        if leader.is_none() {
            return Ok(());
        }
        self.until(&Condition::Healed, SETTLING).await?;
        if self.shape.is_synchronous() && members.len() > 1 {
            let named = world.until(|state| {
                let sync = state.store.value("sync")?;
                (!sync.contains("null")).then_some(())
            });
            tokio::time::timeout(SETTLING, named)
                .await
                .map_err(|_| "no synchronous standby was named".to_owned())?;
        }
        // Everybody has had a turn since the last of them came.
        world.sleep(self.shape.loop_wait() * 2).await;
        self.zero = world.now();
        self.last_deed = self.zero;
        world.change(|state| {
            state.journal.entries.clear();
            begin(state);
        });
        Ok(())
    }

    fn deed(&mut self, told: &Told) -> Result<(), String> {
        let herd = self.herd()?;
        herd.world
            .change(|state| state.tell(">", told.line.clone()));
        let now = herd.world.now();
        match &told.deed {
            Deed::Kill(..)
            | Deed::Start(..)
            | Deed::Stop(_)
            | Deed::Revive(_)
            | Deed::Freeze(..)
            | Deed::FreezeFence(..)
            | Deed::Suspend(..) => {
                process(herd, &told.deed)?;
            }
            Deed::PromoteRemote(who) => remote::promote(&herd.world, who)?,
            Deed::ByHand(hand, who) => by_hand::lay(&herd.world, *hand, who)?,
            Deed::Restart(who) => herd.request(who, restart()),
            Deed::Reinit(who) => herd.request(
                who,
                Operation::Reinitialize {
                    force: false,
                    from_leader: false,
                },
            ),
            deed => herd.world.change(|state| on_world(state, deed)),
        }
        self.last_deed = now;
        Ok(())
    }
}

/// The first lines of a transcript: how things stand.
fn begin(state: &mut State) {
    state.ledger.serving = None;
    show(state);
}

fn process(herd: &mut Herd, deed: &Deed) -> Result<(), String> {
    match deed {
        Deed::Kill(Process::Postgres, who) => herd
            .world
            .change(|state| postgres::kill(state, who, Ending::Killed)),
        Deed::Kill(Process::Agent, who) => herd.kill_agent(who),
        Deed::Kill(Process::Host, who) => herd.kill_host(who),
        Deed::Start(Process::Agent, who) => herd.start_agent(who)?,
        Deed::Start(Process::Host, who) => herd.start_host(who)?,
        Deed::Stop(who) => herd.stop_agent(who),
        Deed::Revive(who) => herd.revive(who)?,
        Deed::Freeze(who, frozen) => herd.freeze_agent(who, *frozen),
        Deed::FreezeFence(who, frozen) => herd.freeze_fence(who, *frozen),
        Deed::Suspend(who, suspended) => herd.suspend_host(who, *suspended),
        _ => {}
    }
    Ok(())
}

fn restart() -> Operation {
    Operation::Restart {
        role: None,
        older_than: None,
        only_pending: false,
        timeout: None,
        schedule: None,
    }
}

fn on_world(state: &mut State, deed: &Deed) {
    match deed {
        Deed::Cut {
            from,
            to,
            both_ways,
        } => {
            for place in to {
                state.network.cut(from, place);
                if *both_ways {
                    state.network.cut(place, from);
                }
            }
        }
        Deed::Heal => state.network.heal(),
        Deed::Dcs(what) => on_dcs(state, what),
        Deed::Hang(who, hung) => {
            if let Some(postmaster) = &mut state.host_mut(who).server.postmaster {
                postmaster.hung = *hung;
            }
        }
        Deed::FreezePostmaster(who, frozen) => {
            if let Some(postmaster) = &mut state.host_mut(who).server.postmaster {
                postmaster.frozen = *frozen;
            }
        }
        Deed::FreezeBackends(who, frozen) => {
            if let Some(postmaster) = &mut state.host_mut(who).server.postmaster {
                postmaster.backends_frozen = *frozen;
            }
        }
        Deed::Stick(who, stuck) => state.host_mut(who).stuck = *stuck,
        Deed::Crash(who, crash) => state.host_mut(who).crash = Some(*crash),
        Deed::Spare(who) => state.host_mut(who).crash = None,
        Deed::SlowSql(who, span) => state.host_mut(who).slow_sql = *span,
        Deed::SlowDisk(who, times) => state.host_mut(who).server.disk.slowness = *times,
        Deed::FullDisk(who, full) => state.host_mut(who).server.disk.full = *full,
        Deed::Stall(who, stalled) => state.host_mut(who).server.stalled = *stalled,
        Deed::Disk(who, damage) => {
            postgres::kill(state, who, Ending::Killed);
            state.host_mut(who).server.directory = match damage {
                Damage::Wiped => Directory::Empty,
                Damage::Spoilt => Directory::Rubbish,
            };
        }
        Deed::Latency(span) => state.network.latency = *span,
        Deed::Drift(who, ppm) => {
            let now = state.now;
            state.host_mut(who).pendulum.set_drift(*ppm, now);
        }
        Deed::Jump(who, seconds) => {
            state.host_mut(who).pendulum.wall_skew_micros += seconds * 1_000_000;
        }
        Deed::FailStarts(who, count) => state.host_mut(who).server.failing_starts = *count,
        Deed::Write(size, who) => write(state, *size, who),
        Deed::RemoveWal(who) => {
            if let Some(cluster) = state.host_mut(who).server.cluster_mut() {
                cluster.oldest = cluster.wal.end();
            }
        }
        Deed::Switchover { from, to, after } => order(state, from.clone(), to.clone(), *after),
        Deed::Config(pairs) => config(state, pairs),
        Deed::Show => show(state),
        _ => {}
    }
}

/// One commit of this size, if the server takes any.
fn write(state: &mut State, size: u64, who: &MemberName) {
    let id = state.ledger.fresh_id();
    let server = &mut state.host_mut(who).server;
    if server.takes_writes()
        && let Some(cluster) = server.cluster_mut()
    {
        cluster.write(postgres::Said::Commit(id), Some(size));
    }
}

/// Tells how every member stands.
fn show(state: &mut State) {
    let leader = state.store.leader().map(str::to_owned);
    let lines: Vec<(String, String)> = state
        .hosts
        .iter()
        .map(|(name, host)| {
            let what = postgres::describe(&host.server);
            let leads = if leader.as_deref() == Some(name.as_str()) {
                ", leads"
            } else {
                ""
            };
            (name.to_string(), format!("is {what}{leads}"))
        })
        .collect();
    for (name, what) in lines {
        state.tell(&name, what);
    }
}
