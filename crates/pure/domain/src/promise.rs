//! Promises among members: who promised the leader not to race, and until when (contract §12 and
//! `docs/decisions/2026-11-24-promises.md`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Lsn, MemberName, Moment};

/// What a leader that can not renew its lease asks of every member that might elect itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plea {
    /// The leader.
    pub name: MemberName,
    /// `postgres://HOST:PORT/DATABASE` of the leader.
    pub conn_url: String,
    /// `http(s)://HOST:PORT/patroni` of the leader.
    pub api_url: String,
    /// Where the leader's slots stand, as `/status` would say.
    pub slots: BTreeMap<String, Lsn>,
    /// For how long the peer is not to race, from the moment it hears of it. `None`: the sender did not say,
    /// as Patroni does not; then it is ttl. Zero gives an earlier promise back.
    pub span: Option<Duration>,
}

impl Plea {
    /// The span to ask for when the leader is going to count `ttl` from the moment before it asked: a
    /// fiftieth more, for clocks that do not go alike.
    pub fn span_for(ttl: Duration) -> Duration {
        ttl + ttl / 50
    }

    /// Gives back what was promised.
    pub fn is_farewell(&self) -> bool {
        self.span == Some(Duration::ZERO)
    }
}

/// What a peer that accepted a plea said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// How long it is not going to race, from when it heard; `None` when it did not say, as Patroni does
    /// not: then it is its own ttl.
    pub span: Option<Duration>,
    /// How far its WAL reaches, when it said so.
    pub lsn: Option<Lsn>,
}

/// This member promised `to` not to race before `until`, on its own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// To whom: the leader, as far as this member knows.
    pub to: MemberName,
    /// Until when.
    pub until: Moment,
}

/// Failsafe mode as it stands this turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailsafeSeen {
    /// What this member promised, when that is still in force.
    pub promised: Option<Promise>,
    /// The lease is good only because the other members promised: the DCS did not confirm it.
    pub confirmed: bool,
    /// While it is: how far the WAL of those reached that promised, where they said it.
    pub accepted: BTreeMap<MemberName, Lsn>,
    /// Where the leader's slots stand, as the plea said that this member's promise answered.
    pub slots: BTreeMap<String, Lsn>,
}

impl FailsafeSeen {
    /// Whom this member promised not to race against, when the promise binds at `now`.
    pub fn bound_to(&self, now: Moment) -> Option<&Promise> {
        self.promised.as_ref().filter(|promise| now < promise.until)
    }
}
