//! What operators do in a random universe.

use crate::dice::Dice;

/// Changes of the dynamic configuration that never make it wrong.
const CONFIG: [&str; 9] = [
    "config ttl=30",
    "config ttl=20",
    "config loop_wait=3",
    "config maximum_lag_on_failover=16777216",
    "config check_timeline=true",
    "config primary_start_timeout=0",
    "config primary_start_timeout=300",
    "config failsafe_mode=true",
    "config failsafe_mode=null",
];

/// Tags that a member may get; the last one takes them away.
const TAGS: [&str; 4] = [
    "tags {} failover_priority=5",
    "tags {} nosync=true",
    "tags {} nofailover=true",
    "tags {}",
];

/// An order to the cluster or to a member. `None`: the dice want something that this cluster forbids.
/// A manual failover may lose what was acknowledged, so in synchronous mode there is none.
pub(super) fn order(dice: &mut Dice, who: &str, other: &str, synchronous: bool) -> Option<String> {
    Some(match dice.below(17) {
        0..3 => format!("switchover {who}"),
        3..6 if other != who => format!("switchover {who} to {other}"),
        6 if !synchronous => format!("failover to {who}"),
        7 | 8 => format!("restart {who}"),
        9 => format!("reinit {who}"),
        10 => format!("switchover {who} in 5s"),
        11 | 12 => (*dice.pick(&CONFIG)?).to_owned(),
        13 | 14 => dice.pick(&TAGS)?.replace("{}", who),
        _ => return None,
    })
}
