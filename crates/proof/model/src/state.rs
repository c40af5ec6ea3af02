//! What there is: three members, the store, and what clients were told.

/// How many members there are.
pub(crate) const MEMBERS: usize = 3;

/// How many ticks a lease lives.
pub const TTL: u8 = 2;

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nothing.
    Stopped,
    /// It replays what it receives.
    Replica,
    /// It accepts writes.
    Primary,
}

/// A renewal on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Renewal {
    /// Ticks since it was sent.
    pub(crate) age: u8,
    /// The store has carried it out.
    pub(crate) done: bool,
}

/// A write of `/sync` on its way, made of what its author has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SyncWrite {
    /// The standbys that it names beside its author.
    pub(crate) standbys: Set,
    /// Nobody has written `/sync` since it was read.
    pub(crate) unchanged: bool,
}

/// A set of members, or of commits, as bits.
pub(crate) type Set = u8;

/// Whether `set` has the member or commit `index`.
pub(crate) const fn has(set: Set, index: usize) -> bool {
    set & (1 << index) != 0
}

/// `set` with the member or commit `index`.
pub(crate) const fn with(set: Set, index: usize) -> Set {
    set | (1 << index)
}

/// `set` without the member or commit `index`.
pub(crate) const fn without(set: Set, index: usize) -> Set {
    set & !(1 << index)
}

/// One member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// What its server does.
    pub role: Role,
    /// The commits in its WAL.
    pub(crate) wal: Set,
    /// For whom its commits wait (`synchronous_standby_names`).
    pub(crate) names: Set,
    /// For so many ticks the lease is good by its own count; `None`: it does not hold the key.
    pub(crate) good_for: Option<u8>,
    /// The renewal that it waits for.
    pub(crate) renewal: Option<Renewal>,
    /// What it has sent to the store for `/sync`. It may arrive whenever it likes, also when the lease is over, or its host dead.
    pub(crate) sync_write: Option<SyncWrite>,
    /// It has written `/sync` since it took the key.
    pub(crate) wrote_sync: bool,
    /// For so many ticks it promised somebody not to race.
    pub(crate) bound_for: u8,
    /// Its agent stands still.
    pub(crate) frozen: bool,
}

impl Member {
    pub(crate) const fn new(role: Role) -> Self {
        Self {
            role,
            wal: 0,
            names: 0,
            good_for: None,
            renewal: None,
            sync_write: None,
            wrote_sync: false,
            bound_for: 0,
            frozen: false,
        }
    }

    /// Whether the lease is good by its own count.
    pub(crate) fn leads(&self) -> bool {
        self.good_for.is_some_and(|ticks| ticks > 0)
    }

    /// Whether what it has sent for `/sync` would still be carried out.
    pub(crate) fn may_still_write(&self) -> bool {
        self.sync_write.is_some_and(|write| write.unchanged)
    }
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The members.
    pub members: [Member; MEMBERS],
    /// Who holds the leader key in the store.
    pub(crate) leader: Option<usize>,
    /// For so many ticks the store keeps the lease of the leader; at 0 it may end it.
    pub(crate) lease: u8,
    /// The leader in `/sync`.
    pub(crate) sync_leader: usize,
    /// The standbys in `/sync`.
    pub(crate) sync: Set,
    /// The store can not be reached by the leader.
    pub(crate) cut_off: bool,
    /// The commits that were written, and those of them that were acknowledged.
    pub(crate) written: u8,
    pub(crate) acknowledged: Set,
    /// How many faults there have been.
    pub(crate) faults: u8,
    /// How often a standby has entered or left `/sync` in slow writes.
    pub(crate) upkeep: u8,
}

impl State {
    /// Member 0 leads, the others stream from it, and `/sync` names nobody else yet.
    pub(crate) fn first() -> Self {
        let mut members = [Member::new(Role::Replica); MEMBERS];
        members[0] = Member {
            good_for: Some(TTL),
            ..Member::new(Role::Primary)
        };
        Self {
            members,
            leader: Some(0),
            lease: TTL,
            sync_leader: 0,
            sync: 0,
            cut_off: false,
            written: 0,
            acknowledged: 0,
            faults: 0,
            upkeep: 0,
        }
    }

    /// Whether `/sync` proves that `member` has every acknowledged commit.
    pub(crate) const fn sync_names(&self, member: usize) -> bool {
        self.sync_leader == member || has(self.sync, member)
    }
}
