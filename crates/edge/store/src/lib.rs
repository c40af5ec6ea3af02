//! The store that the settings name, opened behind its port. Nothing else tells one store from another.

mod groups;

use std::sync::Arc;
use std::time::Duration;

pub use groups::{OpenGroups, scope_of_group};
use pgherd_consul::{Consul, ConsulOptions};
use pgherd_domain::MemberName;
use pgherd_etcd::{Etcd, EtcdOptions};
use pgherd_etcd2::EitherEtcd;
use pgherd_kubernetes::{Kubernetes, KubernetesOptions, Surroundings};
use pgherd_ports::{OperatorDcs, Wake};
use pgherd_settings::Store;
use pgherd_zookeeper::{ZooKeeper, ZooKeeperOptions};

/// Which store, whose keys and how long things may take.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreOptions {
    /// The store, and how it is reached.
    pub store: Store,
    /// First part of every key; slashes around it do not matter (contract §4.1).
    pub namespace: String,
    /// The cluster's name, the second part of every key.
    pub scope: String,
    /// How long a lease lives without a renewal.
    pub ttl: Duration,
    /// The longest that one operation may take (contract §2.2).
    pub retry_timeout: Duration,
}

/// Takes up one cluster's prefix. `me` is the member whose lease this is; `None` for a client that only reads and
/// writes, which has no lease and watches nothing. `wake` is called on changes that a loop must look at (contract §4.8).
/// Nothing here fails because the store is down at the moment. To be called within a tokio runtime.
pub fn open(options: StoreOptions, me: Option<MemberName>, wake: Wake) -> Arc<dyn OperatorDcs> {
    let StoreOptions {
        store,
        namespace,
        scope,
        ttl,
        retry_timeout,
    } = options;
    match store {
        Store::Etcd(etcd) => {
            let old_api = etcd.old_api;
            let options = EtcdOptions {
                etcd,
                namespace,
                scope,
                ttl,
                retry_timeout,
            };
            match old_api {
                true => Arc::new(EitherEtcd::connect(options, me, wake)),
                false => Arc::new(Etcd::connect(options, me, wake)),
            }
        }
        Store::Consul(consul) => {
            let options = ConsulOptions {
                consul,
                namespace,
                scope,
                ttl,
                retry_timeout,
            };
            Arc::new(Consul::connect(options, me, wake))
        }
        Store::ZooKeeper(zookeeper) => {
            let options = ZooKeeperOptions {
                zookeeper,
                namespace,
                scope,
                ttl,
                retry_timeout,
            };
            Arc::new(ZooKeeper::connect(options, me, wake))
        }
        Store::Kubernetes(kubernetes) => {
            // The namespace of keys counts for nothing there: objects have Kubernetes' own (contract §2.4).
            let options = KubernetesOptions {
                kubernetes,
                surroundings: Surroundings::of_this_process(),
                scope,
                ttl,
                retry_timeout,
            };
            Arc::new(Kubernetes::connect(options, me, wake))
        }
    }
}
