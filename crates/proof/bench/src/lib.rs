//! Benchmarks and the demo: they print figures, they never assert them.
