//! The part of the API of Kubernetes that a store of a cluster's state uses, honest about what matters to it: versions and
//! conflicts, patches, lists by labels, watches with bookmarks that become too old. Nothing is behind it: no pod runs.
//!
//! It is tried by the same tests as a real API server, where there is one (`scripts/kube-apiserver.sh`).
//!
//! Read in this order: `state` (objects, versions, what happened), `merge` (patches), `selector`, `route` (requests), `watching`
//! (the stream of a watch), `reply` (what a test lets go wrong) and `serve` (connections, TLS).

mod merge;
mod reply;
mod route;
mod selector;
mod serve;
mod state;
mod watching;

pub use serve::{KubeApi, Options, Verdict};
