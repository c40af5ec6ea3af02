//! `pgherd_dr`: what operators ordered for this region and another one, as far as members act on it.

use serde_json::Value;

use crate::TimelineId;

/// The newest order by which this region is to become the primary one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionOrder {
    /// `dr switchover`: the other region is a standby by now, and stays one.
    Switchover {
        /// The timeline of the other region's last record; `None` when the order does not say it.
        from: Option<TimelineId>,
    },
    /// `dr failover`: what the other region does is not known.
    Failover {
        /// The timeline that this region was on; `None`: it was not known, and the order is not done.
        from: Option<TimelineId>,
    },
}

impl RegionOrder {
    /// Reads the key, a list with the newest entry last. `None`: nothing there promotes this region.
    pub fn newest(list: &Value) -> Option<Self> {
        let entry = list.as_array()?.last()?;
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let timeline = |key: &str| {
            let at = entry.get(key).and_then(|at| at.get("timeline"));
            let number = at.and_then(Value::as_u64).and_then(|it| it.try_into().ok());
            number.map(TimelineId)
        };
        match (text("what"), text("state")) {
            ("switchover", "promoting") => Some(Self::Switchover {
                from: timeline("last record"),
            }),
            ("failover", state) => {
                let from = timeline("promoted with");
                (from.is_some() || state != "done").then_some(Self::Failover { from })
            }
            (_, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_entry_counts() {
        let switchover = |state| json!({"at": "x", "what": "switchover", "state": state});
        let newest = |list| RegionOrder::newest(&list);
        assert_eq!(newest(json!([])), None);
        assert_eq!(newest(json!({"what": "failover"})), None);
        assert_eq!(newest(json!([switchover("begun")])), None);
        assert_eq!(
            newest(json!([switchover("promoting"), switchover("done")])),
            None
        );
        let promoting = |last: Value| {
            let order = json!({"what": "switchover", "state": "promoting", "last record": last});
            newest(json!([switchover("done"), order]))
        };
        let from = Some(TimelineId(4));
        let at = json!({"timeline": 4, "lsn": "0/5000000"});
        assert_eq!(promoting(at), Some(RegionOrder::Switchover { from }));
        let unknown = Some(RegionOrder::Switchover { from: None });
        assert_eq!(promoting(json!("unknown")), unknown);
    }

    #[test]
    fn a_failover_counts_for_the_timeline_that_it_left() {
        let failover = |with: Value, state| {
            RegionOrder::newest(
                &json!([{"what": "failover", "promoted with": with, "state": state}]),
            )
        };
        let at = json!({"timeline": 3, "lsn": "0/5000000"});
        let from = Some(TimelineId(3));
        assert_eq!(
            failover(at.clone(), "begun"),
            Some(RegionOrder::Failover { from })
        );
        assert_eq!(failover(at, "done"), Some(RegionOrder::Failover { from }));
        let unknown = Some(RegionOrder::Failover { from: None });
        assert_eq!(failover(json!("unknown"), "begun"), unknown);
        assert_eq!(
            failover(json!("unknown"), "done"),
            None,
            "or every later promotion would count"
        );
    }
}
