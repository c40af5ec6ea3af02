//! A standby that needs WAL which its upstream has no more: nothing it could do by itself brings it on. Proven by
//! positions, never read from errors; then a new copy is due. Patroni leaves such a standby behind for ever.
//!
//! In a standby cluster the standby leader needs the other cluster's WAL, and its replicas the standby leader's.

use std::time::Duration;

use pgherd_domain::{Action, LiveSeen, Lsn, Question, Reason, Upstream};

use crate::memory::Divergence;
use crate::turn::Turn;

/// So long a standby has stood at one position without streaming before the leader is asked how far back its WAL
/// goes: twice PostgreSQL's pause between two attempts to stream (wal_retrieve_retry_interval, 5 s).
const STANDING: Duration = Duration::from_secs(10);

/// The same where an archive may have what the leader has not, and may only be away.
const STANDING_WITH_ARCHIVE: Duration = Duration::from_secs(600);

impl Turn<'_> {
    /// A running replica does not stream from `source`, whose history it shares: is it because the WAL there begins
    /// after what this one needs? `true` when that is proven and a new copy may be made.
    pub(crate) fn wal_is_gone(&mut self, source: &Upstream) -> bool {
        let Some(position) = self.live().and_then(needs_from).filter(|_| {
            // Whoever holds replay back wants the data as they are.
            !self.is_held_back()
        }) else {
            self.memory.stands_at = None;
            return false;
        };
        let now = self.now();
        let since = match self.memory.stands_at {
            Some((at, since)) if at == position => since,
            Some(_) | None => now,
        };
        self.memory.stands_at = Some((position, since));
        let archive = self.live().is_some_and(|live| live.restores_from_archive);
        let patience = if archive {
            STANDING_WITH_ARCHIVE
        } else {
            STANDING
        };
        if now.since(since) < patience {
            self.wake_at(since.plus(patience));
            return false;
        }
        let system_id = self.control().map(|control| control.system_id.clone());
        let Some(theirs) = self.history_of(source) else {
            self.actions
                .push(Action::Ask(Question::History(source.clone())));
            return false;
        };
        // What a replica streams from, a standby leader too, has all its WAL from its oldest file on.
        let gives = !theirs.in_recovery || (source.name.is_some() && self.is_standby_cluster());
        let judges = gives && Some(&theirs.system_id) == system_id.as_ref();
        let Some(oldest) = theirs.oldest.filter(|oldest| judges && *oldest > position) else {
            return false;
        };
        let why = format!(
            "it needs WAL from {position} on, and the {} begins at {oldest}{}",
            if source.name.is_some() {
                "leader's"
            } else {
                "other cluster's"
            },
            if archive {
                "; the archive has not brought it either"
            } else {
                ""
            }
        );
        if !self.spec.copies_when_wal_is_gone {
            self.say(Reason::Note(format!(
                "{why}: a new copy is needed and pgherd.copy_when_wal_is_gone is off: reinitialize this member"
            )));
            return false;
        }
        self.say(Reason::Warning(format!("{why}: a new copy is made")));
        self.memory.rejoin_because = Some(why.clone());
        self.memory.divergence = Divergence::Behind {
            leader: self.judge(source).name,
            oldest,
            why,
        };
        true
    }
}

/// From where on a replica that does not stream needs WAL; `None` while it may still have some to replay: it has
/// not asked for any yet since it was started.
fn needs_from(live: &LiveSeen) -> Option<Lsn> {
    let waits = live.in_recovery && !live.received.is_zero() && !live.replay_paused;
    waits.then(|| live.position())
}
