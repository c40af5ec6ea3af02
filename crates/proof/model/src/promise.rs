//! What must hold in every state.

use stateright::Property;

use crate::rules::Herd;
use crate::state::{MEMBERS, Role, State};
use crate::step::Step;

/// At most one server accepts writes.
pub const TWO_WRITERS: &str = "at most one writer";
/// Whoever accepts writes has every acknowledged commit.
pub const LOST: &str = "no acknowledged commit is lost";
/// From every state a leader comes when no more faults happen.
pub const NO_LEADER: &str = "a leader comes";

/// All of them.
pub(crate) fn all() -> Vec<Property<Herd>> {
    vec![
        Property::always(TWO_WRITERS, |_, state: &State| writers(state).count() <= 1),
        Property::always(LOST, |_, state: &State| {
            writers(state).all(|it| state.acknowledged & !state.members[it].wal == 0)
        }),
        Property::always(NO_LEADER, |herd: &Herd, state: &State| {
            a_leader_comes(herd, state)
        }),
    ]
}

fn writers(state: &State) -> impl Iterator<Item = usize> {
    (0..MEMBERS).filter(|it| state.members[*it].role == Role::Primary)
}

/// Without further faults everybody does what it may, and time passes when nobody does: within some rounds a
/// primary holds the key. (A fair run, in the place of a proof over all fair runs.)
fn a_leader_comes(herd: &Herd, state: &State) -> bool {
    let mut state = state.clone();
    for _ in 0..ROUNDS {
        let served =
            writers(&state).any(|it| state.leader == Some(it) && state.members[it].leads());
        if served {
            return true;
        }
        let step = orderly().find(|step| herd.may(&state, *step));
        herd.perform(&mut state, step.unwrap_or(Step::Tick));
    }
    false
}

/// More rounds than any state needs.
const ROUNDS: usize = 40;

/// The steps that lead back to service, the most urgent first.
fn orderly() -> impl Iterator<Item = Step> {
    let each = |make: fn(usize) -> Step| (0..MEMBERS).map(make);
    [Step::Heal, Step::Expire]
        .into_iter()
        .chain(each(Step::Arrive))
        .chain(each(Step::Thaw))
        .chain(each(Step::Return))
        .chain(each(Step::Promote))
        .chain(each(Step::WriteSync))
        .chain(each(Step::Acquire))
}
