//! A point of the space of small worlds, as the world that `a` sees.

use pgherd_domain::{
    ControlState, DataDirectory, LeaseSeen, Lsn, Promise, Standing, StartAs, StopMode, SyncMode,
    TimelineId, Work,
};

use super::build::{END, NOW, PRIMARY, REVISION, World, member, name, secs, unknown, upstream};
use super::worlds::{Before, Doing, Failsafe, Key, Lease, Order, Peers, Pg, Point, Sync};
use crate::Memory;
use crate::memory::{Divergence, SwitchPhase, Switching};

impl Point {
    /// The world at this point.
    pub(super) fn world(self) -> World {
        let mut world = self.server(member("a"));
        world = self.store(world);
        world = self.answers(world);
        world.seen.lease = self.keeper();
        world.spec.pause = self.pause;
        world = self.safeguards(world);
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

    fn safeguards(self, mut world: World) -> World {
        let promised = |until| {
            let to = name("b");
            Some(Promise { to, until })
        };
        let all = ["a", "b", "c"];
        let listed = match self.failsafe {
            Failsafe::Off => &all[..0],
            Failsafe::Unlisted => &all[1..],
            Failsafe::Listed
            | Failsafe::Promised
            | Failsafe::PromisedBefore
            | Failsafe::Confirmed => &all[..],
        };
        world.spec.failsafe_mode = self.failsafe != Failsafe::Off;
        world.seen.failsafe.promised = match self.failsafe {
            Failsafe::Promised => promised(NOW.plus(secs(9))),
            Failsafe::PromisedBefore => promised(NOW.minus(secs(1))),
            Failsafe::Off | Failsafe::Listed | Failsafe::Unlisted | Failsafe::Confirmed => None,
        };
        world.seen.failsafe.confirmed =
            self.failsafe == Failsafe::Confirmed && self.lease_is_mine();
        world.seen.unfenced = self.unfenced.then(|| "no pidfd".to_owned());
        world.view(|view| {
            let url = |of: &&str| ((*of).to_owned(), super::build::api_url(of));
            view.failsafe = listed.iter().map(url).collect();
        })
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
            Before::Diverged => {
                memory.divergence = Divergence::Diverged {
                    leader: Some(name("b")),
                }
            }
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
                start_as: PRIMARY,
                timeout,
            },
            Doing::StartReplica => Work::Start {
                start_as: StartAs::Replica {
                    upstream: Some(source),
                },
                timeout,
            },
            Doing::Promote => Work::promote(NOW.plus(secs(20))),
            Doing::StopFast => Work::Stop {
                mode: StopMode::Fast,
                escalate_at: None,
            },
            Doing::Checkpoint => Work::Checkpoint,
            Doing::Clone => Work::Clone {
                source,
                basebackup_only: false,
            },
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
