//! Sorts `postgresql.parameters` into what all members must agree on, what is a recovery setting, and the
//! rest (contract §3.1, §3.2).

use std::collections::BTreeMap;

use super::RoleParameters;
use crate::Controlled;
use crate::controlled::is_controlled;
use crate::reader::Reader;
use crate::sections::delay;

/// Settings that belong into `recovery_conf`, of any version; which of them a server knows is for the writer
/// of its files to decide.
const RECOVERY: [&str; 18] = [
    "archive_cleanup_command",
    "pause_at_recovery_target",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
    "standby_mode",
    "trigger_file",
];

/// The setting of recovery that PostgreSQL may refuse.
const DELAY: &str = "recovery_min_apply_delay";
/// In a file this goes before `-D`: the server would run in another directory than the one that is looked after.
const FOLDER: &str = "data_directory";

/// Whether this is a setting of recovery. Names in lower case.
pub fn is_recovery_setting(name: &str) -> bool {
    RECOVERY.contains(&name)
}

/// The parameters, sorted.
pub(super) struct Sorted {
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) recovery_conf: BTreeMap<String, String>,
    pub(super) controlled: Controlled,
}

/// Reads `parameters` and `recovery_conf`; a setting given in both counts as `parameters` has it, as with Patroni.
pub(super) fn read(reader: &mut Reader<'_>) -> Sorted {
    let given = lower(reader.texts("postgresql.parameters"));
    let (controlled, messages) = Controlled::read(&given);
    messages.into_iter().for_each(|message| reader.say(message));
    let mut parameters = BTreeMap::new();
    let mut recovery_conf = lower(reader.texts("postgresql.recovery_conf"));
    let in_parameters = given.contains_key(DELAY);
    let own_folder = reader
        .text("postgresql.data_dir")
        .trim_end_matches('/')
        .to_owned();
    for (name, value) in given {
        if name == FOLDER {
            if value.trim_end_matches('/') != own_folder {
                let problem = "is left out: the server's directory is `postgresql.data_dir`";
                reader.warn("postgresql.parameters.data_directory", problem);
            }
        } else if is_recovery_setting(&name) {
            recovery_conf.insert(name, value);
        } else if !is_controlled(&name) {
            parameters.insert(name, value);
        }
    }
    if let Some(given) = recovery_conf.remove(DELAY) {
        let path = match in_parameters {
            true => format!("postgresql.parameters.{DELAY}"),
            false => format!("postgresql.recovery_conf.{DELAY}"),
        };
        let fitting = delay::fitting(reader, &path, &given);
        recovery_conf.extend(fitting.map(|delay| (DELAY.to_owned(), delay)));
    }
    Sorted {
        parameters,
        recovery_conf,
        controlled,
    }
}

/// Reads the parameters of each role; controlled ones are refused.
pub(super) fn read_roles(reader: &mut Reader<'_>) -> RoleParameters {
    let mut role = |path: &str| {
        let mut given = lower(reader.texts(path));
        given.retain(|name, _| {
            let refused = is_controlled(name) || name == FOLDER;
            if refused {
                let problem = "is left out: it must be the same in every role; set it under \
                               `postgresql.parameters` of the dynamic configuration";
                reader.warn(&format!("{path}.{name}"), problem);
            }
            !refused
        });
        given
    };
    RoleParameters {
        primary: role("postgresql.parameters_primary"),
        replica: role("postgresql.parameters_replica"),
        standby_leader: role("postgresql.parameters_standby_leader"),
    }
}

fn lower(given: BTreeMap<String, String>) -> BTreeMap<String, String> {
    given
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}
