//! Planted bugs: does the simulator find what it is there for?
//!
//! Each is a mistake that somebody could make in one line of the agent, or has made in another system. They are
//! planted where the agent meets the world: in its ports (`ports`), and between what a turn sees and what it
//! does (`thoughts`). All of it is code of this crate, which nothing that ships depends on, so there is one
//! build, no switch in the agent, and nothing that could reach a user.

mod ports;
mod thoughts;

pub(crate) use ports::in_ports;
pub(crate) use thoughts::in_thoughts;

/// One planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The lease is counted from the answer to a renewal, not from before it was sent.
    LeaseFromAnswer,
    /// The fence stops a primary at the end of the lease, not a margin before it.
    FenceWithoutMargin,
    /// A renewal that failed counts as one that was answered (S27).
    ErrorRenews,
    /// A renewal that failed counts as proof that somebody else leads.
    ErrorIsLoss,
    /// The client library keeps the lease alive by itself, whether or not turns complete (S38).
    RenewalsBesideTurns,
    /// The promotion begins in the turn that asks for the key, before the answer.
    PromoteBeforeKey,
    /// The leader key is taken without the condition that nobody holds it.
    AcquireUnconditionally,
    /// The key is released when PostgreSQL begins to stop, not when it has stopped.
    ReleaseBeforeStop,
    /// A server that does not answer counts as stopped, and its key is released (S6).
    SilenceIsStopped,
    /// A server that was a primary is started as one when nobody leads.
    StalePrimaryStarts,
    /// `/sync` does not bind in a race (S24).
    SyncIgnoredInRace,
    /// Commits stop waiting for a standby before its name leaves `/sync` (S14).
    NamesBeforeSync,
    /// A name enters `/sync` before commits wait for it (S14).
    SyncBeforeNames,
    /// The quorum of `/sync` does not bind in a race: any voter may lead.
    QuorumIgnored,
    /// Who votes goes on to stream from a former primary.
    VotersStay,
    /// Fewer votes are demanded as soon as commits are to wait for more, not when they do and have caught up.
    QuorumBeforeNames,
    /// `/sync` is written whatever its revision, and whoever leads (S19, S42).
    SyncUnconditionally,
    /// A promotion does not write `/sync` first.
    PromoteWithoutSync,
    /// The timelines of history and peers do not count in a race (S30).
    TimelineIgnored,
    /// The others are not asked before a race.
    RaceWithoutAsking,
    /// A former primary with WAL of its own is started without pg_rewind.
    RewindSkipped,
    /// The replaced directory is removed when the copy ends, before it streams (T2).
    OldDirectoryRemoved,
    /// The cluster is read serializably, so possibly from a node that fell behind (S11).
    SerializableReads,
    /// A promise not to race is not written down.
    PromiseForgotten,
    /// A server that was started closed lets clients in as soon as it is up.
    OpensAtOnce,
}

use Planted as P;

/// Each with the name that `--plant` and scenarios use.
const NAMES: [(P, &str); 25] = [
    (P::LeaseFromAnswer, "lease-from-answer"),
    (P::FenceWithoutMargin, "fence-without-margin"),
    (P::ErrorRenews, "error-renews"),
    (P::ErrorIsLoss, "error-is-loss"),
    (P::RenewalsBesideTurns, "renewals-beside-turns"),
    (P::PromoteBeforeKey, "promote-before-key"),
    (P::AcquireUnconditionally, "acquire-unconditionally"),
    (P::ReleaseBeforeStop, "release-before-stop"),
    (P::SilenceIsStopped, "silence-is-stopped"),
    (P::StalePrimaryStarts, "stale-primary-starts"),
    (P::SyncIgnoredInRace, "sync-ignored-in-race"),
    (P::NamesBeforeSync, "names-before-sync"),
    (P::SyncBeforeNames, "sync-before-names"),
    (P::QuorumIgnored, "quorum-ignored"),
    (P::VotersStay, "voters-stay"),
    (P::QuorumBeforeNames, "quorum-before-names"),
    (P::SyncUnconditionally, "sync-unconditionally"),
    (P::PromoteWithoutSync, "promote-without-sync"),
    (P::TimelineIgnored, "timeline-ignored"),
    (P::RaceWithoutAsking, "race-without-asking"),
    (P::RewindSkipped, "rewind-skipped"),
    (P::OldDirectoryRemoved, "old-directory-removed"),
    (P::SerializableReads, "serializable-reads"),
    (P::PromiseForgotten, "promise-forgotten"),
    (P::OpensAtOnce, "opens-at-once"),
];

impl Planted {
    /// All of them, with their names.
    pub const fn all() -> &'static [(Self, &'static str)] {
        &NAMES
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(bug, _)| *bug == self);
        found.map_or("unnamed", |(_, name)| name)
    }

    /// The bug of this name.
    ///
    /// # Errors
    /// When there is none; the text lists them.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(bug, _)| *bug).ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
            format!(
                "no planted bug is called `{name}`; there are {}",
                known.join(", ")
            )
        })
    }
}
