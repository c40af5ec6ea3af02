//! One rule, one test: the smallest observation that shows it.
