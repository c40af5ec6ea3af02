//! Local configuration files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pgherd_hostile::local(bytes));
