//! Which slots are to be on this server (contract §7): of members, of members that are away, and those of the
//! operator.

use std::collections::{BTreeMap, BTreeSet};

use pgherd_domain::{LiveSeen, LogicalSlot, Lsn, MemberName, Notice, SlotName};

use crate::turn::Turn;

/// A slot that is to be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WantedSlot {
    /// For a standby, or whatever reads WAL as one.
    Physical {
        /// Somebody streams through it from this server, or may come back to it here.
        used_here: bool,
        /// How far its member is, where the member itself says it.
        position: Option<Lsn>,
    },
    /// Decoded changes of one database.
    Logical(LogicalSlot),
}

impl Turn<'_> {
    /// Every slot that is to be on this server now.
    pub(crate) fn wanted_slots(&mut self, live: &LiveSeen) -> BTreeMap<String, WantedSlot> {
        self.tell_of_shared_slots();
        let mut wanted = self.member_slots(live);
        self.note_absent(&wanted);
        if self.never_leads(live) {
            return wanted;
        }
        for name in self.retained_slots() {
            // On a primary its member may come back any moment: what holds it is left alone.
            let used_here = !live.in_recovery;
            wanted.entry(name).or_insert(WantedSlot::Physical {
                used_here,
                position: None,
            });
        }
        self.add_permanent(&mut wanted, live);
        wanted
    }

    /// A replica that never leads needs no slots for what would come after it has led.
    fn never_leads(&self, live: &LiveSeen) -> bool {
        self.spec.tags.nofailover && live.in_recovery
    }

    /// The slots of the other members that belong on this server now.
    fn member_slots(&self, live: &LiveSeen) -> BTreeMap<String, WantedSlot> {
        let mine = SlotName::of_member(&self.spec.me);
        let mut slots = BTreeMap::new();
        for (name, member) in self.last_view().iter().flat_map(|view| &view.members) {
            let slot = SlotName::of_member(name);
            if *name == self.spec.me || member.tags().nostream || slot == mine {
                continue;
            }
            let used_here = self.streams_from_me(name, live);
            let everywhere = !self.spec.member_slots_ttl.is_zero() && !self.never_leads(live);
            if !used_here && !everywhere {
                continue;
            }
            // A member that streams from another replica says itself how far it is: in its key, or with its promise.
            let cascades = !used_here && self.cascades(name);
            let accepted = self.seen.failsafe.accepted.get(name).copied();
            let position = member.xlog_location.max(accepted).filter(|_| cascades);
            let wanted = WantedSlot::Physical {
                used_here,
                position,
            };
            match slots.get(slot.as_str()) {
                // Two members whose names give one slot: whoever uses it here counts.
                Some(WantedSlot::Physical {
                    used_here: true, ..
                }) => {}
                Some(_) | None => {
                    slots.insert(slot.as_str().to_owned(), wanted);
                }
            }
        }
        slots
    }

    /// Whether `member` is to stream from this server: from a primary everybody does who names nobody else that
    /// can serve. One that names me has its slot here also while it streams from elsewhere.
    fn streams_from_me(&self, name: &MemberName, live: &LiveSeen) -> bool {
        let tags = self
            .last_view()
            .and_then(|view| view.members.get(name))
            .map(|member| member.tags().replicatefrom);
        if tags.flatten().as_ref() == Some(&self.spec.me) {
            return true;
        }
        match self.source_of(name) {
            Some(source) => source == self.spec.me,
            // In a standby cluster everybody cascades from its leader.
            None => !live.in_recovery || (self.i_lead() && self.is_standby_cluster()),
        }
    }

    /// Whether the member streams from another replica.
    fn cascades(&self, name: &MemberName) -> bool {
        let leader = self.last_view().and_then(|view| view.leader_name());
        self.source_of(name)
            .is_some_and(|source| Some(&source) != leader)
    }

    /// The operator's slots.
    fn add_permanent(&mut self, wanted: &mut BTreeMap<String, WantedSlot>, live: &LiveSeen) {
        let mine = SlotName::of_member(&self.spec.me);
        for name in &self.spec.permanent_slots {
            if name == mine.as_str() {
                continue;
            }
            match self.spec.logical_slots.get(name) {
                None => {
                    let kept = WantedSlot::Physical {
                        used_here: !live.in_recovery,
                        position: None,
                    };
                    wanted.entry(name.clone()).or_insert(kept);
                }
                Some(_) if wanted.contains_key(name) => {
                    self.notice(Notice::error(format!(
                        "Permanent logical replication slot '{name}' is conflicting with physical \
                         replication slot for cluster member: it is not made; give it another name in `slots`"
                    )));
                }
                Some(logical) if self.is_here(logical, live) => {
                    wanted.insert(name.clone(), WantedSlot::Logical(logical.clone()));
                }
                Some(_) => {}
            }
        }
    }

    /// Two members whose names give one slot can not both stream through it.
    fn tell_of_shared_slots(&mut self) {
        for (slot, names) in self.shared_slots() {
            let text: Vec<&str> = names.iter().map(MemberName::as_str).collect();
            self.notice(Notice::error(format!(
                "Following cluster members share a replication slot name: {} (both give '{slot}'). Only {} \
                 streams through it, the others stream without a slot; rename one of them",
                text.join(", "),
                text.first().copied().unwrap_or_default(),
            )));
        }
    }

    /// Remembers when each slot last had a member. Who leads says for how long absent ones are kept.
    fn note_absent(&mut self, wanted: &BTreeMap<String, WantedSlot>) {
        let now = self.now();
        for name in wanted.keys() {
            self.memory.absent_since.insert(name.clone(), now);
        }
        let Some(view) = self.view() else { return };
        let i_lead = self.key_says_me();
        for name in &view.status.retain_slots {
            let since = self.memory.absent_since.entry(name.clone()).or_insert(now);
            if !i_lead {
                *since = now;
            }
        }
    }

    /// Slots of members that are gone, and not for too long yet.
    pub(crate) fn retained_slots(&self) -> Vec<String> {
        let now = self.now();
        let present: BTreeSet<SlotName> = self
            .last_view()
            .iter()
            .flat_map(|view| view.members.keys())
            .chain([&self.spec.me])
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

    /// A promotion starts the clock of absent members anew: they may be on their way here.
    pub(crate) fn restart_retention(&mut self) {
        let now = self.now();
        for since in self.memory.absent_since.values_mut() {
            *since = now;
        }
    }

    /// Forgets whose time is over.
    pub(crate) fn forget_expired(&mut self, live: &LiveSeen) {
        let (now, ttl) = (self.now(), self.spec.member_slots_ttl);
        let expired: Vec<String> = self
            .memory
            .absent_since
            .iter()
            .filter(|(_, seen)| now.since(**seen) >= ttl)
            .map(|(name, _)| name.clone())
            .collect();
        for name in expired {
            self.memory.absent_since.remove(&name);
            if live.slots.contains_key(&name) && !ttl.is_zero() {
                self.notice(Notice::warn(format!(
                    "Replication slot '{name}' for absent cluster member is expired after {} sec.",
                    ttl.as_secs()
                )));
            }
        }
    }
}
