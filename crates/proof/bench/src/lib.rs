//! Benchmarks and the demo: they print figures, they never assert them.
//!
//! `figure` is what a benchmark yields and how it is shown; `outage`, `faults`, `pressure`, `footprint`, `rest`,
//! `copy` and `turn` measure; `load` tells how busy the machine was; `phases` watches a role change from outside; `peer` fetches Patroni
//! for a comparison. The programs are in `bin/`.

pub mod copy;
pub mod faults;
pub mod figure;
pub mod footprint;
pub mod load;
pub mod outage;
pub mod peer;
pub mod phases;
pub mod pressure;
pub mod rest;
pub mod turn;
