//! The groups of a Citus cluster, each below a prefix of its own (contract §4.1), as clients without a lease read them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pgherd_domain::ClusterView;
use pgherd_ports::{DcsError, Groups, OperatorDcs, Wake};
use pgherd_settings::Store;

use crate::{StoreOptions, open};

/// The scope under which a group of `scope` has its keys.
pub fn scope_of_group(scope: &str, group: u32) -> String {
    format!("{scope}/{group}")
}

/// The groups of one cluster. A connection is made for each when it is first asked for, and kept.
pub struct OpenGroups {
    options: StoreOptions,
    /// The cluster's own prefix, below which the groups are.
    whole: Arc<dyn OperatorDcs>,
    opened: Mutex<BTreeMap<u32, Arc<dyn OperatorDcs>>>,
}

impl fmt::Debug for OpenGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenGroups")
            .field("scope", &self.options.scope)
            .finish_non_exhaustive()
    }
}

impl OpenGroups {
    /// The groups of the cluster that `options` name, without a group in their scope. To be called within a tokio runtime.
    pub fn new(options: StoreOptions) -> Self {
        Self {
            whole: open(options.clone(), None, Wake::new()),
            options,
            opened: Mutex::default(),
        }
    }

    fn group(&self, group: u32) -> Arc<dyn OperatorDcs> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let made = opened.entry(group).or_insert_with(|| {
            let options = StoreOptions {
                scope: scope_of_group(&self.options.scope, group),
                ..self.options.clone()
            };
            open(options, None, Wake::new())
        });
        Arc::clone(made)
    }
}

#[async_trait]
impl Groups for OpenGroups {
    async fn list(&self) -> Result<Vec<u32>, DcsError> {
        self.whole.groups().await
    }

    async fn load(&self, group: u32) -> Result<ClusterView, DcsError> {
        self.group(group).load().await
    }

    fn configure(&self, store: &Store) {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        for dcs in opened.values().chain([&self.whole]) {
            dcs.configure(store);
        }
    }
}
