//! The model of PostgreSQL on its own: streaming, synchronous commit, promotion, divergence, rewind, clone.

use std::time::Duration;

use pgherd_domain::{
    Adjustment, ControlState, DataDirectory, MemberName, Moment, SlotName, StartAs, StopMode,
    Upstream, Work, WorkError,
};
use pgherd_ports::{AdjustError, Clock, LocalPostgres, Progress};

use super::{Commit, Ending, SimPostgres, commit, kill};
use crate::clock::SimClock;
use crate::network::Place;
use crate::process::Process;
use crate::world::World;

const MINUTE: Duration = Duration::from_secs(60);

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

fn upstream(text: &str) -> Upstream {
    Upstream {
        name: Some(name(text)),
        host: text.to_owned(),
        port: 5432,
        more_ports: Vec::new(),
        slot: None,
    }
}

struct Pair {
    world: World,
    a: SimPostgres,
    b: SimPostgres,
}

async fn does(postgres: &SimPostgres, work: Work) -> Result<(), WorkError> {
    postgres.carry_out(&work, &Progress::default()).await
}

fn replica_of(text: &str) -> StartAs {
    StartAs::Replica {
        upstream: Some(upstream(text)),
    }
}

async fn start(postgres: &SimPostgres, start_as: StartAs) -> Result<(), WorkError> {
    let timeout = MINUTE;
    does(postgres, Work::Start { start_as, timeout }).await
}

impl Pair {
    /// a is a primary, b streams from it.
    async fn new() -> Self {
        let world = World::new(3);
        for member in ["a", "b"] {
            world.add_host(&name(member));
        }
        let pair = Self {
            a: SimPostgres::new(Process::of(&world, &name("a"))),
            b: SimPostgres::new(Process::of(&world, &name("b"))),
            world,
        };
        does(&pair.a, Work::Bootstrap).await.unwrap();
        let source = upstream("a");
        does(
            &pair.b,
            Work::Clone {
                source,
                basebackup_only: false,
            },
        )
        .await
        .unwrap();
        start(&pair.b, replica_of("a")).await.unwrap();
        pair.streaming("b").await;
        pair
    }

    async fn streaming(&self, who: &str) {
        let who = name(who);
        let streams = self.world.until(|state| {
            let postmaster = state.host(&who).server.postmaster.as_ref()?;
            postmaster.receiver.as_ref().map(|_| ())
        });
        let streams = tokio::time::timeout(MINUTE, streams).await;
        let told = self.world.look(|state| {
            let begin = Duration::ZERO;
            crate::journal::render(&state.journal.entries, begin, 3)
        });
        streams.unwrap_or_else(|_| panic!("{who} does not stream:\n{told}"));
    }

    async fn commit(&self, at: &str, id: u64) -> Commit {
        commit(&self.world, &name(at), id, None).await
    }

    fn has(&self, who: &str, id: u64) -> bool {
        self.world.look(|state| {
            let cluster = state.host(&name(who)).server.cluster();
            cluster.is_some_and(|cluster| cluster.wal.has_commit(id))
        })
    }

    async fn promote_b(&self) {
        self.world
            .change(|state| state.store.write_by_hand("leader", "b"));
        let valid_until = SimClock::new(Process::of(&self.world, &name("b")))
            .now()
            .plus(MINUTE);
        does(&self.b, Work::promote(valid_until)).await.unwrap();
    }

    async fn stop(&self, postgres: &SimPostgres, mode: StopMode) {
        let escalate_at = None;
        does(postgres, Work::Stop { mode, escalate_at })
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_sends_the_shutdown_checkpoint_to_the_standby() {
    let pair = Pair::new().await;
    assert_eq!(pair.commit("a", 1).await, Commit::Acknowledged);
    pair.stop(&pair.a, StopMode::Fast).await;
    let seen = pair.a.observe().await;
    let DataDirectory::Cluster(control) = &seen.data else {
        panic!("{seen:?}");
    };
    assert_eq!(control.state, ControlState::ShutDown);
    let live = pair.b.observe().await;
    let position = live.live.known().unwrap().position();
    assert_eq!(Some(position), control.checkpoint_end);
    assert!(pair.has("b", 1));
    // So the old primary can follow the new one without a rewind.
    pair.promote_b().await;
    start(&pair.a, replica_of("b")).await.unwrap();
    pair.streaming("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_synchronous_commit_waits_for_its_standby_and_is_not_acknowledged_without() {
    let pair = Pair::new().await;
    let names = Adjustment::SetSynchronousStandbyNames(Some("b".to_owned()));
    pair.a.adjust(&names).await.unwrap();
    assert_eq!(pair.commit("a", 1).await, Commit::Acknowledged);
    assert!(pair.has("b", 1));
    pair.world.change(|state| {
        let (a, b) = (Place::Member(name("a")), Place::Member(name("b")));
        state.network.cut(&a, &b);
    });
    let waits = tokio::time::timeout(MINUTE, pair.commit("a", 2)).await;
    assert!(waits.is_err(), "{waits:?}");
    // A reload that gives up the wait lets it go.
    let waiting = pair.commit("a", 3);
    let release = async {
        let none = Adjustment::SetSynchronousStandbyNames(None);
        pair.a.adjust(&none).await.unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, release);
    assert_eq!(waited, Commit::Acknowledged);
    assert!(!pair.has("b", 3));
}

#[tokio::test(start_paused = true)]
async fn diverged_wal_does_not_stream_and_is_healed_by_a_rewind_after_the_checkpoint() {
    let pair = Pair::new().await;
    pair.world.change(|state| {
        let (a, b) = (Place::Member(name("a")), Place::Member(name("b")));
        state.network.cut(&a, &b);
    });
    assert_eq!(pair.commit("a", 7).await, Commit::Acknowledged);
    pair.world
        .change(|state| kill(state, &name("a"), Ending::Killed));
    pair.world.change(|state| state.network.heal());
    pair.promote_b().await;
    start(&pair.a, replica_of("b")).await.unwrap();
    let streams = tokio::time::timeout(MINUTE / 2, pair.streaming("a")).await;
    assert!(
        streams.is_err(),
        "WAL of its own must keep it from streaming"
    );
    pair.stop(&pair.a, StopMode::Immediate).await;
    does(&pair.a, Work::CrashRecovery).await.unwrap();
    let rewind = Work::Rewind {
        source: upstream("b"),
    };
    // Without a checkpoint of the new primary pg_rewind believes that nothing is to be done.
    does(&pair.a, rewind.clone()).await.unwrap();
    assert!(pair.has("a", 7));
    does(&pair.b, Work::Checkpoint).await.unwrap();
    does(&pair.a, rewind).await.unwrap();
    assert!(!pair.has("a", 7));
    start(&pair.a, replica_of("b")).await.unwrap();
    pair.streaming("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_promotion_whose_lease_has_ended_does_not_happen() {
    let pair = Pair::new().await;
    let valid_until = Moment::from_nanos(1);
    let done = does(&pair.b, Work::promote(valid_until)).await;
    assert_eq!(done, Err(WorkError::LeaseEnded));
    assert!(pair.b.observe().await.standby_signal);
}

#[tokio::test(start_paused = true)]
async fn a_missing_slot_keeps_a_replica_from_streaming_until_it_is_made() {
    let pair = Pair::new().await;
    let slot = SlotName::of_member(&name("b"));
    let through_slot = Adjustment::Follow {
        upstream: Some(Upstream {
            slot: Some(slot.clone()),
            ..upstream("a")
        }),
    };
    pair.b.adjust(&through_slot).await.unwrap();
    pair.world.sleep(Duration::from_secs(2)).await;
    assert_eq!(pair.b.observe().await.live.known().unwrap().receiver, None);
    pair.a
        .adjust(&Adjustment::CreateSlot(slot.clone()))
        .await
        .unwrap();
    pair.streaming("b").await;
    let dropped = pair.a.adjust(&Adjustment::DropSlot(slot)).await;
    assert!(
        matches!(dropped, Err(AdjustError::Refused(_))),
        "{dropped:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_keeps_the_old_directory_until_it_is_told_to_forget_it() {
    let pair = Pair::new().await;
    pair.stop(&pair.b, StopMode::Fast).await;
    let source = upstream("a");
    does(
        &pair.b,
        Work::Clone {
            source,
            basebackup_only: false,
        },
    )
    .await
    .unwrap();
    let kept = |pair: &Pair| {
        let has = |state: &crate::world::State| state.host(&name("b")).server.set_aside.is_some();
        pair.world.look(has)
    };
    assert!(kept(&pair));
    start(&pair.b, replica_of("a")).await.unwrap();
    pair.streaming("b").await;
    pair.b
        .adjust(&Adjustment::ForgetOldDirectory)
        .await
        .unwrap();
    assert!(!kept(&pair));
    assert_eq!(pair.world.violations(), []);
}

#[tokio::test(start_paused = true)]
async fn a_killed_postmaster_wakes_its_agent_and_the_last_answer_is_forgotten() {
    let pair = Pair::new().await;
    pair.a.observe().await;
    let killer = pair.world.clone();
    pair.world.spawn(async move {
        killer.sleep(Duration::from_secs(3)).await;
        killer.change(|state| kill(state, &name("a"), Ending::Killed));
    });
    pair.a.exited().await;
    let seen = pair.a.observe().await;
    assert!(!seen.is_running());
    assert!(seen.live.last().is_none());
    assert_eq!(seen.control().unwrap().state, ControlState::InProduction);
}

#[tokio::test(start_paused = true)]
async fn the_fence_stops_a_primary_and_never_a_replica() {
    let pair = Pair::new().await;
    pair.b.fence().await;
    assert!(pair.b.observe().await.is_running());
    pair.a.fence().await;
    assert!(!pair.a.observe().await.is_running());
}
