//! The words with which a test tells its world.

use std::time::Duration;

use pgherd_domain::documents::{
    FailoverDoc, HistoryDoc, HistoryEntry, MemberDoc, StatusDoc, SyncDoc,
};
use pgherd_domain::{
    Action, ClusterSpec, ClusterView, ControlData, ControlState, DataDirectory, Effect, Fact,
    LeaderKey, LeaseSeen, LiveSeen, Lsn, Observation, Operation, Outcome, PeerSeen, PeerStatus,
    PgRole, PgState, PostgresSeen, Receiver, Request, RequestId, Standing, SyncMode, Tags,
    TimelineId, UpstreamSeen, WalSenderSeen, WallTime, Work, WorkEnd, WorkError, WorkSeen,
};
use pgherd_guard::check;

use super::build::{
    END, NOW, REVISION, SYSTEM_ID, World, answer, api_url, control, history, live, name, secs,
    unknown, upstream, versioned,
};
use crate::{Decision, Memory, decide};

impl World {
    // --- my PostgreSQL

    /// It runs as a primary.
    pub(super) fn primary(self, timeline: u32) -> Self {
        self.running(live(false, timeline, END), ControlState::InProduction)
    }

    /// It runs as a replica that has everything up to `end`.
    pub(super) fn replica(self, timeline: u32, end: u64) -> Self {
        let mut world = self.running(live(true, timeline, end), ControlState::InArchiveRecovery);
        world.seen.postgres.standby_signal = true;
        world.memory.role = PgRole::Replica;
        world
    }

    fn running(mut self, live: LiveSeen, state: ControlState) -> Self {
        self.memory.role = if live.in_recovery {
            PgRole::Replica
        } else {
            PgRole::Primary
        };
        self.seen.postgres = PostgresSeen {
            data: DataDirectory::Cluster(control(state, live.timeline.0)),
            postmaster: Some(4711),
            accepting: true,
            standby_signal: live.in_recovery,
            live: Fact::seen(live, self.seen.now),
            up_since: Some(NOW.minus(secs(60))),
            entry: pgherd_domain::Entry::Open,
            hung: None,
        };
        self
    }

    /// The replica streams from `of`.
    pub(super) fn streams_from(mut self, of: &str) -> Self {
        self.memory.last_upstream = Some(upstream(of));
        self.live(|live| {
            live.configured_upstream = Some((of.to_owned(), 5432));
            live.receiver = Some(Receiver {
                streaming: true,
                host: Some(of.to_owned()),
                port: Some(5432),
                slot: None,
                timeline: live.timeline,
                latest_end: live.received,
            });
        })
    }

    /// It does not run, and left its control file in this state.
    pub(super) fn stopped(mut self, state: ControlState, timeline: u32) -> Self {
        self.seen.postgres = PostgresSeen {
            data: DataDirectory::Cluster(control(state, timeline)),
            postmaster: None,
            accepting: false,
            standby_signal: !state.was_primary(),
            live: unknown(),
            up_since: None,
            entry: pgherd_domain::Entry::Open,
            hung: None,
        };
        self
    }

    /// The postmaster runs and accepts no connections yet, for so long.
    pub(super) fn starting(mut self, for_: Duration) -> Self {
        self.seen.postgres.postmaster = Some(4711);
        self.seen.postgres.accepting = false;
        self.seen.postgres.live = unknown();
        self.seen.postgres.up_since = Some(self.seen.now.minus(for_));
        self
    }

    /// Changes what the running server says.
    pub(super) fn live(mut self, change: impl FnOnce(&mut LiveSeen)) -> Self {
        if let Fact::Seen { value, .. } = &mut self.seen.postgres.live {
            change(value);
        }
        self
    }

    /// The server runs and does not answer any more.
    pub(super) fn mute(mut self) -> Self {
        let now = self.seen.now;
        self.seen.postgres.live = self.seen.postgres.live.failed("timed out".into(), now);
        self
    }

    pub(super) fn control(mut self, change: impl FnOnce(&mut ControlData)) -> Self {
        if let DataDirectory::Cluster(control) = &mut self.seen.postgres.data {
            change(control);
        }
        self
    }

    // --- the store

    /// Changes what the store holds.
    pub(super) fn view(mut self, change: impl FnOnce(&mut ClusterView)) -> Self {
        if let Fact::Seen { value, .. } = &mut self.seen.dcs {
            change(value);
        }
        self
    }

    /// The leader key says `of`.
    pub(super) fn leader(self, of: &str) -> Self {
        let mine = name(of) == self.spec.me;
        let world = self.view(|view| {
            view.leader = Some(LeaderKey {
                name: name(of),
                revision: REVISION,
                on_my_lease: mine,
            });
        });
        if mine { world.lease(secs(25)) } else { world }
    }

    /// My lease is held and good for `left`.
    pub(super) fn lease(mut self, left: Duration) -> Self {
        self.seen.lease = LeaseSeen {
            standing: Standing::Held,
            good_until: Some(self.seen.now.plus(left)),
            trouble: None,
        };
        self
    }

    /// My lease is proven lost.
    pub(super) fn lost(mut self) -> Self {
        self.seen.lease = LeaseSeen {
            standing: Standing::Lost,
            ..LeaseSeen::NONE
        };
        self
    }

    /// A member of this name says of itself that it runs in this role on this timeline.
    pub(super) fn other(self, of: &str, role: PgRole, timeline: u32) -> Self {
        self.other_doc(of, |doc| {
            doc.role = Some(role);
            doc.timeline = Some(TimelineId(timeline));
        })
    }

    /// A running replica's member key, changed.
    pub(super) fn other_doc(self, of: &str, change: impl FnOnce(&mut MemberDoc)) -> Self {
        let mut doc = MemberDoc {
            conn_url: format!("postgres://{of}:5432/postgres"),
            api_url: api_url(of),
            state: Some(PgState::Running),
            role: Some(PgRole::Replica),
            version: "4.1.4".into(),
            timeline: Some(TimelineId(1)),
            xlog_location: Some(Lsn::new(END)),
            ..MemberDoc::default()
        };
        change(&mut doc);
        self.view(|view| {
            view.members.insert(name(of), doc);
        })
    }

    pub(super) fn order(self, leader: Option<&str>, member: Option<&str>) -> Self {
        self.view(|view| {
            view.failover = Some(versioned(FailoverDoc {
                leader: leader.map(name),
                member: member.map(name),
                scheduled_at: None,
            }));
        })
    }

    /// `/sync`, and synchronous mode on.
    pub(super) fn sync(mut self, leader: &str, standbys: &[&str]) -> Self {
        self.spec.synchronous_mode = SyncMode::On;
        self.view(|view| {
            view.sync = Some(versioned(SyncDoc {
                leader: Some(name(leader)),
                quorum: 0,
                standbys: standbys.iter().map(|of| name(of)).collect(),
            }));
        })
    }

    /// `/status` says that the primary's WAL reached `end`.
    pub(super) fn optime(self, end: u64) -> Self {
        self.view(|view| {
            view.status = StatusDoc {
                optime: Some(Lsn::new(end)),
                ..StatusDoc::default()
            };
        })
    }

    /// `/history`: these timelines ended at these positions.
    pub(super) fn past(self, ended: &[(u32, u64)]) -> Self {
        self.view(|view| {
            view.history = Some(HistoryDoc {
                entries: ended
                    .iter()
                    .map(|&(timeline, at)| HistoryEntry {
                        timeline: TimelineId(timeline),
                        at: Lsn::new(at),
                        reason: "no recovery target specified".into(),
                        timestamp: None,
                        new_leader: None,
                    })
                    .collect(),
            });
        })
    }

    /// The store does not answer; what it last said is known.
    pub(super) fn silent(mut self) -> Self {
        let now = self.seen.now;
        self.seen.dcs = self.seen.dcs.failed("timed out".into(), now);
        self
    }

    // --- the others

    /// `of` was asked now and answered.
    pub(super) fn answered(mut self, of: &str, change: impl FnOnce(&mut PeerStatus)) -> Self {
        let mut status = answer();
        change(&mut status);
        let asked = self.seen.now;
        self.seen
            .peers
            .insert(name(of), PeerSeen::Answered { asked, status });
        self
    }

    /// `of` was asked now and does not answer.
    pub(super) fn unreachable(mut self, of: &str) -> Self {
        let asked = self.seen.now;
        let why = "connection refused".into();
        self.seen
            .peers
            .insert(name(of), PeerSeen::Unreachable { asked, why });
        self
    }

    /// `of` told its timeline and history over SQL.
    pub(super) fn told(mut self, of: &str, timeline: u32, switches: &[(u32, u64)]) -> Self {
        let told = UpstreamSeen {
            in_recovery: false,
            system_id: SYSTEM_ID.into(),
            timeline: TimelineId(timeline),
            history: history(switches),
            same_wal: None,
            oldest: None,
        };
        self.seen.upstream = Some((upstream(of), Ok(told)));
        self
    }

    /// A walsender to `of`, as far as `end`.
    pub(super) fn sender(self, of: &str, sync_state: &str, end: u64) -> Self {
        let at = Some(Lsn::new(end));
        self.live(|live| {
            live.replication.push(WalSenderSeen {
                application_name: of.into(),
                user: "replicator".into(),
                client: None,
                state: "streaming".into(),
                sync_state: sync_state.into(),
                sync_priority: 1,
                write: at,
                flush: at,
                replay: at,
            });
        })
    }

    // --- works, effects, operators

    /// This work runs since a second.
    pub(super) fn works(mut self, work: Work) -> Self {
        self.seen.work.running = Some((work, self.seen.now.minus(secs(1)), None));
        self
    }

    /// This work has ended.
    pub(super) fn ended(mut self, work: Work, result: Result<(), WorkError>) -> Self {
        self.seen.work = WorkSeen {
            running: None,
            ended: Some(WorkEnd {
                work,
                began: self.seen.now.minus(secs(1)),
                result,
            }),
        };
        self
    }

    pub(super) fn effect(mut self, action: Action, outcome: Outcome) -> Self {
        self.seen.effects.push(Effect { action, outcome });
        self
    }

    pub(super) fn request(mut self, operation: Operation) -> Self {
        let id = RequestId(u64::try_from(self.seen.requests.len()).unwrap() + 1);
        self.seen.requests.push(Request { id, operation });
        self
    }

    pub(super) fn spec(mut self, change: impl FnOnce(&mut ClusterSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// My tags, as JSON.
    pub(super) fn tags(self, json: &str) -> Self {
        let map = serde_json::from_str(json).unwrap();
        self.spec(|spec| spec.tags = Tags::from_published(&map))
    }

    pub(super) fn memory(mut self, change: impl FnOnce(&mut Memory)) -> Self {
        change(&mut self.memory);
        self
    }

    pub(super) fn seen(mut self, change: impl FnOnce(&mut Observation)) -> Self {
        change(&mut self.seen);
        self
    }

    // --- turns

    /// One turn, of which the guard holds nothing back; what it leaves is the memory of the next. The world stays as it is, but for what is
    /// seen once: effects, ended works, requests, answers over SQL.
    pub(super) fn turn(&mut self) -> Decision {
        let decision = decide(&self.spec, self.memory.clone(), &self.seen);
        let (_, notes) = check(&self.spec, &self.seen, decision.actions.clone());
        assert_eq!(notes, [], "held back in {:#?}", self.seen);
        self.memory = decision.memory.clone();
        self.seen.effects.clear();
        self.seen.work.ended = None;
        self.seen.requests.clear();
        self.seen.upstream = None;
        decision
    }

    /// The decision in this world.
    pub(super) fn decide(mut self) -> Decision {
        self.turn()
    }

    /// The same world, `span` later; what PostgreSQL and the store say is said again.
    pub(super) fn later(mut self, span: Duration) -> Self {
        let now = self.seen.now.plus(span);
        self.seen.now = now;
        let micros = i64::try_from(span.as_micros()).unwrap();
        self.seen.wall = WallTime::from_micros(self.seen.wall.as_micros() + micros);
        if let Fact::Seen { at, .. } = &mut self.seen.dcs {
            *at = now;
        }
        if let Fact::Seen { at, .. } = &mut self.seen.postgres.live {
            *at = now;
        }
        self
    }
}
