//! Slots of members (contract §7): WAL is kept for whoever may need it after the next role change, so
//! every node has a slot for every other member.

use std::collections::{BTreeMap, BTreeSet};

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{Action, Adjustment, LiveSeen, Lsn, MemberName, SlotName, SlotSeen};

use crate::turn::Turn;

/// A slot that is to be here.
struct WantedSlot {
    /// A member streams through it from this server.
    used_here: bool,
    /// How far its member is, as far as it is known elsewhere.
    position: Option<Lsn>,
}

impl Turn<'_> {
    /// Makes, moves and drops slots.
    pub(crate) fn keep_slots(&mut self) {
        let (Some(view), Some(live)) = (self.view(), self.live()) else {
            return;
        };
        if !self.spec.use_slots || view.config.is_none() {
            return;
        }
        self.keep_permanent_logical(live);
        let mut wanted = self.member_slots(live);
        self.note_absent(&wanted);
        if !(self.spec.tags.nofailover && live.in_recovery) {
            for name in self.retained_slots() {
                wanted.entry(name.clone()).or_insert(WantedSlot {
                    used_here: false,
                    position: None,
                });
            }
        }
        for name in self.permanent_physical(live) {
            wanted.entry(name).or_insert(WantedSlot {
                // On a primary somebody may come back to it; elsewhere it only keeps up.
                used_here: !live.in_recovery,
                position: None,
            });
        }
        for (name, slot) in &wanted {
            match live.slots.get(name) {
                None => {
                    let slot = SlotName::existing(name);
                    self.actions
                        .push(Action::Adjust(Adjustment::CreateSlot(slot)));
                }
                Some(seen) if self.is_unusable(seen, slot, live) => self.drop_slot(name),
                Some(seen) => self.advance(name, seen, slot, live),
            }
        }
        self.drop_expired(&wanted, live);
    }

    /// The slots of the other members that belong on this server now.
    fn member_slots(&self, live: &LiveSeen) -> BTreeMap<String, WantedSlot> {
        let mine = SlotName::of_member(&self.spec.me);
        self.view()
            .iter()
            .flat_map(|view| &view.members)
            .filter(|(name, member)| **name != self.spec.me && !member.tags().nostream)
            .map(|(name, member)| (SlotName::of_member(name), member))
            .filter(|(slot, _)| *slot != mine)
            .filter_map(|(slot, member)| {
                let used_here = self.streams_from_me(member, live);
                let never_leads = self.spec.tags.nofailover && live.in_recovery;
                let everywhere = !self.spec.member_slots_ttl.is_zero() && !never_leads;
                let wanted = WantedSlot {
                    used_here,
                    position: member.xlog_location.filter(|_| !used_here),
                };
                (used_here || everywhere).then(|| (slot.as_str().to_owned(), wanted))
            })
            .collect()
    }

    /// The operator's physical slots: everywhere but on members that never lead, and on the leader as soon
    /// as it is primary (contract §7).
    fn permanent_physical(&mut self, live: &LiveSeen) -> Vec<String> {
        let gone: Vec<String> = self
            .memory
            .permanent
            .iter()
            .filter(|name| !self.spec.permanent_slots.contains(name))
            .cloned()
            .collect();
        for name in gone {
            match live.slots.get(&name) {
                Some(slot) if slot.active => {}
                Some(_) if self.member_slots(live).contains_key(&name) => {
                    self.memory.permanent.remove(&name);
                }
                Some(_) => self.drop_slot(&name),
                None => {
                    self.memory.permanent.remove(&name);
                }
            }
        }
        let mine = SlotName::of_member(&self.spec.me);
        if self.spec.tags.nofailover && live.in_recovery {
            return Vec::new();
        }
        let physical: Vec<String> = self
            .spec
            .permanent_slots
            .iter()
            .filter(|name| !self.spec.logical_slots.contains_key(*name) && **name != mine.as_str())
            .cloned()
            .collect();
        self.memory.permanent.extend(physical.iter().cloned());
        physical
    }

    /// The operator's logical slots are made on the primary.
    fn keep_permanent_logical(&mut self, live: &LiveSeen) {
        let rested = self.memory.logical_backoff.left(self.now()).is_zero();
        if live.in_recovery || !self.i_lead() || !rested {
            return;
        }
        for (name, logical) in &self.spec.logical_slots {
            self.memory.permanent.insert(name.clone());
            if !live.slots.contains_key(name) {
                self.actions
                    .push(Action::Adjust(Adjustment::CreateLogicalSlot {
                        slot: SlotName::existing(name),
                        database: logical.database.clone(),
                        plugin: logical.plugin.clone(),
                    }));
            }
        }
    }

    /// Whether `member` is to stream from this server: from a primary everybody does who names nobody
    /// else that is there.
    fn streams_from_me(&self, member: &MemberDoc, live: &LiveSeen) -> bool {
        let present = |name: &MemberName| {
            self.view()
                .is_some_and(|view| view.members.contains_key(name))
        };
        match member.tags().replicatefrom {
            Some(name) if name == self.spec.me => true,
            Some(name) if present(&name) => false,
            // In a standby cluster everybody cascades from its leader.
            Some(_) | None => !live.in_recovery || (self.i_lead() && self.is_standby_cluster()),
        }
    }

    /// Remembers when each slot last had a member. What the leader retains for absent ones counts anew.
    fn note_absent(&mut self, wanted: &BTreeMap<String, WantedSlot>) {
        let now = self.now();
        for name in wanted.keys() {
            self.memory.absent_since.insert(name.clone(), now);
        }
        let Some(view) = self.view() else { return };
        for name in &view.status.retain_slots {
            self.memory.absent_since.entry(name.clone()).or_insert(now);
        }
    }

    /// Slots of members that are gone, and not for too long yet.
    pub(crate) fn retained_slots(&self) -> Vec<String> {
        let now = self.now();
        let present: BTreeSet<SlotName> = self
            .view()
            .iter()
            .flat_map(|view| view.members.keys())
            .map(SlotName::of_member)
            .collect();
        self.memory
            .absent_since
            .iter()
            .filter(|(name, seen)| {
                now.since(**seen) < self.spec.member_slots_ttl
                    && !present.contains(&SlotName::existing(name))
                    && !self.spec.permanent_slots.contains(name)
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// A slot that keeps nothing any more, or holds back vacuum for nobody: it is made anew.
    fn is_unusable(&self, seen: &SlotSeen, wanted: &WantedSlot, live: &LiveSeen) -> bool {
        if seen.active || seen.logical || seen.temporary {
            return false;
        }
        let led = self.view().is_some_and(|view| view.leader.is_some());
        let becomes_primary = live.in_recovery && self.key_says_me();
        let stale_xmin = seen.has_xmin && !wanted.used_here && led && !becomes_primary;
        seen.lost || seen.restart.is_none() || stale_xmin
    }

    /// Nobody moves a slot that is not used here: it follows what the leader and its member tell of it.
    fn advance(&mut self, name: &str, seen: &SlotSeen, wanted: &WantedSlot, live: &LiveSeen) {
        if wanted.used_here || seen.active || seen.has_xmin || seen.logical {
            return;
        }
        let told = self
            .view()
            .and_then(|view| view.status.slots.get(name))
            .copied()
            .filter(|_| live.in_recovery);
        // A member that streams from elsewhere says itself how far it is.
        let cascades = self.cascades(name);
        let position = wanted.position.filter(|_| cascades);
        let here = if live.in_recovery {
            live.replayed
        } else {
            live.flushed
        };
        let Some(to) = told.max(position).map(|told| told.min(here)) else {
            return;
        };
        if seen.restart.is_some_and(|restart| to > restart) {
            let slot = SlotName::existing(name);
            self.actions
                .push(Action::Adjust(Adjustment::AdvanceSlot { slot, to }));
        }
    }

    /// Whether the member of this slot streams from another replica.
    fn cascades(&self, slot: &str) -> bool {
        self.view().is_some_and(|view| {
            view.members.iter().any(|(name, member)| {
                SlotName::of_member(name).as_str() == slot
                    && member
                        .tags()
                        .replicatefrom
                        .is_some_and(|from| view.members.contains_key(&from))
            })
        })
    }

    /// The slot of a member that is gone is kept for `member_slots_ttl`, then dropped. A slot that this
    /// agent has never known as a member's is not touched.
    fn drop_expired(&mut self, wanted: &BTreeMap<String, WantedSlot>, live: &LiveSeen) {
        let now = self.now();
        let ttl = self.spec.member_slots_ttl;
        let expired: Vec<String> = self
            .memory
            .absent_since
            .iter()
            .filter(|(name, seen)| !wanted.contains_key(*name) && now.since(**seen) >= ttl)
            .map(|(name, _)| name.clone())
            .collect();
        for name in expired {
            let Some(slot) = live.slots.get(&name) else {
                self.memory.absent_since.remove(&name);
                continue;
            };
            if !slot.active && !slot.logical && !self.spec.permanent_slots.contains(&name) {
                self.drop_slot(&name);
            }
        }
    }

    /// In pause nothing is dropped (contract §13).
    fn drop_slot(&mut self, name: &str) {
        if !self.spec.pause {
            let slot = SlotName::existing(name);
            self.actions
                .push(Action::Adjust(Adjustment::DropSlot(slot)));
        }
    }

    /// What `/status` says of slots: how far each is, and mine.
    pub(crate) fn slot_positions(&self, live: &LiveSeen) -> BTreeMap<String, Lsn> {
        let of_members = !self.spec.member_slots_ttl.is_zero();
        let mut slots: BTreeMap<String, Lsn> = live
            .slots
            .iter()
            .filter(|(name, slot)| {
                !slot.temporary && (of_members || self.spec.permanent_slots.contains(name))
            })
            .filter_map(|(name, slot)| {
                let position = if slot.logical {
                    slot.confirmed_flush
                } else {
                    slot.restart
                };
                Some((name.clone(), position?))
            })
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
