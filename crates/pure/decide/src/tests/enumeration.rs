//! All small worlds: what must hold of every decision, whatever is seen.

use pgherd_domain::{Action, DataDirectory, StartAs, Work};
use pgherd_guard::check;

use super::build::World;
use super::worlds::{Failsafe, Key, Order, Point, points};
use crate::{Decision, decide};

/// So many worlds there are at least for each holder of the key.
const MANY: usize = 90_000;
/// So many turns with nothing new may follow at once before one has to sleep.
const RESTLESS_MAX: usize = 3;

#[test]
fn every_world_without_leader_is_decided_safely() {
    assert!(go_through(Key::Nobody) > MANY);
}

#[test]
fn every_world_with_my_key_is_decided_safely() {
    assert!(go_through(Key::Mine) > MANY);
}

#[test]
fn every_world_with_my_name_in_the_key_is_decided_safely() {
    assert!(go_through(Key::MyName) > MANY);
}

#[test]
fn every_world_with_another_leader_is_decided_safely() {
    assert!(go_through(Key::Theirs("b")) > MANY);
    assert!(go_through(Key::Theirs("c")) > MANY);
}

fn go_through(key: Key) -> usize {
    let mut count = 0;
    for point in points(key) {
        let world = point.world();
        let decision = decide(&world.spec, world.memory.clone(), &world.seen);
        if let Err(fault) = judge(point, &world, &decision) {
            panic!(
                "{fault}\n{point:?}\n{:#?}\n{}",
                decision.effects(),
                decision.says()
            );
        }
        count += 1;
    }
    count
}

fn judge(point: Point, world: &World, decision: &Decision) -> Result<(), String> {
    nothing_is_held_back(world, decision)?;
    a_primary_needs_the_lease(point, decision)?;
    a_promise_and_a_missing_fence_bar_from_leading(point, world, decision)?;
    data_need_a_leader_to_be_replaced(point, world, decision)?;
    the_key_goes_after_the_writes(point, world, decision)?;
    a_primary_without_lease_does_not_go_on(point, world, decision)?;
    a_pause_lets_things_be(point, world, decision)?;
    it_says_why_and_sleeps(world, decision)
}

fn nothing_is_held_back(world: &World, decision: &Decision) -> Result<(), String> {
    let (_, notes) = check(&world.spec, &world.seen, decision.actions.clone());
    if notes.is_empty() {
        Ok(())
    } else {
        Err(format!("held back: {notes:?}"))
    }
}

fn a_primary_needs_the_lease(point: Point, decision: &Decision) -> Result<(), String> {
    let makes_primary = decision.any(|action| {
        matches!(
            action,
            Action::Begin(
                Work::Promote { .. }
                    | Work::Start {
                        start_as: StartAs::Primary { .. },
                        ..
                    }
            )
        )
    });
    let others = point.somebody_else_leads() || (!point.silent && point.key == Key::Nobody);
    if makes_primary && (!point.lease_is_mine() || others) {
        return Err("makes a primary without the lease".into());
    }
    if decision.does(&Action::AcquireLeader) && point.somebody_else_leads() {
        return Err("wants a key that somebody holds".into());
    }
    Ok(())
}

/// Whoever promised not to race, or has no fence beside it, does not begin to lead; and in failsafe mode nobody
/// races whom the leader would not have asked.
fn a_promise_and_a_missing_fence_bar_from_leading(
    point: Point,
    world: &World,
    decision: &Decision,
) -> Result<(), String> {
    let takes = decision.does(&Action::AcquireLeader);
    let begins = takes
        || decision.any(|action| {
            matches!(
                action,
                Action::Begin(
                    Work::Promote { .. }
                        | Work::Start {
                            start_as: StartAs::Primary { .. },
                            ..
                        }
                )
            )
        });
    let primary = world.seen.postgres.runs_as_primary();
    if point.pause || primary {
        return Ok(());
    }
    if point.failsafe == Failsafe::Promised && begins {
        return Err("begins to lead although it promised not to".into());
    }
    if point.unfenced && begins {
        return Err("begins to lead without a fence".into());
    }
    if point.failsafe == Failsafe::Unlisted && point.key == Key::Nobody && takes {
        return Err("races though no leader would have asked it".into());
    }
    Ok(())
}

fn data_need_a_leader_to_be_replaced(
    point: Point,
    world: &World,
    decision: &Decision,
) -> Result<(), String> {
    let replaces = match decision.begins() {
        Some(Work::Clone { .. } | Work::Rewind { .. }) => true,
        Some(Work::Bootstrap) => return Err("bootstraps although initialize is not its own".into()),
        _ => false,
    };
    let fine = point.somebody_else_leads() && !world.seen.postgres.is_running();
    if replaces && !fine {
        return Err("replaces data without a leader to take them from".into());
    }
    if replaces && world.spec.pause {
        return Err("replaces data in pause".into());
    }
    Ok(())
}

fn the_key_goes_after_the_writes(
    point: Point,
    world: &World,
    decision: &Decision,
) -> Result<(), String> {
    let gives = decision.any(|action| {
        matches!(
            action,
            Action::ReleaseLeader { .. } | Action::HandOver { .. }
        )
    });
    if gives && world.seen.postgres.runs_as_primary() && !point.pause {
        return Err("gives the key away while it accepts writes".into());
    }
    Ok(())
}

/// Once the store says that somebody else leads, a primary is being stopped. With nobody leading it is
/// stopped, takes the key, or waits for answers that are on their way, never longer than the lease would
/// let it.
fn a_primary_without_lease_does_not_go_on(
    point: Point,
    world: &World,
    decision: &Decision,
) -> Result<(), String> {
    let writes = world.seen.postgres.runs_as_primary() && !point.pause;
    if !writes || point.silent {
        return Ok(());
    }
    let stops = matches!(decision.begins(), Some(Work::Stop { .. }))
        || matches!(world.seen.work.running, Some((Work::Stop { .. }, ..)));
    if point.somebody_else_leads() {
        return if stops {
            Ok(())
        } else {
            Err("goes on although somebody else leads".into())
        };
    }
    let claims = decision.does(&Action::AcquireLeader);
    let waits = decision.wake_at <= world.seen.now.plus(world.spec.ttl / 4);
    if point.lease_is_mine() || stops || claims || waits {
        Ok(())
    } else {
        Err("goes on without a lease".into())
    }
}

fn a_pause_lets_things_be(point: Point, world: &World, decision: &Decision) -> Result<(), String> {
    let ordered = point.order != Order::None || world.memory.switching.is_some();
    let leads = point.lease_is_mine() && point.key == Key::Mine;
    match decision.begins() {
        Some(Work::Promote { .. } | Work::Checkpoint | Work::Stop { .. })
            if point.pause && !(ordered && leads) =>
        {
            Err("acts by itself in pause".into())
        }
        Some(Work::Start { .. } | Work::CrashRecovery)
            if point.pause && world.memory.switching.is_none() =>
        {
            Err("starts PostgreSQL in pause".into())
        }
        _ if point.pause
            && matches!(world.seen.postgres.data, DataDirectory::Empty)
            && decision.begins().is_some() =>
        {
            Err("fills an empty directory in pause".into())
        }
        _ => Ok(()),
    }
}

fn it_says_why_and_sleeps(world: &World, decision: &Decision) -> Result<(), String> {
    if decision.because.is_empty() || decision.line().is_empty() {
        return Err("gives no reason".into());
    }
    let begun = decision
        .actions
        .iter()
        .filter(|action| matches!(action, Action::Begin(_)))
        .count();
    if begun > 1 {
        return Err("begins two works".into());
    }
    let now = world.seen.now;
    let mut last = decision.clone();
    for _ in 0..RESTLESS_MAX {
        if last.wake_at > now {
            return Ok(());
        }
        let next = decide(&world.spec, last.memory.clone(), &world.seen);
        if next.memory == last.memory && next.wake_at <= now {
            return Err("turns again at once with nothing changed".into());
        }
        last = next;
    }
    Err("does not come to rest".into())
}
