//! The `pgherd` binary: reads the command line and wires the crates together.

fn main() {}
