//! Slots of members and of the operator (contract §7): WAL is kept for whoever may need it after the next role
//! change, so every node has a slot for every other member.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::{Action, Adjustment, LiveSeen, LogicalSlot, Lsn, Notice, SlotName, SlotSeen};

use crate::turn::Turn;
use crate::wanted_slots::WantedSlot;

impl Turn<'_> {
    /// Makes, moves and drops slots.
    pub(crate) fn keep_slots(&mut self) {
        let (Some(view), Some(live)) = (self.view(), self.live()) else {
            return;
        };
        if !self.spec.use_slots || view.config.is_none() {
            return;
        }
        let wanted = self.wanted_slots(live);
        self.forget_expired(live);
        self.drop_unwanted(&wanted, live);
        for (name, slot) in &wanted {
            let here = live.slots.get(name).filter(|seen| !seen.temporary);
            if here.is_some_and(|seen| self.is_ignored(name, seen)) {
                continue;
            }
            match (slot, here) {
                (_, Some(seen)) if !fits(slot, seen) => self.replace(name, slot, seen),
                (WantedSlot::Physical { .. }, None) => {
                    let slot = SlotName::existing(name);
                    self.actions
                        .push(Action::Adjust(Adjustment::CreateSlot(slot)));
                }
                (
                    WantedSlot::Physical {
                        used_here,
                        position,
                    },
                    Some(seen),
                ) => match self.why_unusable(name, seen, *used_here, live) {
                    Some(why) => self.drop_slot(name, seen, Notice::warn(why)),
                    None if !used_here => self.advance(name, seen, *position, live),
                    None => {}
                },
                (WantedSlot::Logical(_), _) => {}
            }
        }
        self.keep_logical(&wanted, live);
        self.watch_budget(live);
    }

    /// While the DCS does not answer, and failsafe mode lets a leader go on, slots go on with what the members tell
    /// each other (contract §5.9): kept where they are, they would keep all WAL of the outage. Nothing is made,
    /// dropped or copied, because who is a member now is not known.
    pub(crate) fn move_slots_without_dcs(&mut self) {
        let Some(live) = self.live() else { return };
        let known = self.last_view().is_some_and(|view| view.config.is_some());
        if !self.spec.use_slots || self.spec.pause || !known || !self.hears_of_slots() {
            return;
        }
        let mut copies = BTreeMap::new();
        for (name, slot) in &self.wanted_slots(live) {
            let here = live.slots.get(name).filter(|seen| {
                !seen.temporary && !seen.lost && fits(slot, seen) && !self.is_ignored(name, seen)
            });
            match (slot, here) {
                (
                    WantedSlot::Physical {
                        used_here: false,
                        position,
                    },
                    Some(seen),
                ) => self.advance(name, seen, *position, live),
                (WantedSlot::Logical(slot), Some(seen)) if live.in_recovery => {
                    if let Some(to) = self.copy_moves_to(name, seen, live) {
                        copies.insert(SlotName::existing(name), (slot.database.clone(), to));
                    }
                }
                (WantedSlot::Physical { .. } | WantedSlot::Logical(_), _) => {}
            }
        }
        self.move_copies(copies, Vec::new());
    }

    /// What nobody needs is dropped. Slots that are PostgreSQL's own or the operator's are not looked at.
    fn drop_unwanted(&mut self, wanted: &BTreeMap<String, WantedSlot>, live: &LiveSeen) {
        for (name, seen) in &live.slots {
            if wanted.contains_key(name) || seen.temporary || self.is_ignored(name, seen) {
                continue;
            }
            // 17+: PostgreSQL itself keeps those. One that a former primary has left would keep it from that.
            let left_over = seen.failover && !seen.synced && live.in_recovery;
            if (seen.failover || seen.synced) && !left_over {
                continue;
            }
            let why = format!(
                "Dropped unknown replication slot '{name}': no member and no setting names it (`slots` keeps \
                 a slot, `ignore_slots` leaves it alone)"
            );
            self.drop_slot(name, seen, Notice::info(why));
        }
    }

    fn is_ignored(&self, name: &str, seen: &SlotSeen) -> bool {
        let mut patterns = self.spec.ignore_slots.iter();
        patterns.any(|pattern| pattern.matches(name, seen))
    }

    /// A slot of this name that is something else: it makes room.
    fn replace(&mut self, name: &str, wanted: &WantedSlot, seen: &SlotSeen) {
        let wanted = match wanted {
            WantedSlot::Physical { .. } => "physical".to_owned(),
            WantedSlot::Logical(LogicalSlot {
                database, plugin, ..
            }) => format!("logical, database {database}, plugin {plugin}"),
        };
        let is = if seen.logical {
            let text = |part: &Option<String>| part.clone().unwrap_or_default();
            format!(
                "logical, database {}, plugin {}",
                text(&seen.database),
                text(&seen.plugin)
            )
        } else {
            "physical".to_owned()
        };
        let why = format!(
            "Trying to drop replication slot '{name}' because value is changing from {is} to {wanted}"
        );
        self.drop_slot(name, seen, Notice::info(why));
    }

    /// Why a physical slot keeps nothing any more, or holds vacuum back for nobody: it is made anew.
    fn why_unusable(
        &self,
        name: &str,
        seen: &SlotSeen,
        used_here: bool,
        live: &LiveSeen,
    ) -> Option<String> {
        if seen.active {
            return None;
        }
        let led = self.view().is_some_and(|view| view.leader.is_some());
        let becomes_primary = live.in_recovery && self.key_says_me();
        if seen.lost {
            return Some(format!(
                "Dropping physical replication slot '{name}': it has been invalidated, the WAL it kept is \
                 gone (see `pgherd.slot_budget` and max_slot_wal_keep_size); it is made anew; a \
                 member that needs what is gone is copied anew (see `pgherd.copy_when_wal_is_gone`)"
            ));
        }
        if seen.restart.is_none() {
            return Some(format!(
                "Dropping physical replication slot '{name}' because it keeps no WAL: it is made anew"
            ));
        }
        (seen.has_xmin && !used_here && led && !becomes_primary).then(|| {
            format!(
                "Dropping physical replication slot '{name}' because of its xmin value: nobody streams \
                 through it here, and it would hold back vacuum"
            )
        })
    }

    /// Nobody moves a slot that is not used here: it follows what the leader and its member tell of it.
    fn advance(&mut self, name: &str, seen: &SlotSeen, position: Option<Lsn>, live: &LiveSeen) {
        if seen.active || seen.has_xmin {
            return;
        }
        let told = self.told_of(name).filter(|_| live.in_recovery);
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

    /// In pause nothing is dropped (contract §13), and nothing that is used.
    pub(crate) fn drop_slot(&mut self, name: &str, seen: &SlotSeen, why: Notice) {
        if self.spec.pause {
            return;
        }
        if seen.active {
            return self.notice(Notice::warn(format!(
                "Unable to drop replication slot '{name}', slot is active"
            )));
        }
        self.notice(why);
        let slot = SlotName::existing(name);
        self.actions
            .push(Action::Adjust(Adjustment::DropSlot(slot)));
        self.wake_in(Duration::from_millis(100));
    }

    /// What `/status` says of slots: how far each is that a member or the operator wants, and mine.
    pub(crate) fn slot_positions(&mut self, live: &LiveSeen) -> BTreeMap<String, Lsn> {
        if !self.spec.use_slots {
            return BTreeMap::new();
        }
        let of_members = !self.spec.member_slots_ttl.is_zero();
        let wanted = self.wanted_slots(live);
        let mut slots: BTreeMap<String, Lsn> = live
            .slots
            .iter()
            .filter(|(name, slot)| {
                let permanent = self.spec.permanent_slots.contains(name);
                let wanted = wanted.get(*name).is_some_and(|wanted| fits(wanted, slot));
                !slot.temporary && !slot.lost && wanted && (of_members || permanent)
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
        slots.insert(
            SlotName::of_member(&self.spec.me).as_str().to_owned(),
            live.flushed,
        );
        slots
    }
}

/// Whether a slot is what is wanted under its name.
fn fits(wanted: &WantedSlot, seen: &SlotSeen) -> bool {
    match wanted {
        WantedSlot::Physical { .. } => !seen.logical,
        WantedSlot::Logical(logical) => {
            let same = |is: &Option<String>, wanted: &str| is.as_deref() == Some(wanted);
            seen.logical
                && same(&seen.database, &logical.database)
                && same(&seen.plugin, &logical.plugin)
        }
    }
}
