//! What one member sees, and the rules that an action breaks there.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::documents::{MemberDoc, SyncDoc};
use pgherd_domain::{
    Action, ClusterSpec, ClusterView, ControlData, ControlState, DataDirectory, Fact, LeaderKey,
    LeaseSeen, LiveSeen, Lsn, MemberName, Moment, Observation, PostgresSeen, ServerVersion,
    Standing, SyncMode, Tags, TimelineHistory, TimelineId, Upstream, Versioned, WallTime, WorkSeen,
};

use crate::check;

pub(super) const NOW: Moment = Moment::from_millis(1_000_000);
const SYSTEM_ID: &str = "7000000000000000000";

pub(super) fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn spec() -> ClusterSpec {
    ClusterSpec {
        me: name("a"),
        store: "etcd",
        conn_url: "postgres://a:5432/postgres".into(),
        api_url: "http://a:8008/patroni".into(),
        proxy_url: None,
        version: "4.1.4".into(),
        tags: Tags::default(),
        ttl: secs(30),
        loop_wait: secs(10),
        retry_timeout: secs(10),
        maximum_lag_on_failover: 1 << 20,
        check_timeline: false,
        primary_start_timeout: secs(300),
        primary_race_backoff: secs(0),
        max_timelines_history: 0,
        pause: false,
        synchronous_mode: SyncMode::Off,
        synchronous_mode_strict: false,
        synchronous_node_count: 1,
        maximum_lag_on_syncnode: None,
        zones: None,
        silent_standby: Some(Duration::from_secs(5)),
        use_slots: true,
        member_slots_ttl: secs(1800),
        permanent_slots: Vec::new(),
        logical_slots: BTreeMap::new(),
        ignore_slots: Vec::new(),
        slot_budget: None,
        start_timeout: Duration::from_secs(60),
        primary_stop_timeout: None,
        use_pg_rewind: true,
        reclone_when_rewind_fails: true,
        reclone_when_diverged: false,
        copies_when_wal_is_gone: true,
        runs_pre_promote: false,
        restores_without_leader: false,
        may_bootstrap: true,
        dynamic_config: None,
        failsafe_mode: false,
        watchdog: pgherd_domain::WatchdogMode::Automatic,
        standby: None,
    }
}

/// What `a` sees, which leads on a good lease with a stopped PostgreSQL.
pub(super) struct World {
    pub spec: ClusterSpec,
    pub seen: Observation,
}

pub(super) fn leader() -> World {
    let view = ClusterView {
        initialize: Some(Versioned {
            value: SYSTEM_ID.into(),
            revision: 1,
        }),
        members: BTreeMap::from([(name("b"), MemberDoc::default())]),
        ..ClusterView::default()
    };
    let seen = Observation {
        now: NOW,
        wall: WallTime::default(),
        dcs: Fact::seen(view, NOW),
        lease: LeaseSeen {
            standing: Standing::Held,
            good_until: Some(NOW.plus(secs(25))),
            trouble: None,
        },
        postgres: PostgresSeen {
            data: DataDirectory::Cluster(ControlData {
                system_id: SYSTEM_ID.into(),
                state: ControlState::ShutDown,
                timeline: TimelineId(1),
                checkpoint: Lsn::new(1),
                checkpoint_end: None,
                min_recovery: (Lsn::default(), TimelineId(0)),
                can_rewind: true,
            }),
            postmaster: None,
            accepting: false,
            standby_signal: false,
            live: unknown(),
            up_since: None,
            entry: pgherd_domain::Entry::Open,
            hung: None,
        },
        peers: BTreeMap::new(),
        upstream: None,
        work: WorkSeen::default(),
        failsafe: pgherd_domain::FailsafeSeen::default(),
        unfenced: None,
        watchdog: pgherd_domain::WatchdogSeen::Off,
        effects: Vec::new(),
        requests: Vec::new(),
        shutdown: false,
    };
    World { spec: spec(), seen }.led_by("a")
}

pub(super) fn unknown<T>() -> Fact<T> {
    Fact::Unknown {
        why: "no answer".into(),
        since: NOW,
        last: None,
    }
}

impl World {
    pub(super) fn view(mut self, change: impl FnOnce(&mut ClusterView)) -> Self {
        if let Fact::Seen { value, .. } = &mut self.seen.dcs {
            change(value);
        }
        self
    }

    pub(super) fn led_by(self, of: &str) -> Self {
        let on_my_lease = name(of) == self.spec.me;
        self.view(|view| {
            view.leader = Some(LeaderKey {
                name: name(of),
                revision: 1,
                on_my_lease,
            });
        })
    }

    pub(super) fn seen(mut self, change: impl FnOnce(&mut Observation)) -> Self {
        change(&mut self.seen);
        self
    }

    pub(super) fn paused(mut self) -> Self {
        self.spec.pause = true;
        self
    }

    pub(super) fn without_lease(self) -> Self {
        self.seen(|seen| seen.lease = LeaseSeen::NONE)
    }

    pub(super) fn running(self, in_recovery: bool, names: &str) -> Self {
        let live = LiveSeen {
            in_recovery,
            timeline: TimelineId(1),
            flushed: Lsn::new(1),
            received: Lsn::default(),
            replayed: Lsn::default(),
            replayed_at: None,
            replay_paused: false,
            apply_delay: Duration::ZERO,
            stop_before: None,
            slot_parameters: pgherd_domain::SlotParameters::default(),
            outgrown: false,
            receiver: None,
            version: ServerVersion(150_008),
            started_at: String::new(),
            slots: BTreeMap::new(),
            replication: Vec::new(),
            synchronous_standby_names: names.into(),
            synchronous_commit: "on".into(),
            configured_upstream: None,
            restores_from_archive: false,
            history: TimelineHistory::default(),
            pending_restart: BTreeMap::new(),
        };
        self.seen(|seen| {
            seen.postgres.postmaster = Some(1);
            seen.postgres.accepting = true;
            seen.postgres.live = Fact::seen(live, NOW);
        })
    }

    /// `/sync`, with synchronous mode on.
    pub(super) fn sync(mut self, leader: &str, standbys: &[&str]) -> Self {
        self.spec.synchronous_mode = SyncMode::On;
        self.view(|view| {
            view.sync = Some(Versioned {
                value: sync_doc(leader, standbys),
                revision: 1,
            });
        })
    }

    /// The rules that this action breaks alone.
    pub(super) fn breaks(&self, action: Action) -> Vec<&'static str> {
        let (passed, notes) = check(&self.spec, &self.seen, vec![action]);
        assert_eq!(passed.is_empty(), !notes.is_empty());
        notes.iter().map(|note| note.rule).collect()
    }
}

pub(super) fn sync_doc(leader: &str, standbys: &[&str]) -> SyncDoc {
    SyncDoc {
        leader: Some(name(leader)),
        quorum: 0,
        standbys: standbys.iter().map(|of| name(of)).collect(),
    }
}

pub(super) fn upstream(of: &str) -> Upstream {
    Upstream {
        name: Some(name(of)),
        host: of.into(),
        port: 5432,
        more_ports: Vec::new(),
        slot: None,
    }
}
