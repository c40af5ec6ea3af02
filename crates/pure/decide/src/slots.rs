//! Slots of members (contract §7): WAL is kept for whoever may need it after the next role change, so
//! every node has a slot for every other member.

use std::collections::BTreeMap;

use pgherd_domain::{Action, Adjustment, LiveSeen, Lsn, SlotName};

use crate::turn::Turn;

impl Turn<'_> {
    /// Makes, moves and drops slots. At most a handful each turn.
    pub(crate) fn keep_slots(&mut self) {
        let (Some(view), Some(live)) = (self.view(), self.live()) else {
            return;
        };
        if !self.spec.use_slots || view.config.is_none() || self.spec.tags.nofailover {
            return;
        }
        let wanted: BTreeMap<String, bool> = view
            .members
            .iter()
            .filter(|(name, member)| **name != self.spec.me && !member.tags().nostream)
            .map(|(name, _)| (SlotName::of_member(name).as_str().to_owned(), true))
            .collect();
        for name in wanted.keys() {
            match live.slots.get(name) {
                None => {
                    let slot = SlotName::existing(name);
                    self.actions
                        .push(Action::Adjust(Adjustment::CreateSlot(slot)));
                }
                Some(_) => self.advance(name, live),
            }
        }
        self.drop_absent(&wanted, live);
    }

    /// On a replica nobody uses the slots of others: they follow what the leader tells of them.
    fn advance(&mut self, name: &str, live: &LiveSeen) {
        let Some(slot) = live.slots.get(name) else {
            return;
        };
        if !live.in_recovery || slot.active || slot.has_xmin || slot.logical {
            return;
        }
        let told = self
            .view()
            .and_then(|view| view.status.slots.get(name))
            .copied();
        let Some(to) = told.map(|told: Lsn| told.min(live.replayed)) else {
            return;
        };
        if slot.restart.is_some_and(|restart| to > restart) {
            let slot = SlotName::existing(name);
            self.actions
                .push(Action::Adjust(Adjustment::AdvanceSlot { slot, to }));
        }
    }

    /// The slot of a member that is gone is kept for `member_slots_ttl`, then dropped. A slot that this
    /// agent has never known as a member's is not touched.
    fn drop_absent(&mut self, wanted: &BTreeMap<String, bool>, live: &LiveSeen) {
        let now = self.now();
        for name in wanted.keys() {
            self.memory.absent_since.insert(name.clone(), now);
        }
        let ttl = self.spec.member_slots_ttl;
        let expired: Vec<String> = self
            .memory
            .absent_since
            .iter()
            .filter(|(name, seen)| !wanted.contains_key(*name) && now.since(**seen) >= ttl)
            .map(|(name, _)| name.clone())
            .collect();
        for name in expired {
            self.memory.absent_since.remove(&name);
            let droppable = live
                .slots
                .get(&name)
                .is_some_and(|slot| !slot.active && !slot.logical);
            if droppable && !self.spec.pause && !self.spec.permanent_slots.contains(&name) {
                let slot = SlotName::existing(&name);
                self.actions
                    .push(Action::Adjust(Adjustment::DropSlot(slot)));
            }
        }
    }

    /// What `/status` says of slots: where each member's is, and mine.
    pub(crate) fn slot_positions(&self, live: &LiveSeen) -> BTreeMap<String, Lsn> {
        let mut slots: BTreeMap<String, Lsn> = live
            .slots
            .iter()
            .filter(|(_, slot)| !slot.temporary && !slot.logical)
            .filter_map(|(name, slot)| Some((name.clone(), slot.restart?)))
            .collect();
        if self.spec.use_slots {
            slots.insert(
                SlotName::of_member(&self.spec.me).as_str().to_owned(),
                live.flushed,
            );
        }
        slots
    }
}
