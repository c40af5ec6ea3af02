//! An empty data directory: a new cluster is made, or a copy of the leader (contract §8.1, §8.2).

use std::time::Duration;

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{Action, MemberName, PgRole, PgState, Reason, Upstream, Work};

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
            Bootstrap::Mine if self.is_standby_cluster() => self.bootstrap_standby(),
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
        if self.brings_copy_up() {
            return;
        }
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
        let other = view
            .system_id()
            .is_some_and(|cluster| cluster != control.system_id);
        if other || view.leader_name().is_some_and(|name| *name != self.spec.me) {
            // Somebody else has made the cluster meanwhile. This one must not be taken for it.
            if self.pg().is_running() {
                return self.stop_now("Failed to bootstrap cluster");
            }
            self.memory.bootstrap = Bootstrap::Failed;
            self.say(Reason::Says("Failed to bootstrap cluster"));
            return self.wake_at(self.now());
        }
        if view.system_id().is_none() {
            self.actions.push(Action::WriteInitialize {
                system_id: control.system_id.clone(),
                expected: view
                    .initialize
                    .as_ref()
                    .map(|initialize| initialize.revision),
            });
        }
        self.restore_config();
        self.actions.push(Action::AcquireLeader);
        self.say(Reason::Says("initialized a new cluster"));
        self.wake_in(Duration::from_millis(500));
    }

    /// The data directory is empty.
    pub(crate) fn without_data(&mut self) {
        self.memory.role = PgRole::Uninitialized;
        if self.spec.pause && self.memory.reinitialize.is_some() {
            return self.make_anew();
        }
        self.memory.reinitialize = None;
        let Some(view) = self.view() else { return };
        if view.leader_name() == Some(&self.spec.me) {
            let line = "released leader key voluntarily as data dir empty and currently leader";
            return self.release_when_stopped(Reason::Says(line));
        }
        if self.spec.pause {
            return self.say(Reason::Says("running with empty data directory"));
        }
        if self.pg().is_running() {
            return self.stop_now("stopping PostgreSQL: its data directory is empty");
        }
        if view.leader.is_some() {
            self.clone_from_best();
        } else if view.initialize.is_none()
            && self.spec.may_bootstrap
            && !self.spec.tags.nofailover
            && self.unguarded_veto().is_none()
            && !self.somebody_has_data()
        {
            if self.spec.standby.is_some() {
                self.say(Reason::Says("trying to bootstrap a new standby leader"));
                if self.named_member().is_some() {
                    self.tell_wrong_section();
                    return self.wake_in(Duration::from_secs(1));
                }
            } else {
                self.say(Reason::Says("trying to bootstrap a new cluster"));
            }
            self.actions.push(Action::TakeInitialize);
            self.wake_in(Duration::from_millis(500));
        } else if self.spec.restores_without_leader && view.system_id().is_some() {
            self.restore();
        } else {
            self.wait_for_bootstrap();
            if let Some(veto) = self.unguarded_veto() {
                self.say(Reason::NotRacing(veto));
            }
            self.heal_orphaned_initialize();
        }
    }

    fn wait_for_bootstrap(&mut self) {
        self.say(Reason::Says(match self.spec.standby {
            Some(_) => "waiting for standby_leader to bootstrap",
            None => "waiting for leader to bootstrap",
        }));
    }

    /// Another member runs, so there is a cluster: the store has lost it, and a second one must not be
    /// made beside it.
    fn somebody_has_data(&self) -> bool {
        self.view().is_some_and(|view| {
            view.members.iter().any(|(name, member)| {
                *name != self.spec.me
                    && member.is_running()
                    && member.role != Some(PgRole::Uninitialized)
            })
        })
    }

    /// Gives the key up with `reason`, which says why PostgreSQL can not go on. Outside pause a server
    /// that still runs is stopped first: the key goes only when nobody writes any more.
    pub(crate) fn release_when_stopped(&mut self, reason: Reason) {
        if self.pg().is_running() && !self.spec.pause {
            self.stop_now("stopping PostgreSQL: its data directory is not usable");
            return self.say(reason);
        }
        self.say(reason);
        self.actions.push(Action::ReleaseLeader { optime: None });
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
                        | PgState::CreatingReplica
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

    /// Nobody leads, but a method needs nobody: a replica is made from an archive (contract §8.1).
    fn restore(&mut self) {
        self.say(Reason::Says("trying to bootstrap (without leader)"));
        self.state = Some(PgState::CreatingReplica);
        let left = self.memory.backoff.left(self.now());
        if left.is_zero() {
            self.begin(Work::Restore);
        } else {
            self.wake_in(left);
        }
    }

    /// Copies a member tagged `clonefrom`, else the leader.
    pub(crate) fn clone_from_best(&mut self) {
        let left = self.memory.backoff.left(self.now());
        let Some((source, leader)) = self.clone_source(false) else {
            self.wait_for_bootstrap();
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
            self.begin(Work::Clone {
                source,
                basebackup_only: false,
            });
        } else {
            self.wake_in(left);
        }
    }

    /// `member` as the server to stream from.
    pub(crate) fn upstream_of(&self, name: &MemberName, member: &MemberDoc) -> Option<Upstream> {
        let (host, port) = member.address()?;
        let slot = self.my_slot();
        Some(Upstream {
            name: Some(name.clone()),
            host,
            port,
            more_ports: Vec::new(),
            slot,
        })
    }

    /// The data directory can not be looked at: nothing is done to it.
    pub(crate) fn inaccessible(&mut self, why: &str) {
        let reason = Reason::DataDirectory(why.to_owned());
        if self.key_says_me() {
            let line =
                "released leader key voluntarily as data dir not accessible and currently leader";
            self.release_when_stopped(Reason::Says(line));
        } else if self.runs_without_lease() {
            self.stop_now("demoting self because I do not have the lock and I was a leader");
        }
        self.say(reason);
    }

    /// The data directory holds something that is no cluster: nothing is done to it unasked.
    pub(crate) fn invalid(&mut self, why: &str) {
        if self.memory.reinitialize.is_some() {
            return self.make_anew();
        }
        let line = "data dir for the cluster is not empty, but system ID is invalid; consider doing reinitialize";
        if self.key_says_me() {
            self.release_when_stopped(Reason::Says(line));
        } else if self.runs_without_lease() {
            self.stop_now("demoting self because I do not have the lock and I was a leader");
            self.say(Reason::Says(line));
        } else {
            self.say(Reason::Says(line));
        }
        self.say(Reason::Note(why.to_owned()));
    }
}
