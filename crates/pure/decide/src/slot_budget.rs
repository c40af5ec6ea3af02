//! The retention budget (`pgherd.slot_budget`): how much WAL one slot may keep. At three quarters somebody is
//! warned; at the budget PostgreSQL gives the slot up (max_slot_wal_keep_size, which is set from it); what it
//! has given up is dropped.

use pgherd_domain::{LiveSeen, Notice, WalBytes};

use crate::turn::Turn;

impl Turn<'_> {
    /// Warns of slots that keep much.
    pub(crate) fn watch_budget(&mut self, live: &LiveSeen) {
        let Some(budget) = self.spec.slot_budget else {
            return;
        };
        let end = live.position();
        for (name, slot) in &live.slots {
            let Some(restart) = slot.restart.filter(|_| !slot.lost) else {
                continue;
            };
            let kept: WalBytes = restart.behind(end);
            // Told again at each further tenth, not every turn.
            let tenths = kept.saturating_mul(10) / budget.max(1);
            if kept.saturating_mul(4) >= budget.saturating_mul(3) {
                self.notice(Notice::warn(format!(
                    "The replication slot '{name}' keeps more than {}% of the WAL that a slot may keep \
                     (pgherd.slot_budget: {} MB): at the budget PostgreSQL gives it up, and who uses it needs \
                     a new copy; bring its consumer back, or drop it",
                    tenths.saturating_mul(10).min(100),
                    budget / (1024 * 1024),
                )));
            }
        }
    }
}
