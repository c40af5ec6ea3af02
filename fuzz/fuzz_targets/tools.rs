//! Output of PostgreSQL's tools.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pgherd_hostile::tools(bytes));
