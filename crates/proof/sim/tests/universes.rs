//! A fixed set of random universes: nothing that must hold breaks, and the same seed gives the same bytes.
//!
//! More of them: `cargo run -p pgherd-sim -- --seed 1000 --count 500`.

use std::time::Duration;

use pgherd_sim::scenario;
use pgherd_sim::universe::{self, Archive};

/// How long the faults of one universe go on.
const FAULTS: Duration = Duration::from_secs(5 * 60);

fn nothing_breaks_from(seed: u64) -> Result<(), String> {
    for seed in seed..seed + 10 {
        let report = universe::run(seed, FAULTS, Archive::Kept)?;
        let broken = &report.violations;
        assert!(
            broken.is_empty(),
            "{broken:#?}\nRepeat: cargo run -p pgherd-sim -- --seed {seed} --minutes 5 --transcript"
        );
        assert!(report.acknowledged > 0, "seed {seed} served nothing");
    }
    Ok(())
}

#[test]
fn nothing_breaks_in_the_first_ten() {
    nothing_breaks_from(1).unwrap();
}

#[test]
fn nothing_breaks_in_the_second_ten() {
    nothing_breaks_from(11).unwrap();
}

#[test]
fn nothing_breaks_in_the_third_ten() {
    nothing_breaks_from(21).unwrap();
}

#[test]
fn nothing_breaks_in_the_fourth_ten() {
    nothing_breaks_from(31).unwrap();
}

#[test]
fn nothing_breaks_in_the_fifth_ten() {
    nothing_breaks_from(41).unwrap();
}

#[test]
fn nothing_breaks_in_the_sixth_ten() {
    nothing_breaks_from(51).unwrap();
}

/// I-07: one seed is one universe.
#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in [2, 25, 301] {
        let [once, again] = [(); 2].map(|()| universe::run(seed, FAULTS, Archive::Kept).unwrap());
        assert_eq!(once.transcript, again.transcript, "seed {seed}");
        assert_eq!(once.commands, again.commands, "seed {seed}");
    }
}

#[test]
fn another_seed_is_another_universe() {
    let [one, other] = [1, 2].map(|seed| universe::run(seed, FAULTS, Archive::Kept).unwrap());
    assert_ne!(one.transcript, other.transcript);
}

/// What a seed found can be kept as a scenario: played as one, its commands give the same universe.
#[test]
fn a_universe_is_a_scenario() {
    let universe = universe::run(2, FAULTS, Archive::Kept).unwrap();
    let played = scenario::run(&universe.commands).unwrap();
    let without_times = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim_start);
        lines
            .filter_map(|line| Some(line.split_once(' ')?.1.trim_start().to_owned()))
            .collect()
    };
    assert_eq!(without_times(&played), without_times(&universe.transcript));
}
