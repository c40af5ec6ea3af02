//! Synchronous standbys (contract §6, on-mode): `/sync` names who certainly has every acknowledged commit.
//!
//! A name leaves `/sync` before it leaves synchronous_standby_names and enters it after, so a crash
//! between any two writes leaves `/sync` a subset of those that commits waited for. Quorum mode, and the way out
//! of it, is in `sync_quorum.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{Action, Adjustment, LiveSeen, Lsn, MemberName, Reason, SyncMode};

use crate::memory::SyncNames;
use crate::quorum::Waits;
use crate::sync_names::{exact_setting, relaxes, waited_for};
use crate::sync_silent::position_of;
use crate::turn::Turn;

/// So long after a change of synchronous_standby_names every session has taken note of it.
pub(crate) const SETTLED: Duration = Duration::from_secs(1);

impl Turn<'_> {
    /// `/sync` before a promotion: I lead, and nobody is confirmed yet. In strict mode the former
    /// members stay, so that nothing is acknowledged that only I have; but of a quorum nobody is certain
    /// to have everything.
    pub(crate) fn sync_for_promotion(&self) -> SyncDoc {
        let former = self.view().and_then(|view| view.sync_state());
        if let (SyncMode::Quorum, Some(former)) = (self.spec.synchronous_mode, former) {
            return self.votes_for_promotion(former);
        }
        let standbys = match former {
            Some(sync) if self.spec.synchronous_mode_strict && sync.quorum == 0 => sync
                .standbys
                .iter()
                .chain(&sync.leader)
                .filter(|name| !name.same_as(self.spec.me.as_str()))
                .cloned()
                .collect(),
            Some(_) | None => BTreeSet::new(),
        };
        SyncDoc {
            leader: Some(self.spec.me.clone()),
            quorum: 0,
            standbys,
        }
    }

    /// One step of the two-phase upkeep on the leader (contract §6.3).
    pub(crate) fn keep_sync(&mut self) {
        let (Some(view), Some(live)) = (self.view(), self.live()) else {
            return;
        };
        let expected = view.sync.as_ref().map(|sync| sync.revision);
        if self.spec.synchronous_mode == SyncMode::Off {
            return self.switch_sync_off();
        }
        self.memory.give_sync_back = false;
        self.note_names(live);
        self.note_silence(live);
        let me = Some(self.spec.me.clone());
        let mine = |sync: &&SyncDoc| sync.leader == me;
        let Some(sync) = view.sync_state().filter(mine) else {
            if view.sync_state().is_some() {
                self.say(Reason::Sync(format!(
                    "Inconsistent state of /sync key detected: it does not name {} as the leader",
                    self.spec.me
                )));
            } else {
                self.say(Reason::Sync("Enabled synchronous replication".into()));
            }
            let doc = SyncDoc {
                leader: me,
                ..SyncDoc::default()
            };
            self.actions.push(Action::WriteSync { doc, expected });
            return self.wake_in(Duration::from_millis(100));
        };
        if self.awaits_standbys(sync, live) {
            return;
        }
        if self.spec.synchronous_mode == SyncMode::Quorum || sync.quorum > 0 {
            return self.keep_quorum(sync, live);
        }
        let running = waited_for(&live.synchronous_standby_names);
        let voters = sync.standbys.clone();
        let names = self.pick_standbys(live, &voters);
        let count = names.len();
        let goal = self.see_to_zones(Waits { count, names }, &running, live);
        let held = goal.count > goal.names.len();
        let picked = goal.names;
        let confirmed = self.confirmed(live, &voters, &running);
        self.step_sync(
            &SyncStep {
                voters,
                picked,
                held,
                confirmed,
                running,
            },
            live,
        );
    }

    fn step_sync(&mut self, step: &SyncStep, live: &LiveSeen) {
        let expected = self
            .view()
            .and_then(|view| view.sync.as_ref())
            .map(|sync| sync.revision);
        let leader = Some(self.spec.me.clone());
        // Shrink /sync first: to who stays picked and is really waited for.
        let keep: BTreeSet<_> = if self.spec.synchronous_mode_strict && step.picked.is_empty() {
            step.voters.intersection(&step.running).cloned().collect()
        } else {
            step.voters
                .iter()
                .filter(|name| step.picked.contains(name) && step.running.contains(name))
                .cloned()
                .collect()
        };
        if keep != step.voters {
            self.say(Reason::Sync(step.why_shrinks(&keep)));
            let doc = SyncDoc {
                leader,
                quorum: 0,
                standbys: keep,
            };
            self.actions.push(Action::WriteSync { doc, expected });
            return self.wake_in(Duration::from_millis(100));
        }
        // Then the setting.
        let strict = self.spec.synchronous_mode_strict;
        let wait_for = if strict && step.picked.is_empty() {
            &step.voters
        } else {
            &step.picked
        };
        let waits = Waits {
            count: wait_for.len() + usize::from(step.held),
            names: wait_for.clone(),
        };
        let wanted = exact_setting(&waits, strict);
        if live.synchronous_standby_names != wanted {
            if strict && step.picked.is_empty() {
                self.say(Reason::Sync(
                    "No active replication connections from Patroni members and \
                     synchronous_mode_strict is requested. Commits will be delayed."
                        .into(),
                ));
            }
            self.say(Reason::Sync(format!(
                "Assigning synchronous standby status to {}",
                list(wait_for)
            )));
            return self.order_names(wanted);
        }
        // Then /sync grows: by who is waited for and has caught up with what was there before.
        let grown: BTreeSet<_> = step.picked.intersection(&step.confirmed).cloned().collect();
        if grown != step.voters && grown.is_superset(&step.voters) {
            self.say(Reason::Sync(format!(
                "Synchronous standby status assigned to {}",
                list(&grown)
            )));
            let doc = SyncDoc {
                leader,
                quorum: 0,
                standbys: grown,
            };
            self.actions.push(Action::WriteSync { doc, expected });
            self.wake_in(Duration::from_millis(100));
        } else if step.picked != step.voters {
            self.wake_in(SETTLED);
        }
    }

    /// Has synchronous_standby_names changed. A write of `/sync` that is still on its way would arrive at the revision that it was
    /// made of, and name a standby for which commits wait no longer: before they wait for less, `/sync` is at another revision.
    pub(crate) fn order_names(&mut self, wanted: String) {
        let running = self.live().map(|live| &live.synchronous_standby_names);
        let relaxes = running.is_some_and(|running| relaxes(running, &wanted));
        if self.memory.sync_in_doubt && relaxes {
            return self.write_sync_again();
        }
        self.memory.ordered_names = Some(wanted.clone());
        let change = Adjustment::SetSynchronousStandbyNames(Some(wanted));
        self.actions.push(Action::Adjust(change));
        self.wake_in(Duration::from_millis(100));
    }

    /// The same once more, at another revision.
    pub(crate) fn write_sync_again(&mut self) {
        let Some(sync) = self.view().and_then(|view| view.sync.clone()) else {
            return;
        };
        self.say(Reason::Sync(
            "Writing /sync once more, so that no earlier write of it arrives any more".into(),
        ));
        self.actions.push(Action::WriteSync {
            doc: sync.value,
            expected: Some(sync.revision),
        });
        self.wake_in(Duration::from_millis(100));
    }

    /// Follows the running setting: since when it is in force, and how far the WAL was when every session
    /// knew of it. A commit before that may not have waited for who is new in it.
    fn note_names(&mut self, live: &LiveSeen) {
        let now = self.now();
        let ordered = self.memory.ordered_names.as_ref();
        if ordered == Some(&live.synchronous_standby_names) {
            self.memory.ordered_names = None;
        }
        match &mut self.memory.sync_names {
            Some(names)
                if names.setting == live.synchronous_standby_names
                    && names.started == live.started_at =>
            {
                if names.from.is_none() && now.since(names.since) >= SETTLED {
                    names.from = Some(live.flushed);
                }
            }
            Some(_) | None => {
                self.memory.sync_names = Some(SyncNames {
                    started: live.started_at.clone(),
                    setting: live.synchronous_standby_names.clone(),
                    since: now,
                    from: None,
                });
            }
        }
    }

    /// The key goes first, then the setting: as long as the key is there, commits wait (contract §6.7).
    fn switch_sync_off(&mut self) {
        let Some(view) = self.view() else { return };
        self.memory.shortage = None;
        if let Some(sync) = view
            .sync
            .as_ref()
            .filter(|sync| sync.value.leader.is_some())
        {
            self.say(Reason::Sync("Disabled synchronous replication".into()));
            self.memory.give_sync_back = true;
            self.actions.push(Action::DeleteSync {
                expected: sync.revision,
            });
            self.wake_in(Duration::from_millis(100));
        } else if self.memory.give_sync_back {
            self.actions
                .push(Action::Adjust(Adjustment::SetSynchronousStandbyNames(None)));
            self.wake_in(Duration::from_millis(500));
        }
    }

    /// Who is to be synchronous (contract §6.2): streaming members, the preferred and most advanced
    /// first; who is already synchronous stays as long as it can.
    pub(crate) fn pick_standbys(
        &self,
        live: &LiveSeen,
        voters: &BTreeSet<MemberName>,
    ) -> BTreeSet<MemberName> {
        let Some(view) = self.view() else {
            return BTreeSet::new();
        };
        let silent = self.silent();
        let mut able: Vec<(Merits, &MemberName)> = view
            .members
            .iter()
            .filter(|(name, member)| {
                let tags = member.tags();
                **name != self.spec.me && member.is_running() && !tags.nosync && !tags.nostream
            })
            // Whoever has every commit must be able to lead.
            .filter(|(name, _)| !self.is_barred_by_list(name))
            .filter_map(|(name, member)| {
                let sender = live
                    .senders_to(name)
                    .find(|sender| sender.state == "streaming")?;
                let position = position_of(sender, &live.synchronous_commit)?;
                let tags = member.tags();
                let counts = (
                    // Commits wait for whoever is silent only where there is nobody else.
                    !silent.contains(name),
                    !tags.nofailover,
                    tags.sync_priority,
                    // Whoever is waited for already keeps its place, or the choice would never settle.
                    2 * u8::from(voters.contains(name)) + u8::from(sender.sync_state == "sync"),
                    position,
                );
                Some((counts, name))
            })
            .collect();
        let best = able
            .iter()
            .map(|((.., position), _)| *position)
            .max()
            .unwrap_or_default();
        let reference = if able.len() > 1 { best } else { live.flushed };
        if let Some(limit) = self.spec.maximum_lag_on_syncnode {
            able.retain(|((.., position), _)| position.behind(reference) <= limit);
        }
        able.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(right.1)));
        let mut count = self.spec.synchronous_node_count.max(1);
        if self.spec.synchronous_mode == SyncMode::Quorum {
            // Everybody counts; who may not lead only where there are too few (contract §6.2).
            let leading = able.iter().filter(|((_, may_lead, ..), _)| *may_lead);
            count = count.max(leading.count());
            // So whoever is silent goes on counting, too.
            able.sort_by_key(|((_, may_lead, ..), _)| !may_lead);
        }
        let able: Vec<&MemberName> = able.into_iter().map(|(_, name)| name).collect();
        self.choose_standbys(&able, &silent, count)
    }

    /// Who is waited for, and has everything that was there when the waiting began.
    fn confirmed(
        &self,
        live: &LiveSeen,
        voters: &BTreeSet<MemberName>,
        running: &BTreeSet<MemberName>,
    ) -> BTreeSet<MemberName> {
        let from = self.memory.sync_names.as_ref().and_then(|names| names.from);
        running
            .iter()
            .filter(|name| {
                voters.contains(name)
                    || live.senders_to(name).any(|sender| {
                        sender.sync_state == "sync" && from.is_some() && sender.flush >= from
                    })
            })
            .cloned()
            .collect()
    }
}

/// What counts when standbys are chosen, first things first: it is not silent, it may lead, its priority, whether it is
/// synchronous already, and how far it is.
type Merits = (bool, bool, i64, u8, Lsn);

/// What one step of the upkeep looks at.
struct SyncStep {
    /// Who is in `/sync`.
    voters: BTreeSet<MemberName>,
    /// Who should be.
    picked: BTreeSet<MemberName>,
    /// Commits are held until more zones have somebody.
    held: bool,
    /// Who is waited for and has caught up.
    confirmed: BTreeSet<MemberName>,
    /// Who is in the running synchronous_standby_names.
    running: BTreeSet<MemberName>,
}

impl SyncStep {
    /// Why `/sync` is to name fewer.
    fn why_shrinks(&self, keep: &BTreeSet<MemberName>) -> String {
        let voters = list(&self.voters);
        if self.picked == self.voters {
            let running = list(&self.running);
            return format!(
                "Inconsistent state between synchronous_standby_names = {running} and /sync = {voters} key detected"
            );
        }
        format!(
            "Updating synchronous privilege temporarily from {voters} to {}",
            list(keep)
        )
    }
}

/// As Patroni's log has it: people search for that.
fn list(names: &BTreeSet<MemberName>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    format!("[{}]", names.join(", "))
}
