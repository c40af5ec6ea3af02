//! A standby that is silent: it keeps its connection and acknowledges nothing, as a host without power or behind a
//! network that swallows everything does. Commits wait for somebody else as soon as there is somebody; never for
//! fewer than before.

use std::collections::BTreeMap;

use pgherd_domain::{LiveSeen, Lsn, MemberName, Moment, WalSenderSeen};

use crate::quorum::Names;
use crate::turn::Turn;

/// Standbys that lack WAL: how far each is, and since when.
pub(crate) type Standing = BTreeMap<MemberName, (Lsn, Moment)>;

impl Turn<'_> {
    /// Notes who lacks WAL and since when it has stood at the same position.
    pub(crate) fn note_silence(&mut self, live: &LiveSeen) {
        let (Some(view), Some(span)) = (self.view(), self.spec.silent_standby) else {
            self.memory.standing = Standing::new();
            return;
        };
        let now = self.now();
        let mut standing = Standing::new();
        for name in view.members.keys() {
            let Some((sender, position)) = live.senders_to(name).find_map(|sender| {
                let streams = sender.state == "streaming";
                let position = position_of(sender, &live.synchronous_commit)?;
                (streams && position < live.flushed).then_some((sender, position))
            }) else {
                continue;
            };
            let since = match self.memory.standing.get(name) {
                Some((at, since)) if *at == position => *since,
                Some(_) | None => now,
            };
            let due = since.plus(span);
            let waited_for = matches!(sender.sync_state.as_str(), "sync" | "quorum");
            if waited_for && now < due {
                self.wake_at(due);
            }
            standing.insert(name.clone(), (position, since));
        }
        self.memory.standing = standing;
    }

    /// Who has lacked WAL for so long without taking any.
    pub(crate) fn silent(&self) -> Names {
        let Some(span) = self.spec.silent_standby else {
            return Names::new();
        };
        let standing = self.memory.standing.iter();
        standing
            .filter(|(_, (_, since))| self.now().since(*since) >= span)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// A standby's position by the kind of wait that commits do (contract §6.2).
pub(crate) fn position_of(sender: &WalSenderSeen, synchronous_commit: &str) -> Option<Lsn> {
    match synchronous_commit {
        "remote_apply" => sender.replay,
        "remote_write" => sender.write,
        _ => sender.flush,
    }
}
