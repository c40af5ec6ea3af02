//! Every small world: three members, and a few states of each thing that a decision depends on.

use super::build::name;

/// Who holds the leader key, as seen by `a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Nobody,
    Mine,
    /// My name, on a lease that is not mine.
    MyName,
    Theirs(&'static str),
}

/// What `a`'s keeper says of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    NotHeld,
    Good,
    Ending,
    Over,
    Lost,
}

/// What `a`'s PostgreSQL does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pg {
    Empty,
    Invalid,
    StoppedPrimary,
    CrashedPrimary,
    StoppedReplica,
    StartingPrimary,
    StartingReplica,
    Primary(u32),
    MutePrimary,
    Replica(u32),
    MuteReplica,
}

/// What the others answer before a race.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peers {
    Unasked,
    Ahead,
    Equal,
    Behind,
    Unreachable,
    OnePrimary,
}

/// The long work that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    StartPrimary,
    StartReplica,
    Promote,
    StopFast,
    Checkpoint,
    Clone,
}

/// Synchronous mode, and who is in `/sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    Off,
    WithMe,
    UnderMe,
    WithoutMe,
}

/// What an operator ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    None,
    ToMe,
    ToB,
    FromMe,
}

/// What the turns before have left in the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    /// The local WAL was found diverged from b's.
    Diverged,
    /// pg_rewind was found hopeless.
    Hopeless,
    /// Three starts have failed.
    FailedThrice,
    /// PostgreSQL was being stopped for a switchover to b.
    Stopping,
    /// It was stopped for it, and the successor is looked for.
    HandingOver,
    /// The hand-over was refused.
    RaceWanted,
    /// It was given away, or not: nobody knows.
    InDoubt,
    /// The start timed out.
    GivingUp,
}

/// Failsafe mode: the list in `/failsafe`, and what was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failsafe {
    Off,
    /// On, and the list holds everybody.
    Listed,
    /// On, and the list does not hold `a`.
    Unlisted,
    /// `a` promised `b` not to race.
    Promised,
    /// It did, and the promise has ended.
    PromisedBefore,
    /// The lease is good because the others promised.
    Confirmed,
}

/// One point of the space.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub key: Key,
    pub lease: Lease,
    pub pg: Pg,
    pub silent: bool,
    pub peers: Peers,
    pub doing: Doing,
    pub sync: Sync,
    pub pause: bool,
    pub order: Order,
    /// `/history` says that the cluster is on timeline 2.
    pub second_timeline: bool,
    pub before: Before,
    pub failsafe: Failsafe,
    /// No fence guards beside the agent.
    pub unfenced: bool,
}

const LEASES: [Lease; 5] = [
    Lease::NotHeld,
    Lease::Good,
    Lease::Ending,
    Lease::Over,
    Lease::Lost,
];
const SERVERS: [Pg; 13] = [
    Pg::Empty,
    Pg::Invalid,
    Pg::StoppedPrimary,
    Pg::CrashedPrimary,
    Pg::StoppedReplica,
    Pg::StartingPrimary,
    Pg::StartingReplica,
    Pg::Primary(1),
    Pg::Primary(2),
    Pg::MutePrimary,
    Pg::Replica(1),
    Pg::Replica(2),
    Pg::MuteReplica,
];
const PEERS: [Peers; 6] = [
    Peers::Unasked,
    Peers::Ahead,
    Peers::Equal,
    Peers::Behind,
    Peers::Unreachable,
    Peers::OnePrimary,
];
const SYNCS: [Sync; 4] = [Sync::Off, Sync::WithMe, Sync::UnderMe, Sync::WithoutMe];
const ORDERS: [Order; 4] = [Order::None, Order::ToMe, Order::ToB, Order::FromMe];

impl Pg {
    fn runs(self) -> bool {
        !matches!(
            self,
            Self::Empty
                | Self::Invalid
                | Self::StoppedPrimary
                | Self::CrashedPrimary
                | Self::StoppedReplica
        )
    }

    /// The works that can go on while the server is like this.
    fn works(self) -> &'static [Doing] {
        match self {
            Self::Empty => &[Doing::Nothing, Doing::Clone],
            Self::Invalid => &[Doing::Nothing],
            Self::StoppedPrimary | Self::CrashedPrimary => {
                &[Doing::Nothing, Doing::StartPrimary, Doing::StartReplica]
            }
            Self::StoppedReplica => &[Doing::Nothing, Doing::StartReplica, Doing::Clone],
            Self::StartingPrimary => &[Doing::Nothing, Doing::StartPrimary, Doing::StopFast],
            Self::StartingReplica => &[Doing::Nothing, Doing::StartReplica, Doing::StopFast],
            Self::Primary(_) | Self::MutePrimary => &[
                Doing::Nothing,
                Doing::Promote,
                Doing::StopFast,
                Doing::Checkpoint,
            ],
            Self::Replica(_) | Self::MuteReplica => {
                &[Doing::Nothing, Doing::Promote, Doing::StopFast]
            }
        }
    }
}

/// Every point with this key: all that differ in something the brain could look at there.
pub(super) fn points(key: Key) -> impl Iterator<Item = Point> {
    let flags = [false, true];
    let mut all = Vec::new();
    for (lease, pg) in pairs(&LEASES, &SERVERS) {
        for (silent, pause) in pairs(&flags, &flags) {
            for (sync, order) in pairs(&SYNCS, &ORDERS) {
                for (&doing, second_timeline) in pg
                    .works()
                    .iter()
                    .flat_map(|doing| flags.into_iter().map(move |second| (doing, second)))
                {
                    all.push(Point {
                        key,
                        lease,
                        pg,
                        silent,
                        peers: Peers::Unasked,
                        doing,
                        sync,
                        pause,
                        order,
                        second_timeline,
                        before: Before::Nothing,
                        failsafe: Failsafe::Off,
                        unfenced: false,
                    });
                }
            }
        }
    }
    let all = all.into_iter().flat_map(with_memories);
    all.flat_map(with_safeguards).flat_map(|point| {
        // The others' answers count where a race or an order is decided.
        let asked = !point.silent && point.pg.runs() && point.doing != Doing::StopFast;
        let kinds = if asked && (point.key == Key::Nobody || point.order != Order::None) {
            &PEERS[..]
        } else {
            &PEERS[..1]
        };
        kinds.iter().map(move |&peers| Point { peers, ..point })
    })
}

/// What is remembered counts mostly by itself: it is combined with the plainest of the rest.
fn with_memories(point: Point) -> Vec<Point> {
    const ALL: [Before; 9] = [
        Before::Nothing,
        Before::Diverged,
        Before::Hopeless,
        Before::FailedThrice,
        Before::Stopping,
        Before::HandingOver,
        Before::RaceWanted,
        Before::InDoubt,
        Before::GivingUp,
    ];
    let plain = point.sync == Sync::Off && !point.second_timeline;
    let kinds = if plain { &ALL[..] } else { &ALL[..1] };
    kinds
        .iter()
        .map(|&before| Point { before, ..point })
        .collect()
}

/// Promises, lists and the fence: they count by themselves too, but for the order of an operator.
fn with_safeguards(point: Point) -> Vec<Point> {
    const ALL: [(Failsafe, bool); 8] = [
        (Failsafe::Off, false),
        (Failsafe::Off, true),
        (Failsafe::Listed, false),
        (Failsafe::Unlisted, false),
        (Failsafe::Promised, false),
        (Failsafe::PromisedBefore, false),
        (Failsafe::Confirmed, false),
        (Failsafe::Promised, true),
    ];
    let plain = point.before == Before::Nothing && !point.second_timeline;
    let synced = matches!(point.sync, Sync::Off | Sync::WithMe);
    let kinds = if plain && synced { &ALL[..] } else { &ALL[..1] };
    kinds
        .iter()
        .map(|&(failsafe, unfenced)| Point {
            failsafe,
            unfenced,
            ..point
        })
        .collect()
}

fn pairs<A: Copy, B: Copy>(left: &[A], right: &[B]) -> Vec<(A, B)> {
    left.iter()
        .flat_map(|&left| right.iter().map(move |&right| (left, right)))
        .collect()
}

#[test]
fn the_names_in_the_worlds_are_members() {
    let world = points(Key::Theirs("b")).next().unwrap().world();
    assert!(
        world
            .seen
            .dcs
            .known()
            .unwrap()
            .members
            .contains_key(&name("b"))
    );
}
