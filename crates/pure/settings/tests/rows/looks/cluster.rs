//! What holds for the whole cluster.

use std::time::Duration;

use pgherd_domain::SyncMode;
use pgherd_settings::{Settings, SlotKind, StandbyCluster};
use serde_json::{Value, json};

use super::named;

pub(super) fn of_cluster(settings: &Settings, what: &str) -> Value {
    let cluster = &settings.changing.cluster;
    let seconds = |span: Duration| json!(span.as_secs());
    match what {
        "times" => json!([
            cluster.timing.ttl.as_secs(),
            cluster.timing.loop_wait.as_secs(),
            cluster.timing.retry_timeout.as_secs(),
        ]),
        "maximum_lag_on_failover" => json!(cluster.maximum_lag_on_failover),
        "maximum_lag_on_syncnode" => json!(cluster.maximum_lag_on_syncnode.unwrap_or(0)),
        "max_timelines_history" => json!(cluster.max_timelines_history),
        "primary_start_timeout" => seconds(cluster.primary_start_timeout),
        "primary_stop_timeout" => seconds(cluster.primary_stop_timeout.unwrap_or_default()),
        "member_slots_ttl" => seconds(cluster.member_slots_ttl),
        "synchronous_node_count" => json!(cluster.synchronous_node_count),
        "synchronous_mode" => json!(match cluster.synchronous_mode {
            SyncMode::Off => "off",
            SyncMode::On => "on",
            SyncMode::Quorum => "quorum",
        }),
        "synchronous_mode_strict" => json!(cluster.synchronous_mode_strict),
        "check_timeline" => json!(cluster.check_timeline),
        "failsafe_mode" => json!(cluster.failsafe_mode),
        "pause" => json!(cluster.pause),
        "use_slots" => json!(settings.changing.postgresql.use_slots),
        "slots" => {
            let kinds = cluster.slots.iter().map(|(name, slot)| {
                let kind = match slot.kind {
                    SlotKind::Physical => "physical",
                    SlotKind::Logical { .. } => "logical",
                };
                (name.clone(), json!(kind))
            });
            Value::Object(kinds.collect())
        }
        "ignore_slots" => {
            let matchers = cluster.ignore_slots.iter().map(|matcher| {
                named([
                    ("name", matcher.name.clone()),
                    ("type", matcher.kind.clone()),
                    ("database", matcher.database.clone()),
                    ("plugin", matcher.plugin.clone()),
                ])
            });
            matchers.collect()
        }
        "standby_cluster" => cluster.standby_cluster.as_ref().map(standby).into(),
        other => panic!("no such look: {other}"),
    }
}

fn standby(standby: &StandbyCluster) -> Value {
    named([
        ("host", standby.host.clone()),
        ("port", standby.port.clone()),
        ("primary_slot_name", standby.primary_slot_name.clone()),
        ("restore_command", standby.restore_command.clone()),
        (
            "archive_cleanup_command",
            standby.archive_cleanup_command.clone(),
        ),
        (
            "recovery_min_apply_delay",
            standby.recovery_min_apply_delay.clone(),
        ),
    ])
}
