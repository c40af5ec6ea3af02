//! What the dynamic configuration wants, read leniently from a cluster view: what is not understood means
//! its default, as the agents treat it (contract §2.3).

use std::time::Duration;

use pgherd_domain::{ClusterSpec, ClusterView, SyncMode, SyncOutlook, WalBytes, ZonePolicy};
use pgherd_settings::value::{self, SizeUnit};
use serde_json::Value;

/// The part of the dynamic configuration that tables, documents and checks of orders depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Nothing is done automatically.
    pub pause: bool,
    /// The cluster follows another one.
    pub standby_cluster: bool,
    /// How commits wait for standbys.
    pub sync_mode: SyncMode,
    /// `synchronous_node_count`
    pub node_count: usize,
    /// In how many zones a commit must be acknowledged; `None`: nobody asks.
    pub zones: Option<ZonePolicy>,
    /// The longest sleep between two turns of an agent.
    pub loop_wait: Duration,
    /// A replica further behind than this may not race.
    pub maximum_lag_on_failover: WalBytes,
    /// A candidate must be on the newest timeline.
    pub check_timeline: bool,
    /// How much WAL one slot may keep; `None`: without a limit.
    pub slot_budget: Option<WalBytes>,
}

impl Wanted {
    /// Reads the `config` of a view; the defaults when there is none.
    pub fn of(view: &ClusterView) -> Self {
        Self::of_config(
            view.config
                .as_ref()
                .map_or(&Value::Null, |config| &config.value),
        )
    }

    /// Reads a dynamic configuration.
    pub fn of_config(config: &Value) -> Self {
        let get = |name: &str| config.get(name).unwrap_or(&Value::Null);
        let on = |name: &str| value::flag(get(name)).unwrap_or(false);
        let loop_wait = value::seconds(get("loop_wait")).and_then(|wait| u64::try_from(wait).ok());
        let lag = value::bytes(get("maximum_lag_on_failover"), SizeUnit::Byte);
        let count = value::seconds(get("synchronous_node_count"));
        Self {
            pause: on("pause"),
            standby_cluster: follows_another(get("standby_cluster")),
            sync_mode: sync_mode(get("synchronous_mode")),
            node_count: count
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or(1),
            zones: zones(
                get("pgherd")
                    .get("synchronous_zones")
                    .unwrap_or(&Value::Null),
            ),
            loop_wait: Duration::from_secs(loop_wait.unwrap_or(10).max(1)),
            maximum_lag_on_failover: lag
                .and_then(|lag| u64::try_from(lag).ok())
                .unwrap_or(1_048_576),
            check_timeline: on("check_timeline"),
            slot_budget: get("pgherd")
                .get("slot_budget")
                .and_then(|budget| value::bytes(budget, SizeUnit::Byte))
                .and_then(|budget| u64::try_from(budget).ok())
                .filter(|budget| *budget > 0),
        }
    }

    /// The same, as a member understands it now.
    pub fn of_spec(spec: &ClusterSpec, standby_cluster: bool) -> Self {
        Self {
            pause: spec.pause,
            standby_cluster,
            sync_mode: spec.synchronous_mode,
            node_count: spec.synchronous_node_count,
            zones: spec.zones.clone(),
            loop_wait: spec.loop_wait,
            maximum_lag_on_failover: spec.maximum_lag_on_failover,
            check_timeline: spec.check_timeline,
            slot_budget: spec.slot_budget,
        }
    }
}

impl Wanted {
    /// What is asked of the synchronous standbys.
    pub fn sync_outlook(&self) -> SyncOutlook<'_> {
        SyncOutlook {
            mode: self.sync_mode,
            node_count: self.node_count,
            zones: self.zones.as_ref(),
        }
    }
}

fn zones(section: &Value) -> Option<ZonePolicy> {
    let get = |name: &str| section.get(name).unwrap_or(&Value::Null);
    let at_least = value::whole(get("at_least")).and_then(|number| usize::try_from(number).ok());
    let label = value::scalar(get("label")).filter(|label| !label.is_empty());
    let after = value::seconds(get("degrade_after")).and_then(|after| u64::try_from(after).ok());
    Some(ZonePolicy {
        at_least: at_least.filter(|number| *number >= 2)?,
        label: label.unwrap_or_else(|| "zone".to_owned()),
        degrade_after: after.map(Duration::from_secs),
    })
}

/// A `standby_cluster` counts when any of these is not empty (contract §2.3).
fn follows_another(section: &Value) -> bool {
    ["host", "port", "restore_command"].iter().any(|name| {
        section
            .get(name)
            .and_then(value::scalar)
            .is_some_and(|text| !text.is_empty())
    })
}

fn sync_mode(given: &Value) -> SyncMode {
    let is_quorum = given
        .as_str()
        .is_some_and(|text| text.eq_ignore_ascii_case("quorum"));
    if is_quorum {
        SyncMode::Quorum
    } else if value::flag(given) == Some(true) {
        SyncMode::On
    } else {
        SyncMode::Off
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_in_every_spelling_and_garbage_means_the_default() {
        let wanted = Wanted::of_config(&json!({
            "pause": "yes", "synchronous_mode": "Quorum", "loop_wait": "5s",
            "maximum_lag_on_failover": "16MB", "standby_cluster": {"host": "10.0.0.9"},
            "pgherd": {"synchronous_zones": {"at_least": "2", "label": "rack", "degrade_after": "1min"}},
        }));
        let policy = ZonePolicy {
            label: "rack".into(),
            at_least: 2,
            degrade_after: Some(Duration::from_secs(60)),
        };
        assert_eq!(wanted.zones, Some(policy));
        assert!(wanted.pause && wanted.standby_cluster);
        assert_eq!(wanted.sync_mode, SyncMode::Quorum);
        assert_eq!(wanted.loop_wait, Duration::from_secs(5));
        assert_eq!(wanted.maximum_lag_on_failover, 16 << 20);

        let wanted =
            Wanted::of_config(&json!({"ttl": "x", "loop_wait": [], "standby_cluster": {}}));
        assert_eq!(wanted, Wanted::of_config(&Value::Null));
        assert_eq!(wanted.loop_wait, Duration::from_secs(10));
    }
}
