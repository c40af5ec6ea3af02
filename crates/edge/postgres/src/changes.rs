//! What a change of the configuration files means for the server that runs (contract §3.3).

use std::collections::BTreeMap;

use pgherd_domain::LiveSeen;
use pgherd_pgconf::{is_recovery_setting, wanted_controlled};
use pgherd_settings::Settings;

use crate::connect::Door;
use crate::observe::ANSWER_PATIENCE;
use crate::server::LocalServer;

/// Of each parameter its value in force, and whether only a restart changes it.
type Running = BTreeMap<String, (String, bool)>;

impl LocalServer {
    /// One line for each parameter that changes from what an earlier file of ours had.
    pub(crate) async fn tell_changes(
        &self,
        held: &BTreeMap<String, String>,
        parameters: &BTreeMap<String, String>,
    ) {
        let changes = changes(held, parameters);
        if changes.is_empty() {
            return;
        }
        let running = self.running_values(&changes).await;
        for line in lines(&changes, &running) {
            tracing::info!("{line}");
        }
    }

    /// What the server says of the parameters that change; nothing while it does not answer.
    async fn running_values(&self, changes: &[Change<'_>]) -> Running {
        let Some(file) = self.running().await else {
            return Running::new();
        };
        let is_name = |name: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
            name.bytes().all(fits)
        };
        let names: Vec<String> = changes
            .iter()
            .filter(|change| is_name(change.name))
            .map(|change| format!("'{}'", change.name.to_ascii_lowercase()))
            .collect();
        let statement = format!(
            "SELECT COALESCE(json_object_agg(lower(name), json_build_array(current_setting(name), \
             context = 'postmaster')), '{{}}')::text FROM pg_settings WHERE lower(name) IN ({})",
            names.join(", ")
        );
        let door = Door::local(&self.settings(), Some(&file));
        let asked = self
            .heartbeat
            .ask_statement(door, file.pid, &statement, ANSWER_PATIENCE);
        let said = asked.await.unwrap_or_default();
        serde_json::from_str(&said).unwrap_or_default()
    }
}

/// A parameter, as the file had it and as it will have it; `None`: not at all.
#[derive(Debug, PartialEq, Eq)]
struct Change<'a> {
    name: &'a str,
    old: Option<&'a str>,
    new: Option<&'a str>,
}

/// Nothing where there was no file of ours before.
fn changes<'a>(
    held: &'a BTreeMap<String, String>,
    parameters: &'a BTreeMap<String, String>,
) -> Vec<Change<'a>> {
    if held.is_empty() {
        return Vec::new();
    }
    let is_told =
        |name: &str| !is_recovery_setting(name) && name != "hba_file" && name != "ident_file";
    let gone = held.keys().filter(|name| !parameters.contains_key(*name));
    let names = parameters.keys().chain(gone);
    names
        .filter(|name| is_told(name))
        .map(|name| Change {
            name,
            old: held.get(name).map(String::as_str),
            new: parameters.get(name).map(String::as_str),
        })
        .filter(|change| change.old != change.new)
        .collect()
}

/// Nothing of what the server runs with already.
fn lines(changes: &[Change<'_>], running: &Running) -> Vec<String> {
    let line = |change: &Change<'_>| {
        let Change { name, old, new } = change;
        let runs = running.get(&name.to_ascii_lowercase());
        let old = old.or_else(|| runs.map(|(value, _)| value.as_str()));
        let restart = if runs.is_some_and(|(_, postmaster)| *postmaster) {
            " (restart might be required)"
        } else {
            ""
        };
        let [old, new] = [old, *new].map(|value| value.unwrap_or("None"));
        (old != new).then(|| format!("Changed {name} from '{old}' to '{new}'{restart}"))
    };
    changes.iter().filter_map(line).collect()
}

/// Says so when parameters begin to wait for a restart with values that are not from our settings: somebody has used
/// ALTER SYSTEM, or edited an included file.
pub(crate) fn tell_foreign(before: &LiveSeen, now: &LiveSeen, settings: &Settings) {
    let foreign = foreign(&before.pending_restart, &now.pending_restart, settings);
    if !foreign.is_empty() {
        tracing::info!(
            "PostgreSQL configuration parameters requiring restart ({}) seem to be changed bypassing \
             Patroni config. Setting 'Pending restart' flag",
            foreign.join(", ")
        );
    }
}

fn foreign(
    before: &BTreeMap<String, (String, String)>,
    now: &BTreeMap<String, (String, String)>,
    settings: &Settings,
) -> Vec<String> {
    let ours = &settings.changing.postgresql.parameters;
    let controlled = wanted_controlled(settings);
    now.iter()
        .filter(|(name, _)| !before.contains_key(*name))
        .filter(|(name, (_, new))| {
            let wanted = controlled.get(*name).or_else(|| ours.get(*name));
            wanted != Some(new)
        })
        .map(|(name, _)| name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn changes_are_told_with_what_they_need() {
        let held = map(&[
            ("hba_file", "x"),
            ("max_connections", "100"),
            ("primary_conninfo", "x"),
            ("random_page_cost", "2"),
            ("work_mem", "4MB"),
        ]);
        let wanted = map(&[
            ("jit", "on"),
            ("max_connections", "200"),
            ("shared_buffers", "1GB"),
            ("work_mem", "4MB"),
        ]);
        let running = Running::from([
            ("jit".to_owned(), ("on".to_owned(), false)),
            ("max_connections".to_owned(), ("100".to_owned(), true)),
            ("random_page_cost".to_owned(), ("2".to_owned(), false)),
            ("shared_buffers".to_owned(), ("128MB".to_owned(), true)),
        ]);
        assert_eq!(
            lines(&changes(&held, &wanted), &running),
            [
                "Changed max_connections from '100' to '200' (restart might be required)",
                "Changed shared_buffers from '128MB' to '1GB' (restart might be required)",
                "Changed random_page_cost from '2' to 'None'",
            ]
        );
        assert!(changes(&map(&[]), &wanted).is_empty());
    }
}
