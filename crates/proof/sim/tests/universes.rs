//! A fixed set of random universes, and some that the clock picks: nothing that must hold breaks, and the same
//! seed gives the same bytes.
//!
//! More of them: `make sim MINUTES=10`.

use std::time::Duration;

use pgherd_ports::{Clock, SystemClock};
use pgherd_sim::scenario;
use pgherd_sim::universe::{self, Kind};

/// Five minutes of faults.
const KIND: Kind = Kind::lasting(Duration::from_secs(5 * 60));

fn nothing_breaks_from(seed: u64) -> Result<(), String> {
    for seed in seed..seed + 10 {
        let report = universe::run(seed, KIND)?;
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

/// Seeds that nobody has seen before: each run of the tests looks at some more universes.
#[test]
fn nothing_breaks_from_a_seed_of_the_clock() {
    let seed = SystemClock.wall().as_micros().unsigned_abs();
    nothing_breaks_from(seed).unwrap();
}

/// I-07: one seed is one universe.
#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in [2, 25, 301] {
        let [once, again] = [(); 2].map(|()| universe::run(seed, KIND).unwrap());
        assert_eq!(once.transcript, again.transcript, "seed {seed}");
        assert_eq!(once.commands, again.commands, "seed {seed}");
    }
}

#[test]
fn another_seed_is_another_universe() {
    let [one, other] = [1, 2].map(|seed| universe::run(seed, KIND).unwrap());
    assert_ne!(one.transcript, other.transcript);
}

/// What a seed found can be kept as a scenario: played as one, its commands give the same universe.
#[test]
fn a_universe_is_a_scenario() {
    let universe = universe::run(2, KIND).unwrap();
    let played = scenario::run(&universe.commands).unwrap();
    let without_times = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim_start);
        lines
            .filter_map(|line| Some(line.split_once(' ')?.1.trim_start().to_owned()))
            .collect()
    };
    assert_eq!(without_times(&played), without_times(&universe.transcript));
}
