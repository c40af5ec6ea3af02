//! Settings that change under the agent: the local file, read again on demand, under `/config`.

use std::fmt;
use std::sync::Arc;

use pgherd_settings::{Loaded, Local, Settings};
use serde_json::Value;
use tracing::{error, info, warn};

/// Reads the local files again. The error is for people.
pub type ReadLocal = Box<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// The local settings, how to read them again, and the dynamic configuration over which they are laid.
pub struct SettingsSource {
    local: Local,
    read_local: Option<ReadLocal>,
    dynamic: Option<Value>,
    in_force: Arc<Settings>,
}

impl fmt::Debug for SettingsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsSource")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl SettingsSource {
    /// Settings that start from `local`; without `read_local` a reload changes nothing.
    pub fn new(local: Local, read_local: Option<ReadLocal>) -> Self {
        let dynamic = Some(Value::Object(local.bootstrap_dynamic().clone()))
            .filter(|dynamic| dynamic.as_object().is_some_and(|map| !map.is_empty()));
        let (settings, _) = local.effective(dynamic.as_ref());
        Self {
            local,
            read_local,
            dynamic,
            in_force: Arc::new(settings),
        }
    }

    /// What is in force.
    pub fn in_force(&self) -> &Arc<Settings> {
        &self.in_force
    }

    /// The last good dynamic configuration; before the first one `bootstrap.dcs`.
    pub const fn dynamic(&self) -> Option<&Value> {
        self.dynamic.as_ref()
    }

    /// Takes `/config` in force. A missing or broken one leaves the last good one (contract §2.1).
    /// `true` when something changed.
    pub(crate) fn take_dynamic(&mut self, config: &Value) -> bool {
        if self.dynamic.as_ref() == Some(config) {
            return false;
        }
        self.dynamic = Some(config.clone());
        self.merge()
    }

    /// Reads the local files again. A file that can not be read leaves everything as it is.
    pub(crate) fn reload(&mut self) -> bool {
        let Some(read) = &self.read_local else {
            return false;
        };
        match read() {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    warn!("{warning}");
                }
                if self.local.says_the_same_as(&loaded.local) {
                    info!("No local configuration items changed.");
                    return false;
                }
                self.local = loaded.local;
                self.merge()
            }
            Err(faults) => {
                error!("Exception when reloading local configuration, the old one stays: {faults}");
                false
            }
        }
    }

    fn merge(&mut self) -> bool {
        let (settings, warnings) = self.local.effective(self.dynamic.as_ref());
        for warning in warnings {
            warn!("{warning}");
        }
        let follows = |settings: &Settings| settings.changing.cluster.standby_cluster.is_some();
        if follows(&settings) && !follows(&self.in_force) {
            warn!(
                "standby_cluster is set, and this version runs no standby clusters: this member will not \
                 become leader"
            );
        }
        let changed = *self.in_force != settings;
        self.in_force = Arc::new(settings);
        changed
    }
}
