//! The words of pgherd: values that every other crate speaks in.
