//! From settings to what decisions depend on.

use pgherd_api::COMPATIBLE_VERSION;
use pgherd_domain::{
    ClusterSpec, IgnoredSlots, LogicalSlot, RemoteCluster, SlotName, Tags, Upstream,
};
use pgherd_settings::{HostPort, PermanentSlot, Settings, SlotKind, SlotMatcher};
use serde_json::Value;

use crate::settings::SettingsSource;

/// The part of the settings in force that decisions depend on.
pub(crate) fn of_settings(source: &SettingsSource) -> ClusterSpec {
    let settings: &Settings = source.in_force();
    let fixed = &settings.fixed;
    let changing = &settings.changing;
    let cluster = &changing.cluster;
    let postgresql = &changing.postgresql;
    let database = &fixed.place.database;
    let url = |address: &HostPort| format!("postgres://{address}/{database}");
    let slots = || {
        cluster
            .slots
            .iter()
            .filter(|(_, slot)| is_of(slot, settings))
    };
    ClusterSpec {
        me: fixed.name.clone(),
        store: fixed.store.name(),
        conn_url: url(&postgresql.connect_address),
        api_url: api_url(settings),
        proxy_url: postgresql.proxy_address.as_ref().map(url),
        version: COMPATIBLE_VERSION.to_owned(),
        tags: tags(settings),
        ttl: cluster.timing.ttl,
        loop_wait: cluster.timing.loop_wait,
        retry_timeout: cluster.timing.retry_timeout,
        maximum_lag_on_failover: cluster.maximum_lag_on_failover,
        check_timeline: cluster.check_timeline,
        primary_start_timeout: cluster.primary_start_timeout,
        primary_race_backoff: cluster.primary_race_backoff,
        max_timelines_history: usize::try_from(cluster.max_timelines_history).unwrap_or(0),
        pause: cluster.pause,
        synchronous_mode: cluster.synchronous_mode,
        synchronous_mode_strict: cluster.synchronous_mode_strict,
        synchronous_node_count: usize::try_from(cluster.synchronous_node_count).unwrap_or(1),
        maximum_lag_on_syncnode: cluster.maximum_lag_on_syncnode,
        zones: cluster.zones.clone(),
        silent_standby: cluster.silent_standby,
        use_slots: postgresql.use_slots,
        member_slots_ttl: cluster.member_slots_ttl,
        permanent_slots: slots()
            .filter(|(_, slot)| {
                cluster.standby_cluster.is_none() || slot.kind == SlotKind::Physical
            })
            .map(|(name, _)| name.clone())
            .collect(),
        // In a standby cluster they are inactive (contract §14).
        logical_slots: slots()
            .filter(|_| cluster.standby_cluster.is_none())
            .filter_map(logical)
            .collect(),
        ignore_slots: ignore_slots(settings),
        slot_budget: postgresql.slot_budget,
        start_timeout: postgresql.pg_ctl_timeout,
        primary_stop_timeout: cluster.primary_stop_timeout,
        use_pg_rewind: postgresql.use_pg_rewind,
        reclone_when_rewind_fails: true,
        reclone_when_diverged: false,
        copies_when_wal_is_gone: postgresql.copies_when_wal_is_gone,
        runs_pre_promote: postgresql.pre_promote.is_some(),
        restores_without_leader: postgresql
            .create_replica_methods
            .iter()
            .any(|method| method.no_leader),
        may_bootstrap: fixed.bootstrap.configured,
        dynamic_config: source.dynamic().cloned(),
        knows_config: source.is_known(),
        failsafe_mode: cluster.failsafe_mode,
        watchdog: changing.watchdog.mode,
        standby: remote(settings),
    }
}

/// Where this member's REST API is reached.
fn api_url(settings: &Settings) -> String {
    let restapi = &settings.changing.restapi;
    let scheme = match restapi.certfile {
        Some(_) => "https",
        None => "http",
    };
    format!("{scheme}://{}/patroni", restapi.connect_address)
}

/// The cluster that is followed, where one is.
fn remote(settings: &Settings) -> Option<RemoteCluster> {
    let section = settings.changing.cluster.standby_cluster.as_ref()?;
    let slot = section.primary_slot_name.as_deref();
    let upstream = section.host.as_ref().map(|hosts| {
        let ports = section.port.as_deref().unwrap_or_default();
        Upstream::elsewhere(hosts, ports, slot.map(SlotName::existing))
    });
    Some(RemoteCluster { upstream })
}

/// The member's tags, and what follows for one that replays with a delay.
fn tags(settings: &Settings) -> Tags {
    let mut tags = settings.changing.tags.clone();
    // A delayed standby would lead with old data, or only after its delay: it never races, commits do not wait
    // for it, and everybody sees why.
    let delay = settings
        .changing
        .postgresql
        .recovery_conf
        .get("recovery_min_apply_delay")
        .filter(|delay| delay.chars().any(|digit| ('1'..='9').contains(&digit)));
    if let Some(delay) = delay {
        tags.nofailover = true;
        tags.nosync = true;
        for (name, value) in [
            ("nofailover", true.into()),
            ("nosync", true.into()),
            ("delayed", Value::from(delay.as_str())),
        ] {
            tags.published.insert(name.to_owned(), value);
        }
    }
    tags
}

/// Whether a permanent slot belongs to the kind of cluster that this is (contract §7).
fn is_of(slot: &PermanentSlot, settings: &Settings) -> bool {
    let kind = match settings.changing.cluster.standby_cluster {
        Some(_) => "standby",
        None => "primary",
    };
    slot.cluster_type.as_deref().is_none_or(|only| only == kind)
}

fn logical((name, slot): (&String, &PermanentSlot)) -> Option<(String, LogicalSlot)> {
    match &slot.kind {
        SlotKind::Physical => None,
        SlotKind::Logical { database, plugin } => {
            let logical = LogicalSlot {
                database: database.clone(),
                plugin: plugin.clone(),
                failover: slot.failover,
            };
            Some((name.clone(), logical))
        }
    }
}

/// What the operator leaves alone, and the slots through which Citus moves and splits shards.
fn ignore_slots(settings: &Settings) -> Vec<IgnoredSlots> {
    let given = settings.changing.cluster.ignore_slots.iter().map(ignored);
    let citus = settings.fixed.citus.iter().flat_map(|citus| {
        ["move", "split"].map(|work| IgnoredSlots {
            prefix: Some(format!("citus_shard_{work}_slot_")),
            logical: Some(true),
            database: Some(citus.database.clone()),
            ..IgnoredSlots::default()
        })
    });
    given.chain(citus).collect()
}

fn ignored(pattern: &SlotMatcher) -> IgnoredSlots {
    IgnoredSlots {
        name: pattern.name.clone(),
        prefix: None,
        logical: pattern.kind.as_ref().map(|kind| kind == "logical"),
        database: pattern.database.clone(),
        plugin: pattern.plugin.clone(),
    }
}
