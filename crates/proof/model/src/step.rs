//! What may happen next. Whether it may happen now, and what it does, is in `rules`.

/// One step; numbers are members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Time passes.
    Tick,
    /// An agent stands still, or goes on.
    Freeze(usize),
    /// See above.
    Thaw(usize),
    /// A host dies with its agent.
    Crash(usize),
    /// An agent comes back, and its server as a replica.
    Return(usize),
    /// The leader loses sight of the store, or sees it again.
    CutOff,
    /// See above.
    Heal,
    /// A renewal is sent.
    SendRenewal(usize),
    /// The store carries it out.
    Renew(usize),
    /// Its answer arrives.
    Answer(usize),
    /// All others promise the leader not to race.
    Promise(usize),
    /// The store ends a lease that is over.
    Expire,
    /// A replica takes the key.
    Acquire(usize),
    /// It writes itself into `/sync`.
    WriteSync(usize),
    /// A write of `/sync` that was sent comes to the store.
    Arrive(usize),
    /// The same is written to `/sync` once more, so that nothing arrives any more that was sent before.
    Overtake(usize),
    /// It is promoted.
    Promote(usize),
    /// A client commits at a primary; the commit is flushed there.
    Write(usize),
    /// A commit that was waited for enough is acknowledged.
    Acknowledge(usize),
    /// The second takes WAL from the first.
    Stream(usize, usize),
    /// The primary begins to wait for a standby.
    AddName(usize, usize),
    /// The standby that has caught up enters `/sync`.
    AddSync(usize, usize),
    /// A standby leaves `/sync`.
    DropSync(usize, usize),
    /// The primary waits for it no more.
    DropName(usize, usize),
}
