//! `/metrics` in the text format of Prometheus, under Patroni's names (contract §17).

use std::fmt::Write as _;

use jiff::Timestamp;
use pgherd_domain::{
    ClusterView, LiveSeen, PgRole, PgState, SyncMode, SyncOutlook, SyncWarning, sync_warnings,
};
use pgherd_settings::value;

use crate::member::MemberFacts;
use crate::status::with_minutes;

/// All samples of one member.
pub fn text(member: &MemberFacts<'_>) -> String {
    let mut page = Page {
        labels: format!(
            "{{scope=\"{}\",name=\"{}\"}}",
            escaped(member.scope),
            escaped(member.spec.me.as_str())
        ),
        out: String::with_capacity(8_192),
    };
    server(&mut page, member);
    wal(&mut page, member);
    cluster(&mut page, member);
    hooks(&mut page, member);
    synchronous(&mut page, member);
    slots(&mut page, member);
    page.out
}

/// What would keep a leader in a synchronous mode from going on: ours. Told by the leader. Whether clients are kept out
/// every member tells.
fn synchronous(page: &mut Page, member: &MemberFacts<'_>) {
    let mode = member.spec.synchronous_mode;
    if mode != SyncMode::Off {
        let (labels, closed) = (&page.labels, u8::from(member.is_closed()));
        page.out.push_str(&format!(
            "# HELP pgherd_closed_to_clients Whether PostgreSQL keeps clients out until standbys have what it holds.\n\
             # TYPE pgherd_closed_to_clients gauge\npgherd_closed_to_clients{labels} {closed}\n"
        ));
    }
    let view = member
        .cluster
        .filter(|_| member.leads && mode != SyncMode::Off);
    let Some(view) = view else { return };
    let asked = SyncOutlook {
        mode,
        node_count: member.spec.synchronous_node_count,
        zones: member.spec.zones.as_ref(),
    };
    let warnings = sync_warnings(view, &asked);
    let mut gauge = |name: &str, help: &str, set: bool| {
        let labels = &page.labels;
        let value = u8::from(set);
        page.out.push_str(&format!(
            "# HELP pgherd_{name} {help}\n# TYPE pgherd_{name} gauge\npgherd_{name}{labels} {value}\n"
        ));
    };
    let too_few = |warning: &SyncWarning| matches!(warning, SyncWarning::TooFew { .. });
    gauge(
        "synchronous_nodes_missing",
        "Whether more synchronous nodes are asked for than members may be.",
        warnings.iter().any(too_few),
    );
    gauge(
        "synchronous_successor_missing",
        "Whether nobody beside the leader may both be synchronous and lead.",
        warnings.contains(&SyncWarning::NoSuccessor),
    );
    if asked.zones.is_some() {
        let shortage = view.zone_shortage();
        gauge(
            "synchronous_zones_missing",
            "Whether fewer zones than pgherd.synchronous_zones asks for have a standby that commits can wait for.",
            shortage.is_some(),
        );
        gauge(
            "synchronous_zones_degraded",
            "Whether commits go on without the missing zones.",
            shortage.is_some_and(|shortage| !shortage.waits),
        );
    }
}

/// How much WAL each slot keeps, and how much it may: ours.
fn slots(page: &mut Page, member: &MemberFacts<'_>) {
    let Some(live) = member.live.filter(|live| !live.slots.is_empty()) else {
        return;
    };
    let base = page.labels.trim_end_matches('}').to_owned();
    page.out.push_str(
        "# HELP pgherd_slot_retained_bytes WAL that a replication slot keeps.\n\
         # TYPE pgherd_slot_retained_bytes gauge\n",
    );
    for (name, slot) in &live.slots {
        if let Some(restart) = slot.restart {
            let kept = restart.behind(live.position());
            let slot = escaped(name);
            page.out.push_str(&format!(
                "pgherd_slot_retained_bytes{base},slot=\"{slot}\"}} {kept}\n"
            ));
        }
    }
    page.out.push_str(
        "# HELP pgherd_slot_lost Whether a replication slot was invalidated: the WAL it kept is gone.\n\
         # TYPE pgherd_slot_lost gauge\n",
    );
    for (name, slot) in &live.slots {
        let (lost, name) = (u8::from(slot.lost), escaped(name));
        page.out.push_str(&format!(
            "pgherd_slot_lost{base},slot=\"{name}\"}} {lost}\n"
        ));
    }
    if let Some(budget) = member.spec.slot_budget {
        page.out.push_str(&format!(
            "# HELP pgherd_slot_budget_bytes WAL that one replication slot may keep (pgherd.slot_budget).\n\
             # TYPE pgherd_slot_budget_bytes gauge\n\
             pgherd_slot_budget_bytes{base}}} {budget}\n"
        ));
    }
}

/// How often callbacks and hooks ended how: ours.
fn hooks(page: &mut Page, member: &MemberFacts<'_>) {
    if member.hooks.counts.is_empty() {
        return;
    }
    page.out.push_str(
        "# HELP pgherd_hook_runs_total How often a callback or hook ended so, since the agent was started.\n\
         # TYPE pgherd_hook_runs_total counter\n",
    );
    for ((hook, end), count) in &member.hooks.counts {
        let labels = page.labels.trim_end_matches('}');
        let sample =
            format!("pgherd_hook_runs_total{labels},hook=\"{hook}\",end=\"{end}\"}} {count}\n");
        page.out.push_str(&sample);
    }
}

struct Page {
    labels: String,
    out: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

impl Page {
    fn add(&mut self, name: &str, kind: Kind, help: &str, value: impl std::fmt::Display) {
        self.add_with_note(name, kind, (help, ""), value);
    }

    fn flag(&mut self, name: &str, help: &str, on: bool) {
        self.add(name, Kind::Gauge, help, u8::from(on));
    }

    fn add_with_note(
        &mut self,
        name: &str,
        kind: Kind,
        (help, note): (&str, &str),
        value: impl std::fmt::Display,
    ) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let labels = &self.labels;
        let sample = format!(
            "# HELP patroni_{name} {help}\n{note}# TYPE patroni_{name} {kind}\npatroni_{name}{labels} {value}\n"
        );
        self.out.push_str(&sample);
    }
}

fn server(page: &mut Page, member: &MemberFacts<'_>) {
    let role = member.shown_role();
    let listed = role == PgRole::Replica && member.is_listed_in_sync();
    let mode = member.spec.synchronous_mode;
    page.add(
        "version",
        Kind::Gauge,
        "Version of the agent, two digits for each part.",
        version(&member.spec.version),
    );
    page.flag(
        "postgres_running",
        "Whether PostgreSQL runs.",
        member.is_running(),
    );
    page.add(
        "postmaster_start_time",
        Kind::Gauge,
        "When PostgreSQL was started, in seconds since 1970.",
        member
            .live
            .and_then(|live| epoch(&live.started_at))
            .unwrap_or_else(|| "0".to_owned()),
    );
    page.flag(
        "primary",
        "Whether PostgreSQL runs as a primary.",
        role == PgRole::Primary,
    );
    let flushed = member.live.map_or(0, |live| live.flushed.as_u64());
    page.add(
        "xlog_location",
        Kind::Counter,
        "End of WAL of a primary, in bytes.",
        flushed,
    );
    page.flag(
        "standby_leader",
        "Whether this member leads a standby cluster.",
        role == PgRole::StandbyLeader,
    );
    page.flag(
        "replica",
        "Whether PostgreSQL runs as a replica.",
        role == PgRole::Replica,
    );
    page.flag(
        "sync_standby",
        "Whether this member is a synchronous standby.",
        listed && mode == SyncMode::On,
    );
    page.flag(
        "quorum_standby",
        "Whether this member votes in quorum commit.",
        listed && mode == SyncMode::Quorum,
    );
}

fn wal(page: &mut Page, member: &MemberFacts<'_>) {
    let live = member.live;
    let number = |get: fn(&LiveSeen) -> u64| live.map_or(0, get);
    page.add(
        "xlog_received_location",
        Kind::Counter,
        "End of the WAL a replica has received, in bytes.",
        number(|live| live.received.as_u64()),
    );
    page.add(
        "xlog_replayed_location",
        Kind::Counter,
        "End of the WAL a replica has replayed, in bytes.",
        number(|live| live.replayed.as_u64()),
    );
    let replayed_at = live.and_then(|live| epoch(live.replayed_at.as_deref()?));
    page.add(
        "xlog_replayed_timestamp",
        Kind::Gauge,
        "Time of the last transaction a replica has replayed, in seconds since 1970.",
        replayed_at.unwrap_or_else(|| "0".to_owned()),
    );
    let paused = live.is_some_and(|live| live.replay_paused);
    page.flag("xlog_paused", "Whether replay is paused.", paused);
    let replication = live.and_then(LiveSeen::replication_state);
    page.flag(
        "postgres_streaming",
        "Whether a replica streams.",
        replication == Some("streaming"),
    );
    page.flag(
        "postgres_in_archive_recovery",
        "Whether a replica restores WAL from an archive.",
        replication == Some("in archive recovery"),
    );
    let version = live.map_or(0, |live| live.version.0);
    page.add(
        "postgres_server_version",
        Kind::Gauge,
        "Version of PostgreSQL, as a number.",
        version,
    );
}

fn cluster(page: &mut Page, member: &MemberFacts<'_>) {
    let unlocked = member.cluster.is_none_or(|view| view.leader.is_none());
    page.flag(
        "cluster_unlocked",
        "Whether nobody holds the leader key.",
        unlocked,
    );
    page.flag(
        "failsafe_mode_is_active",
        "Whether the leader stays while the DCS is away.",
        false,
    );
    let config = member
        .cluster
        .and_then(|view: &ClusterView| view.config.as_ref());
    let enabled = config.and_then(|config| value::flag(config.value.get("failsafe_mode")?));
    let enabled = enabled.unwrap_or(false);
    page.flag(
        "failsafe_mode_enabled",
        "Whether failsafe mode is turned on.",
        enabled,
    );
    let listed = member
        .cluster
        .is_some_and(|view| view.failsafe.contains_key(member.spec.me.as_str()));
    page.flag(
        "failsafe_member",
        "Whether this member is listed in /failsafe.",
        listed,
    );
    let timeline = member.live.map_or(0, |live| live.timeline.0);
    page.add(
        "postgres_timeline",
        Kind::Gauge,
        "Timeline of PostgreSQL.",
        timeline,
    );
    page.add(
        "dcs_last_seen",
        Kind::Gauge,
        "When the DCS last answered, in seconds since 1970.",
        member.dcs_seen.map_or(0, |seen| seen.as_seconds()),
    );
    page.flag(
        "pending_restart",
        "Whether settings wait for a restart of PostgreSQL.",
        member.member.pending_restart,
    );
    page.flag(
        "is_paused",
        "Whether the cluster is paused.",
        member.spec.pause,
    );
    page.add_with_note(
        "postgres_state",
        Kind::Gauge,
        ("State of PostgreSQL, as a number.", &state_values()),
        state_number(member),
    );
    page.add(
        "failover_priority",
        Kind::Gauge,
        "Preference of this member in a failover; 0 is never.",
        if member.spec.tags.nofailover {
            0
        } else {
            member.spec.tags.failover_priority
        },
    );
}

/// The index of the state; -1 when it runs and does not answer.
fn state_number(member: &MemberFacts<'_>) -> i64 {
    if member.state == PgState::Running && member.live.is_none() {
        return -1;
    }
    PgState::ALL
        .iter()
        .position(|state| *state == member.state)
        .and_then(|index| i64::try_from(index).ok())
        .unwrap_or(-1)
}

/// The comment that says what the numbers of the state mean.
fn state_values() -> String {
    const NAMES: [&str; 15] = [
        "initdb",
        "initdb_failed",
        "custom_bootstrap",
        "custom_bootstrap_failed",
        "creating_replica",
        "running",
        "starting",
        "bootstrap_starting",
        "start_failed",
        "restarting",
        "restart_failed",
        "stopping",
        "stopped",
        "stop_failed",
        "crashed",
    ];
    let values: Vec<String> = NAMES
        .iter()
        .enumerate()
        .map(|(index, name)| format!("{index}={name}"))
        .collect();
    format!("# Values: {}\n", values.join(", "))
}

/// `4.1.4` as `040104`.
fn version(text: &str) -> String {
    let mut number = String::new();
    for part in text.split('.') {
        // writing to a String can not fail
        if write!(number, "{part:0>2}").is_err() {
            break;
        }
    }
    number
}

/// A time as PostgreSQL prints it, in seconds with six places.
fn epoch(stamp: &str) -> Option<String> {
    let stamp: Timestamp = with_minutes(stamp).parse().ok()?;
    let micros = stamp.as_microsecond();
    Some(format!(
        "{}.{:06}",
        micros.div_euclid(1_000_000),
        micros.rem_euclid(1_000_000)
    ))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
