//! Some universes, one after the other.

use pgherd_sim::universe;

use super::{MANY, Wanted, tell_broken};

/// # Errors
/// When one breaks, or can not begin.
pub(super) fn run(wanted: &Wanted) -> Result<(), String> {
    let (seed, count) = match (wanted.seed, wanted.count) {
        (None, None) => (1, MANY),
        (seed, count) => (seed.unwrap_or(1), count.unwrap_or(1)),
    };
    let (mut acknowledged, mut promotions, mut broken) = (0, 0, 0);
    for seed in seed..seed + count {
        let report = universe::run(seed, wanted.kind)
            .map_err(|why| format!("seed {seed} did not begin: {why}"))?;
        acknowledged += report.acknowledged;
        promotions += report.promotions;
        if wanted.commands {
            print!("{}", report.commands);
        }
        if wanted.transcript {
            print!("{}", report.transcript);
        }
        if !report.violations.is_empty() {
            broken += 1;
            tell_broken(seed, wanted.kind, &report);
        }
    }
    println!(
        "{count} universes, {promotions} promotions, {acknowledged} acknowledged commits, {broken} broken"
    );
    if broken == 0 {
        Ok(())
    } else {
        Err(format!("{broken} universes broke what must hold"))
    }
}
