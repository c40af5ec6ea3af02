//! What logical slots need of a server's parameters (contract §7): feedback on replicas, and from PostgreSQL 17 on
//! PostgreSQL's own synchronization of slots.

use std::collections::BTreeSet;

use pgherd_domain::{Action, Adjustment, LiveSeen, MemberName, SlotName, SlotParameters};

use crate::logical_slots::Way;
use crate::turn::Turn;

impl Turn<'_> {
    /// What logical slots need of this server: on a replica feedback, from 17 on PostgreSQL's own
    /// synchronization; on a primary from 17 on the standbys that no subscriber may get ahead of.
    pub(crate) fn keep_slot_parameters(&mut self, live: &LiveSeen) {
        let wanted = self.slot_parameters(live);
        let running = &live.slot_parameters;
        let known = self.memory.slot_parameters.as_ref();
        let lacks = (wanted.feedback && !running.feedback)
            || (wanted.synchronize && !running.synchronize)
            || wanted
                .awaited
                .as_ref()
                .is_some_and(|_| wanted.awaited != running.awaited);
        let left_over = known.is_none() && wanted != *running;
        let changed = known.is_some_and(|known| *known != wanted);
        if lacks || left_over || changed {
            self.actions
                .push(Action::Adjust(Adjustment::SetSlotParameters(
                    wanted.clone(),
                )));
        }
        self.memory.slot_parameters = Some(wanted);
    }

    fn slot_parameters(&self, live: &LiveSeen) -> SlotParameters {
        let ways: BTreeSet<bool> = self
            .spec
            .logical_slots
            .values()
            .map(|slot| Way::of(live.version, slot) == Way::Native)
            .collect();
        let native = ways.contains(&true);
        if ways.is_empty() || self.spec.tags.nostream {
            return SlotParameters::default();
        }
        if !live.in_recovery {
            return SlotParameters {
                awaited: native.then(|| self.awaited_standbys(live)),
                ..SlotParameters::default()
            };
        }
        // A member that never leads has no such slots, but may pass on the feedback of others.
        let may_lead = !self.spec.tags.nofailover;
        SlotParameters {
            feedback: may_lead || self.feeds_a_candidate(),
            synchronize: native && may_lead,
            awaited: None,
        }
    }

    fn feeds_a_candidate(&self) -> bool {
        self.view()
            .into_iter()
            .flat_map(|view| &view.members)
            .any(|(name, member)| {
                let me = Some(&self.spec.me);
                *name != self.spec.me
                    && !member.tags().nofailover
                    && self.source_of(name).as_ref() == me
            })
    }

    /// The slots of members that may lead and stream now: a subscriber waits for them, so that it has nothing
    /// that a new primary lacks. One that is away is not waited for.
    fn awaited_standbys(&self, live: &LiveSeen) -> String {
        let may_lead = |name: &MemberName| {
            self.view()
                .and_then(|view| view.members.get(name))
                .is_some_and(|member| !member.tags().nofailover && !member.tags().nostream)
        };
        let names: Vec<String> = self
            .view()
            .into_iter()
            .flat_map(|view| view.members.keys())
            .filter(|name| **name != self.spec.me && may_lead(name))
            .map(|name| SlotName::of_member(name).as_str().to_owned())
            .filter(|slot| live.slots.get(slot).is_some_and(|seen| seen.active))
            .collect();
        names.join(",")
    }
}
