//! A primary and a replica for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::documents::{MemberDoc, StatusDoc, SyncDoc};
use pgherd_domain::{
    ClusterSpec, ClusterView, Hook, HookEnd, HookRun, HooksSeen, LeaderKey, LiveSeen, Lsn,
    MemberName, PgRole, PgState, Receiver, ServerVersion, SlotSeen, SyncMode, Tags,
    TimelineHistory, TimelineId, Versioned, WallTime,
};

use super::MemberFacts;

/// Everything that facts borrow from.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) spec: ClusterSpec,
    pub(crate) standby_cluster: bool,
    pub(crate) state: PgState,
    pub(crate) role: PgRole,
    pub(crate) live: Option<LiveSeen>,
    pub(crate) member: MemberDoc,
    pub(crate) cluster: Option<ClusterView>,
    pub(crate) leads: bool,
    pub(crate) failsafe_active: bool,
    pub(crate) unfenced: Option<&'static str>,
    pub(crate) hooks: HooksSeen,
    pub(crate) watchdog_failed: bool,
    pub(crate) turn_age: Duration,
}

/// The leader `a`, whose WAL ends at 1000.
pub(crate) fn primary() -> Sample {
    let live = LiveSeen {
        in_recovery: false,
        flushed: Lsn::new(1_000),
        received: Lsn::default(),
        replayed: Lsn::default(),
        replayed_at: None,
        receiver: None,
        ..live()
    };
    Sample {
        role: PgRole::Primary,
        live: Some(live),
        leads: true,
        ..sample("a")
    }
}

/// The replica `b`, which streams from `a` and has everything.
pub(crate) fn replica() -> Sample {
    Sample {
        role: PgRole::Replica,
        live: Some(live()),
        leads: false,
        ..sample("b")
    }
}

impl Sample {
    pub(crate) fn facts(&self) -> MemberFacts<'_> {
        MemberFacts {
            spec: &self.spec,
            scope: "demo",
            standby_cluster: self.standby_cluster,
            state: self.state,
            role: self.role,
            live: self.live.as_ref(),
            system_id: Some("7277694203142172922"),
            member: &self.member,
            cluster: self.cluster.as_ref(),
            dcs_seen: Some(WallTime::from_micros(1_795_486_355_900_000)),
            leads: self.leads,
            failsafe_active: self.failsafe_active,
            unfenced: self.unfenced,
            hooks: &self.hooks,
            watchdog_failed: self.watchdog_failed,
            turn_age: self.turn_age,
        }
    }

    /// It has a slot for `node1`, and a budget for slots.
    pub(crate) fn keeps_a_slot(&mut self) {
        self.spec.slot_budget = Some(1_000_000);
        if let Some(live) = &mut self.live {
            let slot = SlotSeen {
                restart: Some(Lsn::new(900)),
                ..SlotSeen::default()
            };
            live.slots.insert("node1".into(), slot);
        }
    }

    /// A callback that was told of a change of role ended so.
    pub(crate) fn hook_ended(&mut self, end: HookEnd) {
        let run = HookRun {
            role: Some(PgRole::Primary),
            ended: WallTime::from_micros(1_795_486_355_900_000),
            took: Duration::from_millis(1_234),
            end,
        };
        self.hooks.note(Hook::OnRoleChange, run);
    }

    /// Lists the member in `/sync`.
    pub(crate) fn list_in_sync(&mut self) {
        let value = SyncDoc {
            leader: Some(name("a")),
            quorum: 0,
            standbys: [self.spec.me.clone()].into(),
        };
        self.cluster.as_mut().unwrap().sync = Some(Versioned { value, revision: 7 });
    }

    pub(crate) fn set_positions(&mut self, received: u64, replayed: u64, told: u64) {
        let live = self.live.as_mut().unwrap();
        (live.received, live.replayed) = (Lsn::new(received), Lsn::new(replayed));
        live.receiver.as_mut().unwrap().latest_end = Lsn::new(told);
    }

    pub(crate) fn set_optime(&mut self, optime: u64) {
        self.cluster.as_mut().unwrap().status.optime = Some(Lsn::new(optime));
    }

    pub(crate) fn stop_streaming(&mut self) {
        self.live.as_mut().unwrap().receiver = None;
    }
}

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

fn sample(me: &str) -> Sample {
    let leader = LeaderKey {
        name: name("a"),
        revision: 3,
        on_my_lease: me == "a",
    };
    let status = StatusDoc {
        optime: Some(Lsn::new(1_000)),
        ..StatusDoc::default()
    };
    Sample {
        spec: spec(me),
        standby_cluster: false,
        state: PgState::Running,
        role: PgRole::Replica,
        live: None,
        member: MemberDoc::default(),
        cluster: Some(ClusterView {
            leader: Some(leader),
            status,
            ..ClusterView::default()
        }),
        leads: false,
        failsafe_active: false,
        unfenced: None,
        hooks: HooksSeen::default(),
        watchdog_failed: false,
        turn_age: Duration::ZERO,
    }
}

fn live() -> LiveSeen {
    LiveSeen {
        in_recovery: true,
        timeline: TimelineId(3),
        flushed: Lsn::default(),
        received: Lsn::new(1_000),
        replayed: Lsn::new(1_000),
        replayed_at: Some("2024-08-28 19:40:00.5+00".into()),
        replay_paused: false,
        apply_delay: Duration::ZERO,
        stop_before: None,
        slot_parameters: pgherd_domain::SlotParameters::default(),
        outgrown: false,
        receiver: Some(Receiver {
            streaming: true,
            host: Some("10.0.0.1".into()),
            port: Some(5432),
            slot: None,
            timeline: TimelineId(3),
            latest_end: Lsn::new(1_000),
        }),
        version: ServerVersion(150_018),
        started_at: "2024-08-28 19:39:26.352526+00".into(),
        slots: BTreeMap::new(),
        replication: Vec::new(),
        synchronous_standby_names: String::new(),
        synchronous_commit: "on".into(),
        configured_upstream: None,
        restores_from_archive: false,
        history: TimelineHistory::default(),
        pending_restart: BTreeMap::new(),
    }
}

fn spec(me: &str) -> ClusterSpec {
    ClusterSpec {
        me: name(me),
        store: "etcd",
        conn_url: "postgres://10.0.0.1:5432/postgres".into(),
        api_url: "http://10.0.0.1:8008/patroni".into(),
        proxy_url: None,
        version: "4.1.5".into(),
        tags: Tags::default(),
        ttl: Duration::from_secs(30),
        loop_wait: Duration::from_secs(10),
        retry_timeout: Duration::from_secs(10),
        maximum_lag_on_failover: 1_048_576,
        check_timeline: false,
        primary_start_timeout: Duration::from_secs(300),
        primary_race_backoff: Duration::ZERO,
        max_timelines_history: 0,
        pause: false,
        synchronous_mode: SyncMode::Off,
        synchronous_mode_strict: false,
        synchronous_node_count: 1,
        maximum_lag_on_syncnode: None,
        zones: None,
        silent_standby: Some(Duration::from_secs(5)),
        use_slots: true,
        member_slots_ttl: Duration::from_secs(1_800),
        permanent_slots: Vec::new(),
        logical_slots: BTreeMap::new(),
        ignore_slots: Vec::new(),
        slot_budget: None,
        start_timeout: Duration::from_secs(60),
        primary_stop_timeout: None,
        use_pg_rewind: false,
        reclone_when_rewind_fails: false,
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
