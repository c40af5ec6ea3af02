//! All states of the model: as it is nothing breaks; without any one ingredient something does.

use pgherd_model::{Bounds, Herd, LOST, TWO_WRITERS, Without};
use stateright::{Checker, HasDiscoveries, Model};

/// Who writes: a renewal takes its time, and there is nothing to lose.
const WRITERS: Bounds = Bounds {
    commits: 0,
    faults: 2,
    promises: false,
    slow_renewals: true,
    slow_sync: false,
    upkeep: 0,
};
/// What is lost: commits and `/sync`, and renewals at once.
const COMMITS: Bounds = Bounds {
    commits: 1,
    faults: 2,
    promises: false,
    slow_renewals: false,
    slow_sync: false,
    upkeep: 0,
};
/// The same with a store that compares one key at a time. Leases end and writes are late without any fault.
const ONE_KEY: Bounds = Bounds {
    faults: 0,
    slow_sync: true,
    upkeep: 3,
    ..COMMITS
};
const PROMISES: Bounds = Bounds {
    commits: 0,
    faults: 2,
    promises: true,
    slow_renewals: false,
    slow_sync: false,
    upkeep: 0,
};

fn checked(without: Without, bounds: Bounds, until: HasDiscoveries) -> impl Checker<Herd> {
    Herd { without, bounds }
        .checker()
        .threads(2)
        .finish_when(until)
        .spawn_bfs()
        .join()
}

#[test]
fn nobody_writes_beside_another() {
    let checker = checked(Without::Nothing, WRITERS, HasDiscoveries::AnyFailures);
    checker.assert_properties();
    println!("{} states", checker.unique_state_count());
}

#[test]
fn no_commit_is_lost() {
    let checker = checked(Without::Nothing, COMMITS, HasDiscoveries::AnyFailures);
    checker.assert_properties();
    println!("{} states", checker.unique_state_count());
}

#[test]
fn no_commit_is_lost_where_the_store_can_not_see_who_leads() {
    let checker = checked(Without::Nothing, ONE_KEY, HasDiscoveries::AnyFailures);
    checker.assert_properties();
    println!("{} states", checker.unique_state_count());
}

#[test]
fn nothing_breaks_with_promises() {
    let checker = checked(Without::Nothing, PROMISES, HasDiscoveries::AnyFailures);
    checker.assert_properties();
    println!("{} states", checker.unique_state_count());
}

fn breaks(without: Without, bounds: Bounds, promise: &'static str) {
    let until = HasDiscoveries::AnyOf([promise].into());
    let checker = checked(without, bounds, until);
    let path = checker.assert_any_discovery(promise);
    println!("{without:?}: {:?}", path.into_actions());
}

#[test]
fn without_a_fence_there_are_two_writers() {
    breaks(Without::Fence, WRITERS, TWO_WRITERS);
}

#[test]
fn a_lease_that_counts_from_the_answer_lasts_too_long() {
    breaks(Without::BeforeSending, WRITERS, TWO_WRITERS);
}

#[test]
fn a_key_that_is_taken_from_its_holder_makes_two_writers() {
    breaks(Without::FreeKey, WRITERS, TWO_WRITERS);
}

#[test]
fn whoever_is_not_in_sync_lacks_commits() {
    breaks(Without::SyncInRace, COMMITS, LOST);
}

#[test]
fn a_promotion_without_sync_leaves_who_lacks_its_commits_in_there() {
    breaks(Without::SyncBeforePromotion, COMMITS, LOST);
}

#[test]
fn sync_shrinks_before_the_setting() {
    breaks(Without::SyncShrinksFirst, COMMITS, LOST);
}

#[test]
fn sync_grows_only_by_who_has_caught_up() {
    breaks(Without::CaughtUp, COMMITS, LOST);
}

#[test]
fn a_write_of_sync_that_was_overtaken_must_fail() {
    breaks(Without::SyncUnchanged, ONE_KEY, LOST);
}

#[test]
fn a_write_of_sync_that_may_still_arrive_is_overtaken_first() {
    breaks(Without::Overtaking, ONE_KEY, LOST);
}

#[test]
fn who_has_the_key_writes_sync_also_when_it_is_its_own() {
    breaks(Without::SyncOfThisReign, ONE_KEY, LOST);
}

#[test]
fn a_promise_must_bind() {
    breaks(Without::BindingPromise, PROMISES, TWO_WRITERS);
}

#[test]
fn a_promise_must_outlive_the_agent() {
    breaks(Without::WrittenPromise, PROMISES, TWO_WRITERS);
}
