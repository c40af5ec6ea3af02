//! The PostgreSQL port on real servers: what each work and each small change leaves behind.
#![expect(
    clippy::unwrap_used,
    reason = "what fails here fails the test, with the place where it did"
)]

mod bed;
mod bootstrap;
mod copying;
mod crash;
mod entry;
mod faults;
mod following;
mod hooks;
mod rejoining;
mod timeline_numbers;
