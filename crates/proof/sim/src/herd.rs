//! The members: each is one real agent on simulated ports, started, frozen, killed and stopped at will.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgherd_agent::{Agent, Fatal, Ports, ReadLocal, SettingsSource};
use pgherd_domain::{Answer, MemberName, Operation};
use pgherd_ports::{Desk, Wake};
use pgherd_settings::{Loaded, load};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::clock::SimClock;
use crate::cost::Costs;
use crate::fence::SimFence;
use crate::network::Place;
use crate::peers::SimPeers;
use crate::planted::{self, Planted};
use crate::postgres::{self, Ending, SimPostgres};
use crate::process::Process;
use crate::promises::SimPromises;
use crate::store::{self, SimDcs};
use crate::turns;
use crate::watchdog::{self, SimWatchdog};
use crate::world::World;

/// How long a fence may take to stop a primary on a host that wakes from a suspend.
const WAKING: Duration = Duration::from_millis(200);

/// The settings that all members start from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    /// `bootstrap.dcs`: key to value as YAML writes it.
    pub(crate) dynamic: BTreeMap<String, String>,
    /// `watchdog.mode` by member, and whether its host has a device.
    pub(crate) watchdogs: BTreeMap<MemberName, (String, bool)>,
    /// Tags by member: key to value as YAML writes it.
    pub(crate) tags: BTreeMap<MemberName, BTreeMap<String, String>>,
}

impl Shape {
    fn seconds(&self, key: &str, default: u64) -> Duration {
        let set = self.dynamic.get(key).and_then(|value| value.parse().ok());
        Duration::from_secs(set.unwrap_or(default))
    }

    /// How long a lease lives.
    pub(crate) fn ttl(&self) -> Duration {
        self.seconds("ttl", 30)
    }

    /// The longest sleep between two turns.
    pub(crate) fn loop_wait(&self) -> Duration {
        self.seconds("loop_wait", 10)
    }

    fn retry_timeout(&self) -> Duration {
        self.seconds("retry_timeout", 10)
    }

    /// Whether the cluster begins in synchronous mode.
    pub(crate) fn is_synchronous(&self) -> bool {
        self.dynamic
            .get("synchronous_mode")
            .is_some_and(|mode| !matches!(mode.as_str(), "off" | "false"))
    }

    /// The YAML of one member, as an operator would write it.
    fn yaml(&self, name: &MemberName) -> String {
        let mut yaml = format!(
            "scope: demo\nname: {name}\n\
             restapi:\n  listen: {name}:8008\n  connect_address: {name}:8008\n\
             etcd3:\n  hosts: [\"dcs:2379\"]\n\
             postgresql:\n  listen: {name}:5432\n  connect_address: {name}:5432\n  \
             data_dir: /data/{name}\n  authentication:\n    \
             superuser: {{username: postgres}}\n    replication: {{username: replicator}}\n\
             bootstrap:\n  dcs:\n    postgresql: {{use_pg_rewind: true, use_slots: true}}\n"
        );
        let mut line = |indent: &str, key: &str, value: &str| {
            // Writing to a string can not fail.
            writeln!(yaml, "{indent}{key}: {value}").ok();
        };
        for (key, value) in &self.dynamic {
            line("    ", key, value);
        }
        if let Some((mode, _)) = self.watchdogs.get(name) {
            line("", "watchdog", "");
            line("  ", "mode", mode);
        }
        if let Some(tags) = self.tags.get(name) {
            line("", "tags", "");
            for (key, value) in tags {
                line("  ", key, value);
            }
        }
        yaml
    }
}

/// One agent that runs.
struct Running {
    desk: Desk,
    shutdown: watch::Sender<bool>,
    /// Everything of the agent's process; dropping it kills it.
    _tasks: JoinSet<()>,
}

/// The members of a universe.
pub(crate) struct Herd {
    pub(crate) world: World,
    /// Shared with the agents, which read their settings again on a reload.
    shape: Arc<Mutex<Shape>>,
    running: BTreeMap<MemberName, Running>,
    /// The bug that all agents have.
    pub(crate) planted: Option<Planted>,
    /// What the thoughts of all agents cost, when it is measured.
    pub(crate) costs: Option<Costs>,
    /// Tasks of the world itself, such as clients.
    beside: Vec<JoinHandle<()>>,
}

impl Herd {
    /// Hosts with empty data directories, and no agents yet.
    pub(crate) fn new(seed: u64, shape: Shape, members: &[MemberName]) -> Self {
        let world = World::new(seed);
        for member in members {
            world.add_host(member);
            let device = shape.watchdogs.get(member);
            let exists = device.is_some_and(|(_, exists)| *exists);
            world.change(|state| state.host_mut(member).device.exists = exists);
        }
        world.spawn(store::keep_leases(world.clone()));
        Self {
            world,
            shape: Arc::new(Mutex::new(shape)),
            running: BTreeMap::new(),
            planted: None,
            costs: None,
            beside: Vec::new(),
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes a member's tags; the agent learns them by a reload.
    pub(crate) fn set_tags(&mut self, name: &MemberName, tags: BTreeMap<String, String>) {
        self.shape
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .tags
            .insert(name.clone(), tags);
        if let Some(running) = self.running.get(name) {
            running.desk.reload.wake();
        }
    }

    /// Begins something that goes on as long as the universe.
    pub(crate) fn beside(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.beside.push(tokio::spawn(task));
    }

    /// Starts the agent of a powered host, if none runs.
    ///
    /// # Errors
    /// When the settings made of the shape do not load.
    pub(crate) fn start_agent(&mut self, name: &MemberName) -> Result<(), String> {
        if !self.world.look(|state| state.host(name).powered) {
            return Ok(());
        }
        if self.running.contains_key(name) {
            self.kill_agent(name);
        }
        let read = {
            let (shape, name) = (Arc::clone(&self.shape), name.clone());
            move || -> Result<Loaded, String> {
                let yaml = shape
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .yaml(&name);
                let files = [(format!("{name}.yml"), yaml)];
                load(&files, &BTreeMap::new()).map_err(|faults| faults.to_string())
            }
        };
        let local = read()?.local;
        let read: ReadLocal = Box::new(read);
        let shape = self.shape();
        let (world, wake) = (self.world.clone(), Wake::new());
        world.change(|state| state.host_mut(name).life += 1);
        let process = Process::of(&world, name);
        let dcs = SimDcs::new(process.clone(), shape.ttl(), shape.retry_timeout());
        let mut ports = Ports {
            clock: Arc::new(SimClock::new(process.clone())),
            dcs: Arc::new(dcs.clone()),
            postgres: Arc::new(SimPostgres::new(process.clone())),
            peers: Arc::new(SimPeers::new(process.clone())),
            fence: Arc::new(SimFence::new(process.clone())),
            watchdog: Arc::new(SimWatchdog::new(process.clone(), wake.clone())),
            promises: Arc::new(SimPromises::new(process.clone())),
            citus: None,
        };
        if let Some(bug) = self.planted {
            ports = planted::in_ports(bug, ports, &dcs, &process);
        }
        let (shutdown, stopping) = watch::channel(false);
        let kept = world.look(|state| state.host(name).kept_dynamic.clone());
        let kept = kept.and_then(|kept| kept.as_object().cloned());
        let source = SettingsSource::new(local, Some(read)).with_kept(kept);
        let (agent, desk) = Agent::new(source, ports, wake.clone(), stopping);
        let mut agent = agent.on_turn(turns::recorder(&process));
        if let Some(bug) = self.planted {
            agent = agent.thinking(planted::in_thoughts(bug, &process));
        }
        if let Some(costs) = &self.costs {
            agent = agent.thinking(costs.measured());
        }
        world.change(|state| {
            let host = state.host_mut(name);
            host.agent_runs = true;
            host.frozen = false;
            host.stuck = false;
            host.crash = None;
            host.shown = Some(desk.shown.clone());
            host.desk = Some(desk.clone());
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(store::watch(process, wake));
        tasks.spawn(live(world, name.clone(), agent));
        self.running.insert(
            name.clone(),
            Running {
                desk,
                shutdown,
                _tasks: tasks,
            },
        );
        Ok(())
    }

    /// Kills the agent's process.
    pub(crate) fn kill_agent(&mut self, name: &MemberName) {
        self.running.remove(name);
        self.world.change(|state| {
            state.host_mut(name).agent_is_gone();
        });
    }

    /// Stops the agent's process (SIGSTOP), or lets it go on.
    pub(crate) fn freeze_agent(&mut self, name: &MemberName, frozen: bool) {
        self.world.change(|state| {
            let host = state.host_mut(name);
            host.frozen = frozen;
        });
    }

    /// Stops the fence's process (SIGSTOP), or lets it go on.
    pub(crate) fn freeze_fence(&mut self, name: &MemberName, frozen: bool) {
        self.world
            .change(|state| state.host_mut(name).fence_frozen = frozen);
    }

    /// Tells the agent to stop, with its PostgreSQL.
    pub(crate) fn stop_agent(&mut self, name: &MemberName) {
        if let Some(running) = self.running.get(name) {
            running.shutdown.send_replace(true);
            running.desk.wake.wake();
        }
    }

    /// Takes the power away.
    pub(crate) fn kill_host(&mut self, name: &MemberName) {
        self.kill_agent(name);
        self.world.change(|state| {
            postgres::kill(state, name, Ending::Killed);
            let host = state.host_mut(name);
            host.powered = false;
            host.server.suspended = false;
            host.fenced_at = None;
            watchdog::power_is_gone(state, name);
            let place = Place::Member(name.clone());
            state.network.power(&place, false);
        });
    }

    /// Gives the power back; the agent starts with the host.
    ///
    /// # Errors
    /// As [`Self::start_agent`].
    pub(crate) fn start_host(&mut self, name: &MemberName) -> Result<(), String> {
        self.world.change(|state| {
            state.host_mut(name).powered = true;
            let place = Place::Member(name.clone());
            state.network.power(&place, true);
        });
        self.start_agent(name)
    }

    /// All of the host stands still (suspend to RAM), or goes on.
    pub(crate) fn suspend_host(&mut self, name: &MemberName, suspended: bool) {
        self.world.change(|state| {
            let now = state.now;
            let host = state.host_mut(name);
            if host.server.suspended == suspended || !host.powered {
                return;
            }
            host.server.suspended = suspended;
            host.server.generation += 1;
            if !suspended {
                // Nothing can be stopped before it runs again.
                host.excused_until = host.excused_until.max(now + WAKING);
            }
            let place = Place::Member(name.clone());
            state.network.power(&place, !suspended);
        });
    }

    /// Gives a host back what it lacks: power, or an agent.
    ///
    /// # Errors
    /// As [`Self::start_agent`].
    pub(crate) fn revive(&mut self, name: &MemberName) -> Result<(), String> {
        let (powered, agent) = self.world.look(|state| {
            let host = state.host(name);
            (host.powered, host.agent_runs)
        });
        if !powered {
            self.start_host(name)
        } else if !agent {
            self.start_agent(name)
        } else {
            Ok(())
        }
    }

    /// Hands an operator's request to a member's agent; what it answers is told.
    pub(crate) fn request(&mut self, name: &MemberName, operation: Operation) {
        let Some(running) = self.running.get(name) else {
            return;
        };
        let (desk, world, name) = (running.desk.clone(), self.world.clone(), name.clone());
        self.beside(async move {
            let answer = desk.request(operation).await;
            let text = match answer {
                Answer::Done(text) => format!("answers: {text}"),
                Answer::Accepted(text) => format!("answers: accepted, {text}"),
                Answer::Refused(_, text) => format!("answers: refused, {text}"),
            };
            world.change(|state| state.tell(name.as_str(), text));
        });
    }
}

/// Runs an agent until it ends by itself.
async fn live(world: World, name: MemberName, agent: Agent) {
    let ended: Result<(), Fatal> = Box::pin(agent.run()).await;
    world.change(|state| {
        let text = match ended {
            Ok(()) => "agent: ended".to_owned(),
            Err(fatal) => format!("agent: ended with an error: {fatal}"),
        };
        state.tell(name.as_str(), text);
        let host = state.host_mut(&name);
        host.agent_runs = false;
        host.shown = None;
        host.desk = None;
    });
}
