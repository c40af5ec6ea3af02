//! What scenarios do to the DCS: faults, and the keys that operators write.

use std::time::Duration;

use pgherd_domain::MemberName;
use pgherd_domain::documents::{FailoverDoc, Schedule};
use serde_json::Value;

use super::parse::{Dcs, Pairs};
use crate::clock::Pendulum;
use crate::store::Service;
use crate::world::State;

/// A fault of the DCS, or its end.
pub(super) fn on_dcs(state: &mut State, what: &Dcs) {
    let now = state.now;
    let breaks_its_word = match what {
        Dcs::Revoke(who) => state.store.leader() == Some(who.as_str()),
        Dcs::Delete(key) => key == "leader",
        Dcs::Wipe => true,
        Dcs::Down
        | Dcs::Silent
        | Dcs::Up
        | Dcs::Put(..)
        | Dcs::Slow(_)
        | Dcs::Behind(..)
        | Dcs::Unwatched(..) => false,
    };
    if breaks_its_word {
        excuse_leader(state);
    }
    match what {
        Dcs::Down => state.store.serve(now, Service::Refusing),
        Dcs::Silent => state.store.serve(now, Service::Silent),
        Dcs::Up => state.store.serve(now, Service::Up),
        Dcs::Wipe => state.store.wipe(),
        Dcs::Revoke(who) => state.store.revoke_early(who.as_str()),
        Dcs::Delete(key) => state.store.erase_by_hand(key),
        Dcs::Put(key, value) => state.store.write_by_hand(key, value),
        Dcs::Slow(most) => state.store.commit_takes = *most,
        Dcs::Behind(who, behind) => state.store.fall_behind(who, *behind),
        Dcs::Unwatched(who, true) => drop(state.store.unwatched.insert(who.clone())),
        Dcs::Unwatched(who, false) => drop(state.store.unwatched.remove(who)),
    }
}

/// The leader can not know that its lease or its key is about to go.
fn excuse_leader(state: &mut State) {
    let until = state.now + state.store.leading_ttl();
    let leader = state
        .store
        .leader()
        .and_then(|name| MemberName::new(name).ok());
    if let Some(host) = leader.and_then(|leader| state.hosts.get_mut(&leader)) {
        host.excused_until = until;
    }
}

/// Writes `/failover` as `patronictl` does.
pub(super) fn order(
    state: &mut State,
    from: Option<MemberName>,
    to: Option<MemberName>,
    after: Option<Duration>,
) {
    let scheduled_at = after.map(|after| {
        let exact = Pendulum::exact(Duration::ZERO);
        let at = exact.wall(state.now + after);
        Schedule { text: at.iso(), at }
    });
    let doc = FailoverDoc {
        leader: from,
        member: to,
        scheduled_at,
    };
    state.store.write_by_hand("failover", &doc.render());
}

/// Patches `/config` as `patronictl edit-config` does; without one there is nothing to patch.
pub(super) fn config(state: &mut State, pairs: &Pairs) {
    let old = state.store.value("config").map(serde_json::from_str);
    let Some(Ok(Value::Object(mut map))) = old else {
        return;
    };
    for (key, value) in pairs {
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.clone()));
        if value.is_null() {
            map.remove(key);
        } else {
            map.insert(key.clone(), value);
        }
    }
    state
        .store
        .write_by_hand("config", &Value::Object(map).to_string());
}
