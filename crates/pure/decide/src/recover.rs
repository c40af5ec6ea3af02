//! PostgreSQL does not run (contract §5.2), is starting (§5.11), or is to be made anew (§5.13).

use std::time::Duration;

use pgherd_domain::{Action, ControlState, PgRole, PgState, Reason, StopMode, Upstream, Work};

use crate::memory::{Divergence, OldDirectory};
use crate::turn::Turn;

/// So many starts may fail before a leader gives the key up, or a replica is made anew.
pub(crate) const START_FAILURES_MAX: u32 = 3;

impl Turn<'_> {
    /// PostgreSQL does not run.
    pub(crate) fn recover(&mut self) {
        let leading = self.i_lead();
        if self.memory.switching.is_some() {
            return self.switch_after_stop();
        }
        self.state = Some(match self.control().map(|control| control.state) {
            // However it ended: nobody starts it, and nobody looks for a crash (contract §5.1, step 11).
            _ if self.spec.pause => PgState::Stopped,
            Some(ControlState::ShutDown | ControlState::ShutDownInRecovery) => PgState::Stopped,
            Some(_) | None if self.memory.backoff.failures > 0 => PgState::StartFailed,
            Some(_) | None => PgState::Crashed,
        });
        if self.spec.pause {
            return self.recover_paused(leading);
        }
        if self.key_says_me() && self.keep_the_promise() {
            return;
        }
        if self.key_says_me() && !leading {
            return self.claim_my_key();
        }
        let left = self.memory.backoff.left(self.now());
        if leading {
            self.recover_leader();
        } else if let Some(leader) = self.other_leader() {
            if left.is_zero() {
                self.recover_follower(&leader);
            } else {
                self.say(Reason::Says("failed to start postgres"));
                self.wake_in(left);
            }
        } else if left.is_zero() {
            self.start_leaderless();
        } else {
            self.say(Reason::Says("failed to start postgres"));
            self.wake_in(left);
        }
    }

    /// Nobody leads: everybody comes up as a replica, and the race finds the most advanced one.
    pub(crate) fn start_leaderless(&mut self) {
        self.close_if_unconfirmed();
        let remote = self.is_standby_cluster().then(|| self.remote()).flatten();
        let upstream = match remote {
            Some(remote) => {
                self.say(Reason::Says(
                    "trying to follow a remote member because standby cluster is unhealthy",
                ));
                Some(remote)
            }
            None => {
                self.say(Reason::Says("starting as a secondary"));
                let last = self.memory.last_upstream.clone();
                last.filter(|upstream| {
                    let name = upstream.name.as_ref();
                    name.is_some_and(|name| *name != self.spec.me)
                })
            }
        };
        self.begin(self.start_replica(upstream));
    }

    /// The leader, if it is somebody else and known as a server.
    pub(crate) fn other_leader(&self) -> Option<Upstream> {
        let view = self.view()?;
        let leader = view
            .leader_name()
            .filter(|leader| **leader != self.spec.me)?;
        self.upstream_of(leader, view.leader_member()?)
    }

    fn recover_leader(&mut self) {
        if self.is_standby_cluster() {
            return self.recover_standby_leader();
        }
        if self.releases_unguarded() {
            self.memory.role = PgRole::Demoted;
            return;
        }
        if let Some(veto) = self.key_came_too_late() {
            self.say(Reason::NotRacing(veto));
            self.memory.role = PgRole::Demoted;
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        if self.memory.give_up_key {
            let order = self.view().and_then(|view| view.failover.as_ref());
            self.say(Reason::Says(match order {
                Some(order) if order.value.is_switchover() => "switchover: demoting myself",
                Some(order) if order.value.member.is_some() => "manual failover: demoting myself",
                Some(_) | None => "stopped PostgreSQL because of startup timeout",
            }));
            self.memory.role = PgRole::Demoted;
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        if self.memory.backoff.failures >= START_FAILURES_MAX && self.somebody_else_could_lead() {
            let line = "removed leader key after trying and failing to start postgres";
            self.say(Reason::Says(line));
            self.memory.role = PgRole::Demoted;
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        if self.spec.primary_start_timeout.is_zero() && self.somebody_else_could_lead() {
            self.say(Reason::Says(
                "stopped PostgreSQL to fail over after a crash",
            ));
            self.memory.role = PgRole::Demoted;
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        let left = self.memory.backoff.left(self.now());
        if !left.is_zero() {
            self.say(Reason::Says("failed to start postgres"));
            self.wake_in(left);
            return;
        }
        let was_primary = self
            .control()
            .is_some_and(|control| control.state.was_primary());
        // Votes are counted by a replica.
        if was_primary && !self.pg().standby_signal && !self.must_count_votes() {
            if !self.watchdog_counts() {
                return;
            }
            self.close_if_unconfirmed();
            self.say(Reason::Says("starting primary after failure"));
            self.begin(Work::Start {
                start_as: self.start_as_primary(),
                timeout: self.spec.primary_start_timeout,
            });
        } else {
            self.close_if_unconfirmed();
            self.say(Reason::Says(
                "starting as readonly because i had the session lock",
            ));
            self.begin(self.start_replica(None));
        }
    }

    /// Another running member could take over, as far as the store knows.
    pub(crate) fn somebody_else_could_lead(&self) -> bool {
        self.view().is_some_and(|view| {
            view.members.iter().any(|(name, member)| {
                *name != self.spec.me
                    && member.is_running()
                    && !member.tags().nofailover
                    && !self.is_barred_by_list(name)
            })
        })
    }

    /// Down the ladder: follow, wind back, copy. `leader` is whom to follow.
    pub(crate) fn recover_follower(&mut self, leader: &Upstream) {
        let judge = self.judge(leader);
        let Some(control) = self.control() else {
            return;
        };
        // Also one that was started as a replica and did not get that far: with an archive PostgreSQL refuses to follow
        // a timeline that left this one before its last checkpoint.
        let crashed_primary = control.state.was_primary()
            && control.state != ControlState::ShutDown
            && (!self.pg().standby_signal || self.has_failed_to_start());
        // A copy that has never come up is not copied again: what fails is not in the data.
        let given_up =
            self.memory.backoff.failures >= START_FAILURES_MAX && !self.memory.copy_is_untried;
        if crashed_primary && !self.memory.crash_recovered {
            if given_up {
                return self.copy_anew(leader);
            }
            self.say(Reason::Says("doing crash recovery in a single user mode"));
            self.memory.divergence = Divergence::Unchecked;
            self.begin(Work::CrashRecovery);
            return;
        }
        match self.compare_with(&judge) {
            // A replica is of use for reads also while the leader can not be asked; it is compared later.
            None if (!control.state.was_primary() || judge.name.is_none())
                && self.leader_is_mute(&judge) =>
            {
                self.start_following(leader);
            }
            None => {
                self.say(Reason::Says(
                    "waiting for the leader's history before following it",
                ));
                self.wake_in(Duration::from_secs(1));
            }
            // pg_rewind wants a server that stopped in good order. A replica that was killed is started once
            // more; it is found diverged again, and stopped. One that does not start is recovered before pg_rewind.
            Some(Divergence::Diverged { .. }) if self.is_killed_replica() => {
                self.start_following(leader);
            }
            Some(Divergence::Diverged { .. })
                if given_up && self.spec.reclone_when_rewind_fails =>
            {
                self.copy_anew(leader);
            }
            Some(Divergence::Diverged { .. }) => self.wind_back(&judge),
            Some(Divergence::Hopeless)
                if !self.spec.reclone_when_rewind_fails && !self.spec.reclone_when_diverged =>
            {
                let advice = "a new copy is needed and not allowed by the settings: reinitialize this member";
                self.say(Reason::Note(advice.into()));
            }
            Some(Divergence::Hopeless) => self.copy_anew(leader),
            Some(Divergence::Behind { why, .. }) => {
                self.memory.rejoin_because = Some(why);
                self.copy_anew(leader);
            }
            Some(Divergence::None { .. } | Divergence::Unchecked) => {
                if given_up {
                    return self.copy_anew(leader);
                }
                self.start_following(leader);
            }
        }
    }

    /// It failed to start, and is no copy that has never come up.
    const fn has_failed_to_start(&self) -> bool {
        self.memory.backoff.failures > 0 && !self.memory.copy_is_untried
    }

    /// The data directory is that of a replica that did not stop in good order, and may start yet.
    fn is_killed_replica(&self) -> bool {
        self.pg().standby_signal
            && self.memory.backoff.failures < START_FAILURES_MAX
            && !self.has_failed_to_start()
            && self.control().is_some_and(|control| {
                !matches!(
                    control.state,
                    ControlState::ShutDown | ControlState::ShutDownInRecovery
                )
            })
    }

    fn start_following(&mut self, leader: &Upstream) {
        self.say(Reason::Says(if self.i_lead() {
            "starting as a standby leader because i had the session lock"
        } else {
            "starting as a secondary"
        }));
        self.close_if_unconfirmed();
        let upstream = (!self.spec.tags.nostream).then(|| leader.clone());
        self.memory.last_upstream.clone_from(&upstream);
        self.begin(self.start_replica(upstream));
    }

    /// The last step of the ladder: a new copy, with the old directory kept until it streams.
    fn copy_anew(&mut self, leader: &Upstream) {
        if self.i_lead()
            && self.somebody_else_could_lead()
            && self.is_there_more_wal_here()
            && !self.memory.gave_way
        {
            self.memory.gave_way = true;
            // A member nearby is a better source than the other region.
            self.say(Reason::Says(
                "removed leader key because a new copy is needed",
            ));
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        let (source, is_leader) = match leader.name {
            Some(_) => self
                .clone_source(false)
                .unwrap_or_else(|| (leader.clone(), true)),
            None => (leader.clone(), true),
        };
        if self.memory.rejoin_because.is_none() && self.memory.backoff.failures > 0 {
            let times = self.memory.backoff.failures;
            self.memory.rejoin_because = Some(format!("it failed to start {times} times"));
        }
        self.say(Reason::CloningFrom {
            source: match &source.name {
                Some(name) => name.to_string(),
                None => source.to_string(),
            },
            leader: is_leader,
        });
        self.state = Some(PgState::CreatingReplica);
        let ready = self
            .view()
            .and_then(|view| view.leader_member())
            .is_some_and(|member| {
                member.role == Some(PgRole::Primary) || member.role == Some(PgRole::StandbyLeader)
            });
        if ready || leader.name.is_none() {
            self.begin(Work::Clone {
                source,
                basebackup_only: false,
            });
        } else {
            self.wake_in(Duration::from_millis(500));
        }
    }

    /// Somebody else here may be able to go on where this standby leader can not. Not where all of them need WAL that
    /// the other cluster has no more: they would give the key to each other for ever.
    fn is_there_more_wal_here(&self) -> bool {
        let Divergence::Behind { oldest, .. } = &self.memory.divergence else {
            return true;
        };
        self.view().is_some_and(|view| {
            view.members.iter().any(|(name, member)| {
                *name != self.spec.me
                    && member.is_running()
                    && member.xlog_location.is_some_and(|at| at >= *oldest)
            })
        })
    }

    /// The postmaster runs and does not accept connections yet.
    pub(crate) fn starting(&mut self) {
        let now = self.now();
        self.state = Some(PgState::Starting);
        self.wake_in(Duration::from_millis(200));
        let since = self.pg().up_since.unwrap_or(now);
        let timeout = self.spec.primary_start_timeout;
        let running_for = now.since(since);
        if self.i_lead() {
            self.starting_leader(timeout.saturating_sub(running_for));
        } else if self.key_says_me() {
            self.claim_my_key();
        } else if self.pg().runs_as_primary() && !self.spec.pause {
            self.stop_now("stopped PostgreSQL while starting up because leader key was lost");
        } else {
            self.say(Reason::Says("PostgreSQL is still starting up"));
            if let Some(leader) = self.other_leader() {
                self.follow_upstream(&leader);
            }
        }
    }

    /// The same with the key in my hand, and `left` until somebody else is to try.
    fn starting_leader(&mut self, left: Duration) {
        if self.hand_over_while_starting() {
            return;
        }
        if !left.is_zero() {
            let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            self.say(Reason::StillStarting { seconds });
        } else if self.somebody_else_could_lead() && !self.spec.pause {
            self.memory.give_up_key = true;
            self.stop_now("stopped PostgreSQL because of startup timeout");
        } else {
            let line = "primary start has timed out, but continuing to wait because failover is not possible";
            self.say(Reason::Says(line));
        }
    }

    /// An operator wants this replica made anew (contract §5.13).
    pub(crate) fn make_anew(&mut self) {
        let from_leader = self.memory.reinitialize.unwrap_or(false);
        let leads = self.view().and_then(|view| view.leader_name()) == Some(&self.spec.me);
        if leads {
            self.memory.reinitialize = None;
            self.say(Reason::Says("I am the leader, can not reinitialize"));
            return;
        }
        let Some((source, leader)) = self.clone_source(from_leader) else {
            self.say(Reason::Says("waiting for leader to bootstrap"));
            self.wake_in(Duration::from_millis(500));
            return;
        };
        self.state = Some(PgState::CreatingReplica);
        let name = source
            .name
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        self.say(Reason::CloningFrom {
            source: name,
            leader,
        });
        if self.pg().is_running() {
            self.begin(Work::Stop {
                mode: StopMode::Immediate,
                escalate_at: Some(self.now().plus(Duration::from_secs(5))),
            });
            return;
        }
        self.memory.rejoin_because = Some("an operator ordered it".to_owned());
        let left = self.memory.backoff.left(self.now());
        if left.is_zero() {
            self.memory.old_directory = OldDirectory::Unknown;
            self.begin(Work::Clone {
                source,
                basebackup_only: from_leader,
            });
        } else {
            self.wake_in(left);
        }
    }
}
