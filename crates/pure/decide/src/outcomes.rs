//! What came of the last turn: of its writes, of the long work, and what is remembered of the cluster.

use std::time::Duration;

use pgherd_domain::{
    Action, Adjustment, Effect, Notice, Outcome, PgRole, Reason, Upstream, Work, WorkEnd,
    WorkError, WorkKind,
};

use crate::memory::{Backoff, Bootstrap, Divergence, OldDirectory, PrePromote};
use crate::turn::Turn;

impl Turn<'_> {
    /// What came of the last turn's writes, where the next step depends on it.
    pub(crate) fn note_effects(&mut self) {
        // Whoever led meanwhile may have sent something for `/sync` as it is.
        self.memory.sync_in_doubt |= !self.seen.lease.is_mine(self.now());
        for Effect { action, outcome } in &self.seen.effects {
            match (action, outcome) {
                (Action::TakeInitialize, Outcome::Done) => self.memory.bootstrap = Bootstrap::Mine,
                (Action::TakeInitialize, Outcome::Refused) => {
                    self.because
                        .push(Reason::Says("failed to acquire initialize lock"));
                }
                (Action::WriteSync { expected, .. }, Outcome::Refused) => {
                    let text = match expected {
                        None => "Updating sync state failed",
                        Some(_) => "Synchronous replication key updated by someone else.",
                    };
                    self.notices.insert(Notice::warn(text));
                }
                // Done is done at the revision that was expected: whatever else was sent for that one comes too late.
                (Action::WriteSync { .. } | Action::DeleteSync { .. }, Outcome::Done) => {
                    self.memory.sync_in_doubt = false;
                }
                (Action::WriteSync { .. } | Action::DeleteSync { .. }, Outcome::Unknown(_)) => {
                    self.memory.sync_in_doubt = true;
                }
                (Action::HandOver { to, .. }, Outcome::Done) => {
                    self.memory.switching = None;
                    self.memory.stepped_down = true;
                    self.memory.divergence = Divergence::None {
                        leader: Some(to.clone()),
                    };
                }
                (Action::HandOver { .. }, Outcome::Refused) => {
                    if let Some(switching) = &mut self.memory.switching {
                        switching.race = true;
                    }
                }
                (Action::HandOver { .. } | Action::ReleaseLeader { .. }, Outcome::Unknown(_)) => {
                    self.memory.key_in_doubt = true;
                }
                (Action::ReleaseLeader { .. }, Outcome::Done) => {
                    self.memory.stepped_down |= self.memory.switching.is_some();
                    self.memory.switching = None;
                    self.memory.give_up_key = false;
                    let sit_out = self.spec.loop_wait.max(Duration::from_secs(2));
                    self.memory.sit_out_until = Some(self.now().plus(sit_out));
                }
                (Action::Adjust(Adjustment::ForgetOldDirectory), Outcome::Done) => {
                    self.memory.old_directory = OldDirectory::Gone;
                }
                (Action::Adjust(Adjustment::SetSynchronousStandbyNames(None)), Outcome::Done) => {
                    self.memory.give_sync_back = false;
                }
                (Action::Adjust(Adjustment::CreateLogicalSlot { .. }), outcome) => {
                    let backoff = &mut self.memory.logical_backoff;
                    match outcome {
                        Outcome::Done => backoff.succeeded(),
                        Outcome::Refused | Outcome::Unknown(_) => backoff.failed(self.seen.now),
                    }
                }
                (Action::DeleteInitialize { .. }, Outcome::Done) => {
                    self.memory.orphaned_initialize_since = None;
                }
                // An unknown outcome needs nothing: this turn has read the store again, and every
                // conditional write can be repeated.
                (_, Outcome::Done | Outcome::Refused | Outcome::Unknown(_)) => {}
            }
        }
    }

    /// How the long work ended, where the next step depends on it.
    pub(crate) fn note_ended_work(&mut self) {
        let Some(end) = &self.seen.work.ended else {
            return;
        };
        let kind = end.work.kind();
        self.answer_restart(kind, &end.result);
        if let Err(error) = &end.result
            && !matches!(error, WorkError::Cancelled | WorkError::LeaseEnded)
        {
            self.note_failed_work(kind, error);
        }
        self.note_replication_work(end);
        let ok = end.result.is_ok();
        match &end.work {
            Work::Bootstrap => {
                self.memory.bootstrap = if ok {
                    Bootstrap::Created
                } else {
                    Bootstrap::Failed
                };
            }
            Work::Clone { source, .. } if ok => {
                self.memory.backoff.succeeded();
                self.memory.reinitialize = None;
                self.memory.old_directory = OldDirectory::Unknown;
                self.memory.copy_is_untried = true;
                self.memory.is_theirs = true;
                self.memory.divergence = match &source.name {
                    Some(_) => Divergence::None {
                        leader: source.name.clone(),
                    },
                    None => Divergence::Unchecked,
                };
                self.note_copy_of_remote();
            }
            Work::Restore if ok => {
                self.note_copy_of_remote();
                self.memory.backoff.succeeded();
                self.memory.copy_is_untried = true;
                self.memory.is_theirs = true;
                self.memory.divergence = Divergence::Unchecked;
            }
            Work::PrePromote => self.note_pre_promote(&end.result),
            Work::Rewind { source } => self.note_rewind(&end.result, source),
            Work::CrashRecovery if ok => self.memory.crash_recovered = true,
            Work::Start { .. } | Work::Restart { .. } | Work::Promote { .. } if ok => {
                self.memory.backoff.succeeded();
                self.memory.is_theirs = false;
            }
            Work::Checkpoint if ok => {
                self.memory.checkpointed = self.live().map(|live| live.timeline);
            }
            Work::Clone { .. }
            | Work::Restore
            | Work::CrashRecovery
            | Work::Start { .. }
            | Work::Restart { .. }
            | Work::Checkpoint
            | Work::Stop { .. }
            | Work::CopySlots { .. }
            | Work::StopBefore { .. }
            | Work::Promote { .. } => {}
        }
    }

    fn note_pre_promote(&mut self, result: &Result<(), WorkError>) {
        self.memory.pre_promote = match result {
            Ok(()) => PrePromote::Passed,
            Err(WorkError::Cancelled) => PrePromote::Due,
            Err(_) => {
                self.memory.pre_promote_failed = Some(self.seen.now);
                PrePromote::Failed
            }
        };
    }

    fn note_rewind(&mut self, result: &Result<(), WorkError>, source: &Upstream) {
        match result {
            Ok(()) => {
                self.memory.backoff.succeeded();
                self.memory.divergence = Divergence::None {
                    leader: source.name.clone(),
                };
            }
            Err(WorkError::Hopeless(why)) => {
                self.memory.divergence = Divergence::Hopeless;
                self.memory.rejoin_because = Some(format!("pg_rewind can not help: {why}"));
            }
            Err(_) => {}
        }
    }

    /// The first member of a standby cluster has its data: the cluster is founded as soon as it runs.
    fn note_copy_of_remote(&mut self) {
        if self.memory.bootstrap == Bootstrap::Mine {
            self.memory.bootstrap = Bootstrap::Created;
        }
    }

    /// The same for works that slots and delayed standbys depend on.
    fn note_replication_work(&mut self, end: &WorkEnd) {
        let ok = end.result.is_ok();
        if let Work::CopySlots { .. } = &end.work {
            self.note_copied(ok);
        } else if let Work::StopBefore { .. } = &end.work {
            self.answer_stop_before(&end.result);
        } else if let (Work::Promote { .. }, true) = (&end.work, ok) {
            self.restart_retention();
        }
    }

    /// A work that failed is tried again later and later, where trying again may heal.
    fn note_failed_work(&mut self, kind: WorkKind, error: &WorkError) {
        let now = self.now();
        match kind {
            // Neither heals anything: the next start must not pay for them.
            WorkKind::Checkpoint => self.memory.checkpoint_backoff.failed(now),
            WorkKind::Stop | WorkKind::PrePromote | WorkKind::CopySlots | WorkKind::StopBefore => {}
            WorkKind::Bootstrap
            | WorkKind::Clone
            | WorkKind::Restore
            | WorkKind::Start
            | WorkKind::Restart
            | WorkKind::Promote
            | WorkKind::CrashRecovery
            | WorkKind::Rewind => self.memory.backoff.failed(now),
        }
        let why = error.to_string();
        self.because.push(Reason::WorkFailed { kind, why });
    }

    /// What must be remembered of the cluster for the time when it can not be seen.
    pub(crate) fn note_cluster(&mut self) {
        if let Some(live) = self.live() {
            self.memory.role = if live.in_recovery {
                PgRole::Replica
            } else {
                self.memory.pre_promote = PrePromote::Due;
                PgRole::Primary
            };
            self.memory.crash_recovered = false;
            self.memory.stepped_down = false;
            self.memory.copy_is_untried = false;
            self.memory.rejoin_because = None;
        }
        if !self.runs_without_lease() {
            self.memory.primary_without_lease_since = None;
        }
        self.note_section();
        let Some(view) = self.view() else { return };
        self.memory.key_in_doubt = false;
        if view.leader_name() != Some(&self.spec.me) {
            self.memory.give_up_key = false;
            self.memory.pre_promote = PrePromote::Due;
            self.memory.key_since = None;
        }
        if let Some(leader) = view.leader_name() {
            self.memory.raced &= *leader == self.spec.me;
            self.memory.leaderless_since = None;
            self.memory.round = None;
            self.memory.last_position = None;
            // A voter whose key is gone may only be cut off from the DCS: its vote is needed.
            let sync = view.sync_state();
            self.memory
                .last_members
                .retain(|name, _| sync.is_some_and(|sync| sync.names(name)));
            self.memory.last_members.extend(view.members.clone());
            if self.memory.last_leader.as_ref() != Some(leader) {
                self.memory.last_leader = Some(leader.clone());
                self.memory.not_streaming_since = None;
                let known = matches!(
                    &self.memory.divergence, Divergence::None { leader: checked } if checked.as_ref() == Some(leader)
                );
                if !known && *leader != self.spec.me {
                    self.memory.divergence = Divergence::Unchecked;
                    self.memory.backoff = Backoff::NONE;
                }
            }
        } else {
            self.memory.leaderless_since.get_or_insert(self.seen.now);
        }
    }
}
