//! The leader key says my name (contract §5.6, §5.7).

use std::time::Duration;

use pgherd_domain::documents::FailoverDoc;
use pgherd_domain::{
    Action, Adjustment, Lsn, Outcome, PgRole, Promise, Reason, Standing, SyncMode, SyncOutlook,
    TimelineId, Veto, Work, sync_warnings,
};

use crate::memory::PrePromote;
use crate::turn::Turn;

impl Turn<'_> {
    /// PostgreSQL accepts connections and the leader key says my name.
    pub(crate) fn with_my_key(&mut self) {
        // A late write may have given me the key after I had promised it to somebody else; one that was handed
        // over comes with the promise given back.
        if self.keep_the_promise() {
            return;
        }
        if !self.i_lead() {
            return self.claim_my_key();
        }
        self.memory.sit_out_until = None;
        let Some(live) = self.live() else {
            // Unknown is not "not primary" (contract §5.14, rule 9): the role it had goes on.
            self.say(Reason::Leading {
                me: self.spec.me.clone(),
            });
            self.say(Reason::Note(
                "Error communicating with PostgreSQL. Will try again later: it does not answer the heartbeat \
                 query"
                    .into(),
            ));
            self.wake_in(Duration::from_secs(1));
            return;
        };
        match (live.in_recovery, self.is_standby_cluster()) {
            (true, true) => self.lead_standby(live),
            (true, false) => self.be_promoted(live.received.max(live.replayed)),
            (false, _) if !self.wins_the_vote() => {}
            (false, true) if !self.spec.pause => self.demote_cluster(live.timeline),
            (false, _) => self.lead(live.timeline),
        }
    }

    /// The key says my name, but the lease behind it is not mine, or not proven to be: it was handed over
    /// to me, or a former agent of this member took it. A claim is a conditional write.
    pub(crate) fn claim_my_key(&mut self) {
        if let Some(Promise { to, .. }) = self.bound().filter(|_| !self.spec.pause).cloned() {
            if !self.keep_the_promise() {
                self.stop_now("demoting self because i am not the healthiest node");
                self.say(Reason::NotRacing(Veto::Promised { to }));
            }
            return;
        }
        // Nobody else can take it while it says my name.
        if !self.pg().runs_as_primary() && self.releases_unguarded() {
            return;
        }
        let lost = self.seen.lease.standing == Standing::Lost;
        self.say(Reason::Says(match (lost, self.pg().runs_as_primary()) {
            (false, _) => "trying to acquire the leader key",
            // Outside pause it has been stopped before this question.
            (true, true) => "continue to run as primary after failing to update leader lock in DCS",
            (true, false) => "not promoting because failed to update leader lock in DCS",
        }));
        self.actions.push(Action::AcquireLeader);
        self.wake_in(Duration::from_millis(500));
    }

    /// A replica holds the key: `/sync` first, then the promotion. The order must not be changed.
    fn be_promoted(&mut self, position: Lsn) {
        if self.spec.pause && !self.named_by_order() {
            let line = "removed leader lock because postgres is not running as primary";
            self.say(Reason::Says(line));
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        if self.is_not_listed() {
            self.say(Reason::NotRacing(Veto::NotInFailsafe));
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        if self.spec.tags.nofailover {
            let line = "following a different leader because I am not allowed to promote";
            self.say(Reason::Says(line));
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        if self.releases_unguarded() || !self.watchdog_counts() {
            return;
        }
        if position.is_zero() && self.control().is_none() {
            self.say(Reason::Says(
                "postponing promotion because the WAL position is not known",
            ));
            return;
        }
        if self.memory.pre_promote == PrePromote::Failed {
            let line = "Promotion cancelled because the pre-promote script failed";
            self.say(Reason::Says(line));
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        if let Some(veto) = self.key_came_too_late() {
            self.say(Reason::NotRacing(veto));
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        if !self.wins_the_vote() || !self.sync_is_ready_for_me() {
            return;
        }
        let left = self.memory.backoff.left(self.now());
        if !left.is_zero() {
            return self.wait_to_promote(left);
        }
        let Some(valid_until) = self.seen.lease.good_until else {
            return;
        };
        if self.spec.runs_pre_promote && self.memory.pre_promote == PrePromote::Due {
            self.say(Reason::Says("running pre_promote before the promotion"));
            return self.begin(Work::PrePromote);
        }
        self.say(Reason::Says(if self.memory.raced {
            "promoted self to leader by acquiring session lock"
        } else {
            "promoted self to leader because I had the session lock"
        }));
        self.memory.checkpointed = None;
        self.memory.connecting_until = None;
        self.begin(Work::Promote {
            valid_until,
            skip_timelines: self.timelines_to_skip(),
        });
    }

    /// The last promotion failed. After three somebody else is to try.
    fn wait_to_promote(&mut self, left: Duration) {
        self.say(Reason::Says("waiting to try the promotion again"));
        self.wake_in(left);
        if self.memory.backoff.failures >= 3 {
            self.actions.push(Action::ReleaseLeader { optime: None });
        }
    }

    fn named_by_order(&self) -> bool {
        self.view()
            .and_then(|view| view.failover.as_ref())
            .is_some_and(|failover| failover.value.member.as_ref() == Some(&self.spec.me))
    }

    /// The request for the key may have taken its time, and somebody may have led and acknowledged commits
    /// meanwhile: what let this member race is looked at again. A manual failover to it overrides that.
    pub(crate) fn key_came_too_late(&self) -> Option<Veto> {
        let order = self.view()?.failover.as_ref().map(|order| &order.value);
        let ordered = order.is_some_and(|order| {
            !order.is_switchover() && order.member.as_ref() == Some(&self.spec.me)
        });
        self.sync_veto().filter(|_| !ordered)
    }

    /// Synchronous mode, before promotion (contract §6.5): `/sync` names me as leader, then
    /// synchronous_standby_names follows; only then may commits be acknowledged under a new timeline.
    fn sync_is_ready_for_me(&mut self) -> bool {
        let Some(view) = self.view() else {
            return false;
        };
        if self.spec.synchronous_mode == SyncMode::Off {
            if let Some(sync) = &view.sync
                && sync.value.leader.is_some()
            {
                self.actions.push(Action::DeleteSync {
                    expected: sync.revision,
                });
            }
            return true;
        }
        let votes = self.spec.synchronous_mode == SyncMode::Quorum;
        let mine = view.sync_state().is_some_and(|sync| {
            sync.leader.as_ref() == Some(&self.spec.me) && (votes || sync.quorum == 0)
        });
        if !mine {
            let doc = self.sync_for_promotion();
            let expected = view.sync.as_ref().map(|sync| sync.revision);
            self.say(Reason::Says(if self.sync_was_overtaken() {
                "Postponing promotion because synchronous replication state was updated by somebody else"
            } else {
                "writing /sync before the promotion"
            }));
            self.actions.push(Action::WriteSync { doc, expected });
            self.wake_in(Duration::from_millis(200));
            return false;
        }
        if self.memory.sync_in_doubt {
            self.write_sync_again();
            return false;
        }
        let wanted = self.names_for_promotion(view.sync_state());
        let running = self
            .live()
            .map(|live| live.synchronous_standby_names.clone());
        if running.as_deref() != Some(wanted.as_str()) {
            self.say(Reason::Says(
                "setting synchronous_standby_names before the promotion",
            ));
            let change = Adjustment::SetSynchronousStandbyNames(Some(wanted));
            self.actions.push(Action::Adjust(change));
            self.wake_in(Duration::from_millis(200));
            return false;
        }
        true
    }

    /// My last write of `/sync` came too late.
    fn sync_was_overtaken(&self) -> bool {
        self.seen.effects.iter().any(|effect| {
            matches!(effect.action, Action::WriteSync { .. }) && effect.outcome == Outcome::Refused
        })
    }

    /// A primary with the key: everything in order.
    pub(crate) fn lead(&mut self, timeline: TimelineId) {
        self.memory.role = PgRole::Primary;
        self.memory.last_upstream = None;
        if self.demotes_without_watchdog() {
            return;
        }
        self.repair_cluster_keys();
        if self.switch_on_order() {
            return;
        }
        self.clear_fulfilled_order();
        if self.restart_on_schedule() {
            return;
        }
        self.say(Reason::Leading {
            me: self.spec.me.clone(),
        });
        self.tell_wrong_section();
        let idle = self.seen.work.kind().is_none() && !self.begins_work();
        let rested = self.memory.checkpoint_backoff.left(self.now()).is_zero();
        if !self.has_checkpointed(timeline) && idle && rested && !self.spec.pause {
            self.begin(Work::Checkpoint);
        }
        self.warn_of_standbys();
        self.keep_sync();
        self.keep_history();
    }

    /// Told once: what would keep the cluster from going on when somebody fails.
    fn warn_of_standbys(&mut self) {
        let Some(view) = self.view() else { return };
        let spec = self.spec;
        let asked = SyncOutlook {
            mode: spec.synchronous_mode,
            node_count: spec.synchronous_node_count,
            zones: spec.zones.as_ref(),
        };
        let warnings = sync_warnings(view, &asked);
        if self.memory.warned != warnings {
            for warning in &warnings {
                self.say(Reason::Warning(warning.to_string()));
            }
            self.memory.warned = warnings;
        }
    }

    pub(crate) fn begins_work(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action, Action::Begin(_)))
    }

    /// Whether a checkpoint of this timeline is still to come: nobody may rewind from me before.
    pub(crate) fn checkpoint_pending(&self) -> bool {
        self.live()
            .is_some_and(|live| !live.in_recovery && !self.has_checkpointed(live.timeline))
    }

    /// Whether this server has written a checkpoint on `timeline`: pg_rewind reads the timeline of its
    /// source from there. The first timeline begins with one.
    fn has_checkpointed(&self, timeline: TimelineId) -> bool {
        timeline == TimelineId(1)
            || self.memory.checkpointed == Some(timeline)
            || self
                .control()
                .is_some_and(|control| control.timeline == timeline)
    }

    /// `initialize` and `config` are put back by the leader when they are gone (contract §5.1, step 4).
    pub(crate) fn repair_cluster_keys(&mut self) {
        let (Some(view), Some(control)) = (self.view(), self.control()) else {
            return;
        };
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
    }

    /// What is in force goes back where it was lost; an empty configuration says nothing that could be kept.
    pub(crate) fn restore_config(&mut self) {
        let (Some(view), Some(config)) = (self.view(), &self.spec.dynamic_config) else {
            return;
        };
        let says_something = config.as_object().is_some_and(|keys| !keys.is_empty());
        if view.config.is_none() || (view.dynamic().is_none() && says_something) {
            self.actions.push(Action::RestoreConfig {
                config: config.clone(),
                expected: view.config_revision,
            });
        }
    }

    /// An order that has brought me here is done.
    pub(crate) fn clear_fulfilled_order(&mut self) {
        let Some(failover) = self.view().and_then(|view| view.failover.as_ref()) else {
            return;
        };
        let order = &failover.value;
        let fulfilled = order.member.as_ref() == Some(&self.spec.me)
            || order
                .leader
                .as_ref()
                .is_some_and(|leader| *leader != self.spec.me);
        if fulfilled {
            self.actions.push(Action::WriteFailover {
                doc: FailoverDoc::default(),
                expected: failover.revision,
            });
        }
    }
}
