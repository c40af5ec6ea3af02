//! The end of every turn: what is shown of this member and its cluster.

use std::collections::BTreeMap;

use pgherd_domain::documents::{HistoryDoc, HistoryEntry, MemberDoc, StatusDoc, VerdictDoc};
use pgherd_domain::{
    Action, ControlState, DataDirectory, LiveSeen, Operation, PgRole, PgState, Reason,
    ServerVersion, TimelineId, Veto, Work, WorkKind,
};
use serde_json::{Map, Value};

use crate::Decision;
use crate::turn::Turn;

/// Finishes a turn: slots, `/status`, the member key.
pub(crate) fn finish(mut turn: Turn<'_>) -> Decision {
    let healthy = turn.view().is_some() && !turn.seen.shutdown;
    let idle = turn
        .seen
        .work
        .kind()
        .is_none_or(|kind| kind == WorkKind::Checkpoint);
    if healthy && idle {
        turn.keep_slots();
    } else if idle && !turn.seen.shutdown {
        turn.move_slots_without_dcs();
    }
    if healthy && turn.i_lead() {
        turn.write_status();
        turn.keep_the_list();
    }
    let role = turn.role();
    let state = turn.shown_state();
    let verdict = turn.verdict();
    let slots = turn.slots_to_tell();
    let member = turn.member_doc(state, role, &verdict);
    if turn.view().is_some() && !turn.exits() {
        let shown = turn.view().and_then(|view| view.members.get(&turn.spec.me));
        if shown != Some(&member) {
            // Ahead of everything else, because others decide by it; but a stop never waits for the DCS.
            let stop = turn.actions.iter().rposition(|action| {
                matches!(
                    action,
                    Action::CancelWork | Action::Begin(Work::Stop { .. })
                )
            });
            let place = stop.map_or(0, |stop| stop + 1);
            turn.actions
                .insert(place, Action::PublishMember(Box::new(member.clone())));
        }
    }
    if turn.because.is_empty() {
        turn.because.push(Reason::Says("waiting"));
    }
    // The line of the turn is what it does now; how the last work failed comes after it.
    turn.because
        .sort_by_key(|reason| matches!(reason, Reason::WorkFailed { .. }));
    let Turn {
        actions,
        because,
        notices,
        memory,
        wake,
        ..
    } = turn;
    Decision {
        actions,
        because,
        notices: notices.into_iter().collect(),
        memory,
        wake_at: wake,
        state,
        role,
        verdict,
        member,
        slots,
    }
}

impl Turn<'_> {
    fn exits(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action, Action::Exit { .. }))
    }

    fn write_status(&mut self) {
        let (Some(view), Some(live)) = (self.view(), self.live()) else {
            return;
        };
        if live.in_recovery && !self.is_standby_cluster() {
            return;
        }
        let status = StatusDoc {
            optime: Some(live.position()),
            slots: self.slot_positions(live),
            retain_slots: self.retained_slots(),
        };
        if status != view.status {
            self.actions.push(Action::WriteStatus(status));
        }
    }

    /// `/history` (contract §5.7, step 7): every switch of my timeline, what is known of each kept.
    pub(crate) fn keep_history(&mut self) {
        let (Some(view), Some(live)) = (self.view(), self.live()) else {
            return;
        };
        if live.history.switches.is_empty() && live.timeline > TimelineId(1) {
            return;
        }
        let known = view.history.clone().unwrap_or_default();
        let newest = live.history.switches.last().map(|switch| switch.timeline);
        let mut entries: Vec<HistoryEntry> = live
            .history
            .switches
            .iter()
            .map(|switch| {
                let old = known
                    .entries
                    .iter()
                    .find(|entry| entry.timeline == switch.timeline && entry.at == switch.at);
                old.cloned().unwrap_or_else(|| HistoryEntry {
                    timeline: switch.timeline,
                    at: switch.at,
                    reason: switch.reason.clone(),
                    timestamp: (Some(switch.timeline) == newest).then(|| self.seen.wall.iso()),
                    new_leader: (Some(switch.timeline) == newest)
                        .then(|| self.spec.me.as_str().to_owned()),
                })
            })
            .collect();
        let keep = self.spec.max_timelines_history;
        if keep > 0 && entries.len() > keep {
            entries.drain(..entries.len() - keep);
        }
        let doc = HistoryDoc { entries };
        if view.history.as_ref() != Some(&doc) {
            self.actions.push(Action::WriteHistory(doc));
        }
    }

    fn role(&self) -> PgRole {
        if self.seen.work.kind() == Some(WorkKind::Promote) {
            return PgRole::Promoted;
        }
        match &self.pg().data {
            DataDirectory::Empty => return PgRole::Uninitialized,
            DataDirectory::Cluster(_)
            | DataDirectory::Invalid { .. }
            | DataDirectory::Inaccessible { .. } => {}
        }
        if self.pg().is_running() {
            return if self.pg().runs_as_primary() {
                PgRole::Primary
            } else if self.i_lead() && self.is_standby_cluster() {
                PgRole::StandbyLeader
            } else {
                PgRole::Replica
            };
        }
        let primary = self.memory.role == PgRole::Primary || self.memory.role == PgRole::Demoted;
        let demoted = primary && !self.i_lead();
        match (demoted, self.memory.role) {
            (true, _) => PgRole::Demoted,
            (false, PgRole::StandbyLeader) if !self.i_lead() => PgRole::Replica,
            (false, role) => role,
        }
    }

    fn shown_state(&self) -> PgState {
        if let Some(state) = self.state {
            return state;
        }
        if self.pg().is_running() {
            return if self.pg().accepting {
                PgState::Running
            } else {
                PgState::Starting
            };
        }
        match self.control().map(|control| control.state) {
            Some(
                ControlState::InProduction
                | ControlState::InArchiveRecovery
                | ControlState::InCrashRecovery,
            ) => PgState::Crashed,
            Some(
                ControlState::ShutDown
                | ControlState::ShutDownInRecovery
                | ControlState::ShuttingDown
                | ControlState::StartingUp,
            )
            | None => PgState::Stopped,
        }
    }

    fn verdict(&self) -> Vec<Veto> {
        match &self.race {
            Some(vetoes) => vetoes.clone(),
            None if self.i_lead() => Vec::new(),
            None => {
                let mut vetoes = self.own_vetoes();
                if self.spec.pause {
                    vetoes.push(Veto::Paused);
                }
                vetoes
            }
        }
    }

    fn member_doc(&self, state: PgState, role: PgRole, verdict: &[Veto]) -> MemberDoc {
        let busy = self.seen.work.kind().is_some_and(|kind| {
            !matches!(
                kind,
                WorkKind::PrePromote | WorkKind::Promote | WorkKind::Checkpoint
            )
        });
        let mut doc = MemberDoc {
            conn_url: self.spec.conn_url.clone(),
            api_url: self.spec.api_url.clone(),
            state: Some(state),
            role: Some(role),
            version: self.spec.version.clone(),
            proxy_url: self.spec.proxy_url.clone(),
            checkpoint_pending: self.checkpoint_pending(),
            tags: self.shown_tags(),
            pause: self.spec.pause,
            scheduled_restart: self.planned_restart(),
            verdict: Some(VerdictDoc {
                eligible: verdict.is_empty(),
                because: verdict.iter().map(ToString::to_string).collect(),
            }),
            progress: self.progress().or_else(|| self.waits_for()),
            copies: self.copies(),
            zones: self.zones_told(),
            closed: self.closed.clone(),
            ..MemberDoc::default()
        };
        if !busy && let Some(live) = self.live() {
            fill_live(&mut doc, live);
        }
        doc
    }

    /// My tags; while I wait to leave `/sync`, such that the leader lets me go (contract §5.12).
    fn shown_tags(&self) -> BTreeMap<String, Value> {
        let mut tags = self.spec.tags.published.clone();
        if self.is_held_back() {
            tags.insert("nofailover".into(), true.into());
            tags.insert("nosync".into(), true.into());
        }
        if self.memory.leaving_sync_since.is_some() {
            tags.insert("nosync".into(), true.into());
            tags.insert("sync_priority".into(), 0.into());
        }
        tags
    }

    fn progress(&self) -> Option<String> {
        let (work, _, said) = self.seen.work.running.as_ref()?;
        let said = said.clone()?;
        let because = match work {
            Work::Rewind { .. } | Work::Clone { .. } => self.memory.rejoin_because.as_ref(),
            Work::Bootstrap
            | Work::Restore
            | Work::Start { .. }
            | Work::Restart { .. }
            | Work::Stop { .. }
            | Work::PrePromote
            | Work::Promote { .. }
            | Work::Checkpoint
            | Work::CopySlots { .. }
            | Work::StopBefore { .. }
            | Work::CrashRecovery => None,
        };
        Some(match because {
            Some(because) => format!("{said}, because {because}"),
            None => said,
        })
    }

    /// The member that is being copied.
    fn copies(&self) -> Option<String> {
        let (work, _, _) = self.seen.work.running.as_ref()?;
        work.copied_from().map(ToString::to_string)
    }

    /// The planned restart as the member key shows it (contract §4.4).
    fn planned_restart(&self) -> Option<Value> {
        let planned = self.memory.scheduled_restart.as_ref()?;
        let Operation::Restart {
            role,
            older_than,
            only_pending,
            timeout,
            schedule: Some((text, _)),
        } = &planned.operation
        else {
            return None;
        };
        let mut map = Map::new();
        map.insert("schedule".into(), text.clone().into());
        map.insert(
            "postmaster_start_time".into(),
            planned.postmaster_started.clone().into(),
        );
        if let Some(role) = role {
            map.insert("role".into(), role.text().into());
        }
        if let Some(version) = older_than {
            map.insert(
                "postgres_version".into(),
                ServerVersion(*version).to_string().into(),
            );
        }
        if *only_pending {
            map.insert("restart_pending".into(), true.into());
        }
        if let Some(timeout) = timeout {
            map.insert("timeout".into(), timeout.as_secs().into());
        }
        Some(Value::Object(map))
    }
}

fn fill_live(doc: &mut MemberDoc, live: &LiveSeen) {
    doc.xlog_location = Some(live.position());
    doc.timeline = Some(live.timeline);
    doc.pending_restart_reason.clone_from(&live.pending_restart);
    doc.pending_restart = !live.pending_restart.is_empty();
    if live.in_recovery {
        let some = |lsn: pgherd_domain::Lsn| (!lsn.is_zero()).then_some(lsn);
        doc.receive_lsn = some(live.received);
        doc.replay_lsn = some(live.replayed);
        doc.replication_state = live.replication_state().map(str::to_owned);
    }
}
