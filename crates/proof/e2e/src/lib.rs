//! End-to-end suites on the testbed.
