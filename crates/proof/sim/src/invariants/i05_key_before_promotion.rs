//! I-05: nobody is promoted, or started to accept writes, without holding the leader key. In pause an
//! operator may restart a primary that has none; nobody can know of a lease that the DCS ended before its
//! time; and in failsafe mode the promises of everybody else who is listed stand for a key that ran out.

use pgherd_domain::MemberName;

use crate::world::State;

/// What is said of a promotion.
pub(super) const PROMOTED: &str = "is promoted";

pub(super) fn check(state: &mut State, name: &MemberName, what: &str) {
    let holder = state.store.leader();
    let paused = state
        .store
        .value("config")
        .is_some_and(|config| config.contains("\"pause\":true"));
    let excused = state.now < state.host(name).excused_until;
    let promised = holder.is_none() && everybody_promised(state, name);
    if excused || promised || holder == Some(name.as_str()) || (paused && what != PROMOTED) {
        return;
    }
    let holder = holder.unwrap_or("nobody").to_owned();
    state.violated(
        "I-05",
        format!("{name} {what} while {holder} holds the leader key"),
    );
}

/// Whether nobody can take the key before `name` hears of it: all that are listed have written a promise to it
/// down that lasts, by their own clocks.
fn everybody_promised(state: &State, name: &MemberName) -> bool {
    let listed = state.store.failsafe();
    listed.contains_key(name.as_str())
        && listed
            .keys()
            .filter(|other| *other != name.as_str())
            .all(|other| {
                MemberName::new(other).is_ok_and(|other| {
                    let host = state.host(&other);
                    let now = host.pendulum.moment(state.now);
                    host.promises.get(name).is_some_and(|until| now < *until)
                })
            })
}
