//! How many universes it takes to find a planted bug.

use pgherd_sim::planted::Planted;
use pgherd_sim::universe::{self, Kind};

use super::repeat;

/// Looks for the bug that is named, or for each of them, in `count` universes from seed 1 on.
///
/// # Errors
/// When there is no such bug, or a universe can not begin.
pub(super) fn hunt(name: &str, count: u64, kind: Kind) -> Result<(), String> {
    let all = Planted::all().iter().map(|(bug, _)| *bug);
    let bugs: Vec<Planted> = match name {
        "all" => all.collect(),
        name => vec![Planted::named(name)?],
    };
    for bug in bugs {
        let kind = Kind {
            planted: Some(bug),
            ..kind
        };
        match first(kind, count)? {
            Some((seed, what)) => println!(
                "{} found after {seed} seeds: {what}\n    {}",
                bug.name(),
                repeat(seed, kind)
            ),
            None => println!("{} not found in {count} universes", bug.name()),
        }
    }
    Ok(())
}

/// The first seed that shows it, and what broke.
fn first(kind: Kind, count: u64) -> Result<Option<(u64, String)>, String> {
    for seed in 1..=count {
        let report = universe::run(seed, kind);
        let report = report.map_err(|why| format!("seed {seed} did not begin: {why}"))?;
        if let Some(violation) = report.violations.first() {
            return Ok(Some((seed, violation.to_string())));
        }
    }
    Ok(None)
}
