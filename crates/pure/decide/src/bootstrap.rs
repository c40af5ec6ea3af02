//! An empty data directory: a new cluster is made, or a copy of the leader (contract §8.1, §8.2).

use std::time::Duration;

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{
    Action, ControlData, MemberName, PgRole, PgState, Reason, SlotName, Upstream, Work,
};

use crate::memory::Bootstrap;
use crate::turn::Turn;

impl Turn<'_> {
    /// This member is making the cluster. `true` when that is what the turn does.
    pub(crate) fn bootstrapping(&mut self) -> bool {
        let Some(view) = self.view() else {
            return false;
        };
        match self.memory.bootstrap {
            Bootstrap::No => return false,
            Bootstrap::Mine => {
                self.say(Reason::Says("trying to bootstrap a new cluster"));
                self.state = Some(PgState::InitializingCluster);
                self.begin(Work::Bootstrap);
            }
            Bootstrap::Created => self.found_cluster(),
            Bootstrap::Failed => {
                self.say(Reason::Says("Failed to bootstrap cluster"));
                self.state = Some(PgState::InitdbFailed);
                match &view.initialize {
                    Some(initialize) if initialize.value.is_empty() => {
                        let expected = initialize.revision;
                        self.actions.push(Action::DeleteInitialize { expected });
                        self.wake_in(Duration::from_millis(200));
                    }
                    Some(_) | None => {
                        let because = Some("Failed to bootstrap cluster".to_owned());
                        self.actions.push(Action::Exit { because });
                    }
                }
            }
        }
        true
    }

    /// The server has been made and runs: identity, configuration, leader key, in this order.
    fn found_cluster(&mut self) {
        let (Some(view), Some(control)) = (self.view(), self.control()) else {
            return;
        };
        if view
            .leader
            .as_ref()
            .is_some_and(|leader| leader.name == self.spec.me)
            && self.seen.lease.is_mine(self.now())
        {
            self.memory.bootstrap = Bootstrap::No;
            self.say(Reason::Says("initialized a new cluster"));
            self.wake_at(self.now());
            return;
        }
        if view.system_id() != Some(control.system_id.as_str()) {
            self.actions.push(Action::WriteInitialize {
                system_id: control.system_id.clone(),
                expected: view
                    .initialize
                    .as_ref()
                    .map(|initialize| initialize.revision),
            });
        }
        if let (None, Some(config)) = (&view.config, &self.spec.dynamic_config) {
            self.actions.push(Action::RestoreConfig(config.clone()));
        }
        self.actions.push(Action::AcquireLeader);
        self.say(Reason::Says("initialized a new cluster"));
        self.wake_in(Duration::from_millis(500));
    }

    /// The data directory is empty.
    pub(crate) fn without_data(&mut self) {
        self.memory.role = PgRole::Uninitialized;
        self.memory.reinitialize = None;
        let Some(view) = self.view() else { return };
        if view.leader_name() == Some(&self.spec.me) {
            let line = "released leader key voluntarily as data dir empty and currently leader";
            self.say(Reason::Says(line));
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        if self.spec.pause {
            return self.say(Reason::Says("running with empty data directory"));
        }
        if self.pg().is_running() {
            return self.stop_now("stopping PostgreSQL: its data directory is empty");
        }
        if view.leader.is_some() {
            self.clone_from_best();
        } else if view.initialize.is_none() && self.spec.may_bootstrap && !self.spec.tags.nofailover
        {
            self.say(Reason::Says("trying to bootstrap a new cluster"));
            self.actions.push(Action::TakeInitialize);
            self.wake_in(Duration::from_millis(500));
        } else {
            self.say(Reason::Says("waiting for leader to bootstrap"));
            self.heal_orphaned_initialize();
        }
    }

    /// Whoever took `initialize` died before the cluster was made: after a ttl with nobody at it the
    /// key is taken away, so that somebody can begin again.
    fn heal_orphaned_initialize(&mut self) {
        let Some(view) = self.view() else { return };
        let at_it = view.members.values().any(|member| {
            matches!(
                member.state,
                Some(
                    PgState::InitializingCluster
                        | PgState::CustomBootstrap
                        | PgState::StartingAfterCustomBootstrap
                        | PgState::Running
                        | PgState::Starting
                )
            )
        });
        let Some(initialize) = &view.initialize else {
            return;
        };
        if !initialize.value.is_empty() || at_it {
            self.memory.orphaned_initialize_since = None;
            return;
        }
        let now = self.now();
        let since = *self.memory.orphaned_initialize_since.get_or_insert(now);
        if now.since(since) >= self.spec.ttl {
            self.say(Reason::Note(
                "nobody is at the bootstrap any more: it may begin again".into(),
            ));
            self.actions.push(Action::DeleteInitialize {
                expected: initialize.revision,
            });
        } else {
            self.wake_at(since.plus(self.spec.ttl));
        }
    }

    /// Copies a member tagged `clonefrom`, else the leader.
    pub(crate) fn clone_from_best(&mut self) {
        let left = self.memory.backoff.left(self.now());
        let Some((source, leader)) = self.clone_source(false) else {
            self.say(Reason::Says("waiting for leader to bootstrap"));
            return;
        };
        let name = source
            .name
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        self.say(Reason::CloningFrom {
            source: name,
            leader,
        });
        self.state = Some(PgState::CreatingReplica);
        if left.is_zero() {
            self.begin(Work::Clone { source });
        } else {
            self.wake_in(left);
        }
    }

    /// Whom to copy, and whether that is the leader. A member tagged `clonefrom` that runs is preferred;
    /// of several the one whose name follows mine, so that not everybody copies the same.
    pub(crate) fn clone_source(&self, from_leader: bool) -> Option<(Upstream, bool)> {
        let view = self.view()?;
        let leader = view.leader_name()?;
        let (mut after, mut before): (Vec<_>, Vec<_>) = view
            .members
            .iter()
            .filter(|(name, member)| {
                **name != self.spec.me
                    && *name != leader
                    && member.is_running()
                    && member.tags().clonefrom
            })
            .partition(|(name, _)| **name > self.spec.me);
        after.append(&mut before);
        if let (false, Some((name, member))) = (from_leader, after.first()) {
            return Some((self.upstream_of(name, member)?, false));
        }
        let member = view.leader_member()?;
        let ready =
            member.role == Some(PgRole::Primary) || member.role == Some(PgRole::StandbyLeader);
        ready.then(|| Some((self.upstream_of(leader, member)?, true)))?
    }

    /// `member` as the server to stream from.
    pub(crate) fn upstream_of(&self, name: &MemberName, member: &MemberDoc) -> Option<Upstream> {
        let (host, port) = member.address()?;
        let slot = (self.spec.use_slots && !self.spec.tags.nostream)
            .then(|| SlotName::of_member(&self.spec.me));
        Some(Upstream {
            name: Some(name.clone()),
            host,
            port,
            slot,
        })
    }

    /// The data directory can not be looked at: nothing is done to it.
    pub(crate) fn inaccessible(&mut self, why: &str) {
        self.say(Reason::DataDirectory(why.to_owned()));
        if self.view().and_then(|view| view.leader_name()) == Some(&self.spec.me) {
            self.actions.push(Action::ReleaseLeader { optime: None });
        }
    }

    /// The data directory holds something that is no cluster: nothing is done to it unasked.
    pub(crate) fn invalid(&mut self, why: &str) {
        if self.memory.reinitialize.is_some() {
            return self.make_anew();
        }
        let line = "data dir for the cluster is not empty, but system ID is invalid; consider doing reinitialize";
        self.say(Reason::Says(line));
        self.say(Reason::Note(why.to_owned()));
        if self.view().and_then(|view| view.leader_name()) == Some(&self.spec.me) {
            self.actions.push(Action::ReleaseLeader { optime: None });
        }
    }

    /// Compares identities (contract §5.1, step 10). `true` when the turn ends here.
    pub(crate) fn other_cluster(&mut self, control: &ControlData) -> bool {
        let Some(view) = self.view() else { return true };
        match view.system_id() {
            Some(cluster) if cluster != control.system_id => {
                if self.spec.pause {
                    if view.leader_name() == Some(&self.spec.me) {
                        let line = "released leader key voluntarily due to the system ID mismatch";
                        self.say(Reason::Says(line));
                        self.actions.push(Action::ReleaseLeader { optime: None });
                        return true;
                    }
                    return false;
                }
                let mismatch = Reason::SystemIdMismatch {
                    me: self.spec.me.clone(),
                    cluster: cluster.to_owned(),
                    mine: control.system_id.clone(),
                };
                let because = Some(mismatch.to_string());
                self.say(mismatch);
                self.actions.push(Action::Exit { because });
                true
            }
            Some(_) => false,
            None if view.leader.is_none() && !self.spec.pause => self.adopt(control),
            None => false,
        }
    }

    /// `initialize` is not valid and nobody leads: a server that is there gives the cluster its identity,
    /// but never a running replica, and never one that is behind what `/history` knows (contract §1.5, §8.4).
    fn adopt(&mut self, control: &ControlData) -> bool {
        let Some(view) = self.view() else { return true };
        if self.live().is_some_and(|live| live.in_recovery) && self.now() == self.memory.began {
            let because = "No initialize key in DCS and PostgreSQL is running as replica, aborting start. \
                           Please first start Patroni on the node running as primary";
            self.say(Reason::Says(because));
            self.actions.push(Action::Exit {
                because: Some(because.to_owned()),
            });
            return true;
        }
        let primary = self.live().is_some_and(|live| !live.in_recovery);
        let alone = view.members.keys().all(|name| *name == self.spec.me);
        let others_run = view
            .members
            .iter()
            .any(|(name, member)| *name != self.spec.me && member.role == Some(PgRole::Primary));
        let may = primary || (control.state.was_primary() && (alone || !others_run));
        if may && self.memory.role != PgRole::Uninitialized && !self.writes_initialize() {
            self.actions.push(Action::WriteInitialize {
                system_id: control.system_id.clone(),
                expected: view
                    .initialize
                    .as_ref()
                    .map(|initialize| initialize.revision),
            });
            self.wake_in(Duration::from_millis(500));
        }
        false
    }

    fn writes_initialize(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action, Action::WriteInitialize { .. }))
    }
}
