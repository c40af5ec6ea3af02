//! The simulator: the real turn on a simulated DCS, PostgreSQL, network and clocks. One seed is one universe.
