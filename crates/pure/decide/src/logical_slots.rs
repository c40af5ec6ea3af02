//! Permanent logical slots (contract §7): made on the primary, and there on every replica that may lead, so that
//! a subscriber goes on after a role change. Up to PostgreSQL 16 their files are copied, and the copies moved
//! along with what `/status` tells; from 17 on PostgreSQL does that itself.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{
    Action, Adjustment, LiveSeen, LogicalSlot, Lsn, Notice, PgRole, Reason, ServerVersion,
    SlotName, SlotSeen, Upstream, Work, is_not_after,
};

use crate::turn::Turn;
use crate::wanted_slots::WantedSlot;

/// How a logical slot comes to the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It does not: standbys before 11 can not have one.
    None,
    /// Its file is copied, and the copy moved forward.
    Copied,
    /// PostgreSQL keeps it in step by itself (failover slots, 17+).
    Native,
}

impl Way {
    /// The way of `slot` on a server of this version. `failover: false` in the settings keeps to copies.
    pub(crate) const fn of(version: ServerVersion, slot: &LogicalSlot) -> Self {
        match (version.major(), slot.failover) {
            (0..=10, _) => Self::None,
            (11..=16, _) | (_, Some(false)) => Self::Copied,
            (_, Some(true) | None) => Self::Native,
        }
    }
}

impl Turn<'_> {
    /// Whether a permanent logical slot is this server's business now: the primary's always, a replica's when
    /// it may lead, streams, and has to have a copy.
    pub(crate) fn is_here(&self, slot: &LogicalSlot, live: &LiveSeen) -> bool {
        !live.in_recovery
            || (!self.spec.tags.nostream && Way::of(live.version, slot) == Way::Copied)
    }

    /// Makes, copies and moves logical slots.
    pub(crate) fn keep_logical(&mut self, wanted: &BTreeMap<String, WantedSlot>, live: &LiveSeen) {
        let logical: BTreeMap<&String, &LogicalSlot> = wanted
            .iter()
            .filter_map(|(name, slot)| match slot {
                WantedSlot::Logical(slot) => Some((name, slot)),
                WantedSlot::Physical { .. } => None,
            })
            .collect();
        self.keep_slot_parameters(live);
        if live.in_recovery {
            self.memory
                .copies
                .retain(|name, _| logical.contains_key(name));
            self.keep_copies(&logical, live);
        } else {
            self.warn_of_unsafe_copies();
            self.make_logical(&logical, live);
        }
    }

    /// On the primary. One whose WAL is gone stays as it is: made anew it would begin later, and its consumer
    /// would miss what lies between without a word.
    fn make_logical(&mut self, logical: &BTreeMap<&String, &LogicalSlot>, live: &LiveSeen) {
        let rested = self.memory.logical_backoff.left(self.now()).is_zero();
        for (name, slot) in logical {
            match live.slots.get(*name) {
                None if self.i_lead() && rested => {
                    let failover = Way::of(live.version, slot) == Way::Native;
                    self.actions
                        .push(Action::Adjust(Adjustment::CreateLogicalSlot {
                            slot: SlotName::existing(name),
                            database: slot.database.clone(),
                            plugin: slot.plugin.clone(),
                            failover,
                        }));
                }
                Some(seen) if seen.lost => self.notice(Notice::error(format!(
                    "The logical slot '{name}' has been invalidated: the WAL that its consumer still needs is \
                     gone, so the consumer has to copy its data anew. It is not made anew by itself, because \
                     the consumer would miss changes without noticing; drop it \
                     (SELECT pg_drop_replication_slot('{name}')) once the consumer knows"
                ))),
                None | Some(_) => {}
            }
        }
    }

    /// On a replica: missing and broken copies are made, the others moved forward.
    fn keep_copies(&mut self, logical: &BTreeMap<&String, &LogicalSlot>, live: &LiveSeen) {
        let mut advance = BTreeMap::new();
        let mut due = BTreeMap::new();
        let mut unproven = Vec::new();
        for (name, slot) in logical {
            if self.told_of(name).is_none() {
                // The primary has none, or does not say how far it is.
                continue;
            }
            let slot_name = SlotName::existing(name);
            match live.slots.get(*name) {
                None => {
                    due.insert(slot_name, (*slot).clone());
                }
                Some(seen) if seen.lost || seen.broken.is_some() => {
                    let why = seen.broken.as_deref().unwrap_or("it has been invalidated");
                    self.notice(Notice::warn(format!(
                        "the copy of the logical slot '{name}' can not be used any more ({why}): it is copied \
                         from the primary again"
                    )));
                    due.insert(slot_name, (*slot).clone());
                }
                Some(seen) if seen.active => {}
                Some(seen) => {
                    self.note_horizons(name, seen);
                    if let Some(to) = self.copy_moves_to(name, seen, live) {
                        advance.insert(slot_name.clone(), (slot.database.clone(), to));
                    }
                    if self.memory.copies.get(*name) != Some(&CopyState::Safe) {
                        unproven.push(slot_name);
                    }
                }
            }
        }
        if !due.is_empty() {
            self.copy(due);
        }
        self.move_copies(advance, unproven);
    }

    /// To where a copy is to be moved: as far as the primary's slot is, and no further than this server has replayed.
    pub(crate) fn copy_moves_to(
        &self,
        name: &str,
        seen: &SlotSeen,
        live: &LiveSeen,
    ) -> Option<Lsn> {
        let to = self.told_of(name)?.min(live.replayed);
        let usable = !seen.active && !seen.lost && seen.broken.is_none();
        let moves = seen.confirmed_flush.is_none_or(|confirmed| to > confirmed);
        (usable && moves).then_some(to)
    }

    pub(crate) fn move_copies(
        &mut self,
        advance: BTreeMap<SlotName, (String, Lsn)>,
        unproven: Vec<SlotName>,
    ) {
        let standby = SlotName::of_member(&self.top_of_my_cascade());
        let compare = self
            .primary()
            .filter(|_| !unproven.is_empty())
            .map(|primary| (primary, standby, unproven));
        if !advance.is_empty() || compare.is_some() {
            self.actions
                .push(Action::Adjust(Adjustment::KeepLogicalSlots {
                    advance,
                    compare,
                }));
        }
    }

    /// A copy is safe to lead with once it needs no row of the catalogue that vacuum may have removed before
    /// this standby's feedback held it: it has moved to where the slot on the primary was when feedback
    /// first stood.
    fn note_horizons(&mut self, name: &str, seen: &SlotSeen) {
        let copy = self
            .memory
            .copies
            .entry(name.to_owned())
            .or_insert(CopyState::Unproven);
        if *copy == CopyState::Unproven
            && let Some(horizons) = seen.horizons
            && horizons.standby.is_some()
        {
            *copy = CopyState::SafeFrom(horizons.slot);
        }
        if let (CopyState::SafeFrom(from), Some(mine)) = (*copy, seen.catalog_xmin)
            && is_not_after(from, mine)
        {
            *copy = CopyState::Safe;
            self.notice(Notice::info(format!(
                "Logical slot {name} is safe to be used after a failover"
            )));
        }
    }

    /// A promotion came before all copies were safe.
    fn warn_of_unsafe_copies(&mut self) {
        let copies = std::mem::take(&mut self.memory.copies);
        let names: Vec<String> = copies
            .into_iter()
            .filter(|(_, copy)| *copy != CopyState::Safe)
            .map(|(name, _)| format!("'{name}'"))
            .collect();
        if !names.is_empty() {
            self.notice(Notice::warn(format!(
                "Logical replication slots that might be unsafe to use after promote: {{{}}}. This server was \
                 promoted before the copies had caught up; compare what their consumers have with the tables",
                names.join(", ")
            )));
        }
    }

    /// The primary, when it is somebody else and runs.
    fn primary(&self) -> Option<Upstream> {
        let view = self.view()?;
        let leader = view.leader_name().filter(|name| **name != self.spec.me)?;
        let member = view.members.get(leader)?;
        let runs = member.is_running() && member.role == Some(PgRole::Primary);
        self.upstream_of(leader, member).filter(|_| runs)
    }

    /// Copies slots, which stops this replica for a moment: not in pause, and not beside anything else.
    fn copy(&mut self, slots: BTreeMap<SlotName, LogicalSlot>) {
        let rested = self.memory.logical_backoff.left(self.now());
        if !rested.is_zero() {
            return self.wake_in(rested);
        }
        let streams = self.live().is_some_and(|live| live.receiver.is_some());
        let idle = self.seen.work.kind().is_none() && !self.begins_work();
        let Some(source) = self
            .primary()
            .filter(|_| streams && idle && !self.spec.pause)
        else {
            return;
        };
        let names: Vec<String> = slots.keys().map(|name| format!("'{name}'")).collect();
        let line = format!(
            "Copying logical slots [{}] from the primary",
            names.join(", ")
        );
        self.because.insert(0, Reason::Note(line));
        for name in slots.keys() {
            self.memory
                .copies
                .insert(name.as_str().to_owned(), CopyState::Unproven);
        }
        self.begin(Work::CopySlots {
            source,
            slots,
            upstream: self.memory.last_upstream.clone(),
            timeout: self.spec.start_timeout,
        });
    }

    /// Active permanent logical slots whose consumer has not confirmed `position` yet.
    pub(crate) fn unconfirmed(&self, position: Lsn) -> Vec<String> {
        let Some(live) = self.live() else {
            return Vec::new();
        };
        live.slots
            .iter()
            .filter(|(name, slot)| {
                let permanent = self.spec.logical_slots.contains_key(*name);
                permanent && slot.active && slot.confirmed_flush < Some(position)
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// How a copy of slots ended.
    pub(crate) fn note_copied(&mut self, ok: bool) {
        if ok {
            self.memory.logical_backoff.succeeded();
        } else {
            self.memory.logical_backoff.failed(self.now());
        }
        self.wake_in(Duration::from_millis(100));
    }
}

/// How far a copy of a logical slot may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyState {
    /// Feedback does not hold what it needs yet, as far as is known.
    Unproven,
    /// Safe once it needs no row older than this transaction.
    SafeFrom(u32),
    /// Safe to lead with.
    Safe,
}
