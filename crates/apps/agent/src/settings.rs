//! Settings that change under the agent: the local file, read again on demand, under `/config`.

use std::fmt;
use std::sync::Arc;

use pgherd_settings::{Loaded, Local, Settings};
use serde_json::{Map, Value};
use tracing::{error, info, warn};

/// Reads the local files again. The error is for people, and begins with where they are.
pub type ReadLocal = Box<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// The local settings, how to read them again, and the dynamic configuration over which they are laid.
pub struct SettingsSource {
    local: Local,
    read_local: Option<ReadLocal>,
    dynamic: Option<Value>,
    /// Whether that is the cluster's, and not `bootstrap.dcs`.
    is_known: bool,
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
            is_known: false,
            in_force: Arc::new(settings),
        }
    }

    /// With the copy of the dynamic configuration that was kept beside the data: it is newer than `bootstrap.dcs`, and
    /// goes before it until `/config` is read.
    #[must_use]
    pub fn with_kept(mut self, kept: Option<Map<String, Value>>) -> Self {
        if let Some(kept) = kept {
            self.dynamic = Some(Value::Object(kept));
            self.is_known = true;
            self.merge();
        }
        self
    }

    /// What is in force.
    pub fn in_force(&self) -> &Arc<Settings> {
        &self.in_force
    }

    /// The last good dynamic configuration; before the first one the kept copy, or else `bootstrap.dcs`.
    pub const fn dynamic(&self) -> Option<&Value> {
        self.dynamic.as_ref()
    }

    /// Whether [`Self::dynamic`] was read from `/config` or is the kept copy; `bootstrap.dcs` says nothing of a cluster that
    /// exists.
    pub const fn is_known(&self) -> bool {
        self.is_known
    }

    /// Takes `/config` in force. A missing or broken one leaves the last good one (contract §2.1).
    /// `true` when something changed.
    pub(crate) fn take_dynamic(&mut self, config: &Value) -> bool {
        self.is_known = true;
        if self.dynamic.as_ref() == Some(config) {
            return false;
        }
        self.dynamic = Some(config.clone());
        self.merge()
    }

    /// Reads the local files again. A file that can not be read leaves everything as it is. Without a change the
    /// settings are given out anew all the same: who reads files that they name, such as certificates, looks again.
    pub(crate) fn reload(&mut self) -> bool {
        let Some(read) = &self.read_local else {
            return false;
        };
        match read() {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    warn!("{warning}");
                }
                let (local, same_group) = loaded.local.in_the_group_of(&self.local);
                if !same_group {
                    warn!("section citus has changed: that counts after a restart of the agent");
                }
                if self.local.says_the_same_as(&local) {
                    info!("No local configuration items changed.");
                    self.in_force = Arc::new(Settings::clone(&self.in_force));
                    return false;
                }
                self.local = local;
                self.merge()
            }
            Err(faults) => {
                error!(
                    "Exception when reloading local configuration from {faults}\nThe old one stays"
                );
                false
            }
        }
    }

    fn merge(&mut self) -> bool {
        let (settings, warnings) = self.local.effective(self.dynamic.as_ref());
        for warning in warnings {
            warn!("{warning}");
        }
        let changed = *self.in_force != settings;
        self.in_force = Arc::new(settings);
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    const FILE: &str = "\
scope: demo
name: a
restapi: {listen: '*:8008', connect_address: 'h:8008'}
etcd3: {hosts: [e]}
bootstrap: {dcs: {loop_wait: 5, maximum_lag_on_failover: 5}}
postgresql:
  listen: '*:5432'
  connect_address: h:5432
  data_dir: /data
  authentication: {superuser: {username: s}, replication: {username: r}}
";

    fn source(kept: Option<&Value>) -> SettingsSource {
        let files = [("a.yml".to_owned(), FILE.to_owned())];
        let local = pgherd_settings::load(&files, &BTreeMap::new())
            .unwrap()
            .local;
        SettingsSource::new(local, None).with_kept(kept.and_then(Value::as_object).cloned())
    }

    #[test]
    fn a_reload_without_a_change_gives_the_settings_out_anew() {
        let files = [("a.yml".to_owned(), FILE.to_owned())];
        let read = move || {
            pgherd_settings::load(&files, &BTreeMap::new()).map_err(|faults| faults.to_string())
        };
        let mut source = SettingsSource::new(read().unwrap().local, Some(Box::new(read)));
        let before = Arc::clone(source.in_force());
        assert!(!source.reload());
        let after = source.in_force();
        assert!(!Arc::ptr_eq(&before, after) && before == *after);
    }

    #[test]
    fn another_group_of_citus_counts_after_a_restart_and_all_else_at_once() {
        let read = |more: &str| {
            let file = format!("{FILE}{more}");
            pgherd_settings::load(&[("a.yml".to_owned(), file)], &BTreeMap::new())
                .map_err(|faults| faults.to_string())
        };
        let citus = "citus: {group: 1, database: app}\n";
        for (before, after) in [
            (citus, ""),
            ("", citus),
            (citus, "citus: {group: 2, database: app}\n"),
        ] {
            let began = read(before).unwrap().local;
            let tags = format!("{after}tags: {{zone: x}}\n");
            let again: ReadLocal = Box::new(move || read(&tags));
            let mut source = SettingsSource::new(began, Some(again));
            let group = source.in_force().fixed.citus.clone();
            let wal = |source: &SettingsSource| {
                let controlled = &source.in_force().changing.postgresql.controlled;
                controlled.command_line["wal_level"].clone()
            };
            let level = wal(&source);
            assert!(source.reload());
            assert_eq!(source.in_force().fixed.citus, group);
            assert_eq!(wal(&source), level);
            let tags = &source.in_force().changing.tags.published;
            assert!(tags.contains_key("zone"));
        }
    }

    #[test]
    fn the_kept_configuration_goes_before_that_of_the_bootstrap_and_after_that_of_the_dcs() {
        let loop_wait = |source: &SettingsSource| {
            source
                .in_force()
                .changing
                .cluster
                .timing
                .loop_wait
                .as_secs()
        };
        assert_eq!(loop_wait(&source(None)), 5);
        let kept = json!({"loop_wait": 7});
        let mut after = source(Some(&kept));
        assert_eq!((loop_wait(&after), after.dynamic()), (7, Some(&kept)));
        let lag = after.in_force().changing.cluster.maximum_lag_on_failover;
        assert_eq!(lag, 1_048_576, "nothing of bootstrap.dcs shines through");
        assert!(after.take_dynamic(&json!({"loop_wait": 9})));
        assert_eq!(loop_wait(&after), 9);
    }
}
