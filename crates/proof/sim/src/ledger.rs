//! The ledger: every commit that a client was told is done.

use std::time::Duration;

use pgherd_domain::{Lsn, MemberName, TimelineId};

use crate::world::State;

/// One acknowledged commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) id: u64,
    pub(crate) server: MemberName,
    pub(crate) timeline: TimelineId,
    pub(crate) lsn: Lsn,
    pub(crate) at: Duration,
    /// It was acknowledged while the cluster promised to lose nothing (`/sync` existed).
    pub(crate) synchronous: bool,
}

/// Who serves writes, and what was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next_id: u64,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Who acknowledged last, as the journal has it.
    pub(crate) serving: Option<MemberName>,
    /// When the last commit was acknowledged.
    pub(crate) last_at: Option<Duration>,
}

impl Ledger {
    /// A commit id that nobody used.
    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// A pause in service longer than this is told.
const OUTAGE: Duration = Duration::from_secs(1);

impl State {
    /// A server tells a client that its commit is done.
    pub(crate) fn acknowledge(&mut self, done: Acknowledged) {
        let pause = self
            .ledger
            .last_at
            .map_or(Duration::ZERO, |last| done.at.saturating_sub(last));
        let other = self.ledger.serving.as_ref() != Some(&done.server);
        if other || pause > OUTAGE {
            let after = if pause > OUTAGE {
                format!(" after {:.1} s without", pause.as_secs_f64())
            } else {
                String::new()
            };
            let text = format!("{} serves writes{after}", done.server);
            self.tell("clients", text);
        }
        self.ledger.serving = Some(done.server.clone());
        self.ledger.last_at = Some(done.at);
        self.ledger.acknowledged.push(done);
    }
}
