//! Every small world: three members, and a few states of each thing that a decision depends on.

use pgherd_domain::{
    ControlState, DataDirectory, LeaseSeen, Lsn, Standing, StartAs, StopMode, SyncMode, TimelineId,
    Work,
};

use super::build::{END, NOW, REVISION, World, member, name, secs, unknown, upstream};
use crate::Memory;
use crate::memory::{Divergence, SwitchPhase, Switching};

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
                    });
                }
            }
        }
    }
    all.into_iter().flat_map(with_memories).flat_map(|point| {
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

fn pairs<A: Copy, B: Copy>(left: &[A], right: &[B]) -> Vec<(A, B)> {
    left.iter()
        .flat_map(|&left| right.iter().map(move |&right| (left, right)))
        .collect()
}

impl Point {
    /// The world at this point.
    pub(super) fn world(self) -> World {
        let mut world = self.server(member("a"));
        world = self.store(world);
        world = self.answers(world);
        world.seen.lease = self.keeper();
        world.spec.pause = self.pause;
        self.remember(&mut world.memory);
        if let Some(work) = self.work() {
            world = world.works(work);
        }
        if self.silent { world.silent() } else { world }
    }

    fn server(self, world: World) -> World {
        match self.pg {
            Pg::Empty => world,
            Pg::Invalid => world.seen(|seen| {
                let why = "pg_control can not be read".into();
                seen.postgres.data = DataDirectory::Invalid { why };
            }),
            Pg::StoppedPrimary => world.stopped(ControlState::ShutDown, 1),
            Pg::CrashedPrimary => world.stopped(ControlState::InProduction, 1),
            Pg::StoppedReplica => world.stopped(ControlState::ShutDownInRecovery, 1),
            Pg::StartingPrimary => world
                .stopped(ControlState::InProduction, 1)
                .starting(secs(2)),
            Pg::StartingReplica => world
                .stopped(ControlState::InArchiveRecovery, 1)
                .starting(secs(2)),
            Pg::Primary(timeline) => world.primary(timeline),
            Pg::MutePrimary => world.primary(1).mute(),
            Pg::Replica(timeline) => world.replica(timeline, END).streams_from("b"),
            Pg::MuteReplica => world
                .replica(1, END)
                .seen(|seen| seen.postgres.live = unknown()),
        }
    }

    fn store(self, world: World) -> World {
        use pgherd_domain::PgRole::{Primary, Replica};
        let role = |of| {
            if self.key == Key::Theirs(of) {
                Primary
            } else {
                Replica
            }
        };
        let newest = if self.second_timeline { 2 } else { 1 };
        let mut world = world
            .other("b", role("b"), newest)
            .other("c", role("c"), newest)
            .optime(END);
        if self.second_timeline {
            world = world.past(&[(1, END)]);
        }
        world = match self.key {
            Key::Nobody => world,
            Key::Mine => world.leader("a"),
            Key::MyName => world.leader("a").view(|view| {
                if let Some(leader) = &mut view.leader {
                    leader.on_my_lease = false;
                }
            }),
            Key::Theirs(of) => world.leader(of),
        };
        world = match self.sync {
            Sync::Off => world.spec(|spec| spec.synchronous_mode = SyncMode::Off),
            Sync::WithMe => world.sync("b", &["a"]),
            Sync::UnderMe => world.sync("a", &["b"]),
            Sync::WithoutMe => world.sync("b", &["c"]),
        };
        match self.order {
            Order::None => world,
            Order::ToMe => world.order(None, Some("a")),
            Order::ToB => world.order(None, Some("b")),
            Order::FromMe => world.order(Some("a"), None),
        }
    }

    fn answers(self, world: World) -> World {
        let end = |end| {
            move |peer: &mut pgherd_domain::PeerStatus| {
                peer.position = Lsn::new(end);
                peer.timeline = Some(TimelineId(1));
            }
        };
        match self.peers {
            Peers::Unasked => world,
            Peers::Ahead => world.answered("b", end(END + 8)).answered("c", end(END)),
            Peers::Equal => world.answered("b", end(END)).answered("c", end(END)),
            Peers::Behind => world
                .answered("b", end(END - 8))
                .answered("c", end(END - 8)),
            Peers::Unreachable => world.unreachable("b").unreachable("c"),
            Peers::OnePrimary => world
                .answered("b", |peer| peer.is_primary = true)
                .unreachable("c"),
        }
    }

    fn remember(self, memory: &mut Memory) {
        let switching = |phase, race| Switching {
            to: Some(name("b")),
            began: NOW.minus(secs(2)),
            order: REVISION,
            phase,
            race,
        };
        let since = NOW.minus(secs(1));
        memory.last_leader = Some(name("b"));
        match self.before {
            Before::Nothing => {}
            Before::Diverged => memory.divergence = Divergence::Diverged { leader: name("b") },
            Before::Hopeless => memory.divergence = Divergence::Hopeless,
            Before::FailedThrice => memory.backoff.failures = 3,
            Before::Stopping => {
                memory.switching = Some(switching(SwitchPhase::Stopping { since }, false));
            }
            Before::HandingOver => {
                memory.switching = Some(switching(SwitchPhase::HandingOver { since }, false));
            }
            Before::RaceWanted => {
                memory.switching = Some(switching(SwitchPhase::HandingOver { since }, true));
            }
            Before::InDoubt => memory.key_in_doubt = true,
            Before::GivingUp => memory.give_up_key = true,
        }
    }

    fn keeper(self) -> LeaseSeen {
        let held = |good_until| LeaseSeen {
            standing: Standing::Held,
            good_until: Some(good_until),
            trouble: None,
        };
        match self.lease {
            Lease::NotHeld => LeaseSeen::NONE,
            Lease::Good => held(NOW.plus(secs(25))),
            Lease::Ending => held(NOW.plus(secs(5))),
            Lease::Over => held(NOW.minus(secs(1))),
            Lease::Lost => LeaseSeen {
                standing: Standing::Lost,
                ..LeaseSeen::NONE
            },
        }
    }

    fn work(self) -> Option<Work> {
        let timeout = secs(300);
        let source = upstream("b");
        Some(match self.doing {
            Doing::Nothing => return None,
            Doing::StartPrimary => Work::Start {
                start_as: StartAs::Primary,
                timeout,
            },
            Doing::StartReplica => Work::Start {
                start_as: StartAs::Replica {
                    upstream: Some(source),
                },
                timeout,
            },
            Doing::Promote => Work::Promote {
                valid_until: NOW.plus(secs(20)),
            },
            Doing::StopFast => Work::Stop {
                mode: StopMode::Fast,
                escalate_at: None,
            },
            Doing::Checkpoint => Work::Checkpoint,
            Doing::Clone => Work::Clone { source },
        })
    }

    /// Somebody else holds the key, as the store says now.
    pub(super) fn somebody_else_leads(self) -> bool {
        !self.silent && matches!(self.key, Key::Theirs(_))
    }

    /// The lease is held and good.
    pub(super) const fn lease_is_mine(self) -> bool {
        matches!(self.lease, Lease::Good | Lease::Ending)
    }
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
