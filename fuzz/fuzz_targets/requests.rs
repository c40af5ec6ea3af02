//! Requests to the REST API.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pgherd_hostile::requests(bytes));
