//! The DCS port on objects of Kubernetes, with the annotations and labels that Patroni gives them (contract §4.9).
//!
//! Read in this order: `options` (what it is told), `store` (one cluster's objects, and the port), then what a store does:
//! `view` reads all of it, `write` writes, `leader` takes and gives the key, `renew` keeps it, `reign` says whether it is
//! mine, `member` keeps the pod, `watch` wakes the loop. Below them `documents` and `marks` are what keys look like as
//! annotations, `record` is the leader's lease as others see it, `names` what objects are called, `body` what is sent. At the
//! bottom `ask` repeats what was not answered, `api` and `http` speak to an API server, `place` and `kubeconfig` find it.

mod api;
mod ask;
mod body;
mod bypass;
mod documents;
mod fault;
mod http;
mod kubeconfig;
mod leader;
mod marks;
mod member;
mod names;
mod object;
mod options;
mod pace;
mod place;
mod pod;
mod record;
mod reign;
mod renew;
mod store;
mod tls;
mod view;
mod watch;
mod write;

pub use options::{KubernetesOptions, Surroundings};
pub use store::Kubernetes;
