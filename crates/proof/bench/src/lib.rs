//! Benchmarks and the demo: they print figures, they never assert them.
//!
//! `figure` is what a benchmark yields and how it is shown; `outage`, `footprint` and `rest` measure; `phases` watches
//! a role change from outside; `peer` fetches Patroni for a comparison. The programs are in `bin/`.

pub mod figure;
pub mod footprint;
pub mod outage;
pub mod peer;
pub mod phases;
pub mod rest;
