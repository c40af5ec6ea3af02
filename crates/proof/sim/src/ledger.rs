//! The ledger: every commit that a client was told is done.

use std::collections::BTreeMap;
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
    /// It was acknowledged by one who led in synchronous mode, while the cluster promised to lose nothing.
    pub(crate) synchronous: bool,
}

/// One commit that clients could read at a server that was started anew, acknowledged or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) server: MemberName,
    pub(crate) at: Duration,
}

/// Who serves writes, and what was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next_id: u64,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// By its id, what a server that was started anew has shown in synchronous mode, while the cluster promised to lose
    /// nothing.
    pub(crate) shown: BTreeMap<u64, Shown>,
    /// Who acknowledged last, as the journal has it.
    pub(crate) serving: Option<MemberName>,
    /// When each server acknowledged last.
    last_by: BTreeMap<MemberName, Duration>,
    /// Two servers acknowledge in turn: that was told, and the single commits are not.
    crossed: bool,
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

/// Whoever acknowledged within this time still serves.
const STILL: Duration = Duration::from_secs(1);

impl Ledger {
    /// What is worth telling about a commit, after a `pause` without any.
    fn news(&mut self, done: &Acknowledged, pause: Duration) -> Option<String> {
        let recent = |at: &Duration| done.at.saturating_sub(*at) < STILL;
        let other = self
            .last_by
            .iter()
            .find(|(server, at)| **server != done.server && recent(at))
            .map(|(server, _)| server.clone());
        let mine_is_recent = self.last_by.get(&done.server).is_some_and(recent);
        let back = self.serving.as_ref() != Some(&done.server) && mine_is_recent;
        match other {
            Some(_) if self.crossed => None,
            Some(other) if back => {
                self.crossed = true;
                Some(format!("{other} and {} both serve writes", done.server))
            }
            None if self.crossed => {
                self.crossed = false;
                Some(format!("only {} serves writes", done.server))
            }
            _ if pause > OUTAGE => {
                let pause = pause.as_secs_f64();
                Some(format!(
                    "{} serves writes after {pause:.1} s without",
                    done.server
                ))
            }
            _ if self.serving.as_ref() != Some(&done.server) => {
                Some(format!("{} serves writes", done.server))
            }
            _ => None,
        }
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
        if let Some(text) = self.ledger.news(&done, pause) {
            self.tell("clients", text);
        }
        self.ledger.last_by.insert(done.server.clone(), done.at);
        self.ledger.serving = Some(done.server.clone());
        self.ledger.last_at = Some(done.at);
        self.ledger.acknowledged.push(done);
    }
}

impl State {
    /// A primary that was started anew shows everything that it holds.
    pub(crate) fn show_all_of(&mut self, server: &MemberName) {
        self.show(server, |_| true);
    }

    /// A former primary that was started as a replica shows what its leader does not hold. What both hold the leader
    /// shows.
    pub(crate) fn show_of_former_primary(&mut self, server: &MemberName) {
        let leader = self
            .store
            .leader()
            .and_then(|leader| MemberName::new(leader).ok());
        let led = leader
            .and_then(|leader| self.hosts.get(&leader))
            .and_then(|host| host.server.cluster())
            .map(|cluster| cluster.wal.clone());
        self.show(server, |id| {
            led.as_ref().is_none_or(|wal| !wal.has_commit(id))
        });
    }

    fn show(&mut self, server: &MemberName, counts: impl Fn(u64) -> bool) {
        if !self.store.is_promised_by(server) {
            return;
        }
        let Some(cluster) = self.host(server).server.cluster() else {
            return;
        };
        let ids: Vec<u64> = cluster.wal.commits().filter(|id| counts(*id)).collect();
        let shown = Shown {
            server: server.clone(),
            at: self.now,
        };
        for id in ids {
            self.ledger.shown.entry(id).or_insert_with(|| shown.clone());
        }
    }
}
