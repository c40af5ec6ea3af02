//! The keys of one cluster, as every store holds them (contract §4.1): where they lie, what they make of a cluster, and
//! which changes of them wake the loop. What is a store's own is in its crate.

mod event;
mod prefix;
mod view;

pub use event::Event;
pub use prefix::Prefix;
pub use view::{Item, cluster};
