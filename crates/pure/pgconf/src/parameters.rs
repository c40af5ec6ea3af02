//! Which parameters hold: in the file by role, and on the postmaster's command line (contract §3.1, §3.2).

use std::collections::BTreeMap;

use pgherd_domain::{PgRole, SyncMode};
use pgherd_settings::Settings;

use crate::{ControlLimits, is_recovery_setting};

/// Whose overrides apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleSection {
    /// `parameters_primary`, `pg_hba_primary` ...
    Primary,
    /// `parameters_replica` ...
    Replica,
    /// `parameters_standby_leader` ...
    StandbyLeader,
}

impl RoleSection {
    /// The section of a role; `None` for roles between two others, in which nothing is rewritten.
    pub const fn of(role: PgRole) -> Option<Self> {
        match role {
            PgRole::Primary => Some(Self::Primary),
            PgRole::StandbyLeader => Some(Self::StandbyLeader),
            PgRole::Replica => Some(Self::Replica),
            PgRole::Demoted | PgRole::Promoted | PgRole::Uninitialized => None,
        }
    }
}

/// Who says what `synchronous_standby_names` is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StandbyNames {
    /// The operator, while `synchronous_mode` is off; nobody otherwise.
    #[default]
    Users,
    /// The agent: this value.
    Agents(String),
}

/// All parameters of the generated postgresql.conf but recovery settings.
pub fn file_parameters(
    settings: &Settings,
    role: RoleSection,
    names: &StandbyNames,
) -> BTreeMap<String, String> {
    let pg = &settings.changing.postgresql;
    let overrides = match role {
        RoleSection::Primary => &pg.role_parameters.primary,
        RoleSection::Replica => &pg.role_parameters.replica,
        RoleSection::StandbyLeader => &pg.role_parameters.standby_leader,
    };
    let mut all = pg.parameters.clone();
    all.extend(
        overrides
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    all.retain(|name, _| !is_recovery_setting(name));
    if role != RoleSection::Primary && !restores(settings) {
        // After a first attempt that comes too early, streaming begins at the next one: not five seconds
        // later, as is the default. An archive would be asked as often, so only where there is none.
        all.entry("wal_retrieve_retry_interval".into())
            .or_insert_with(|| "500ms".into());
    }
    if let Some(budget) = pg.slot_budget {
        // PostgreSQL counts in megabytes, and 0 would keep nothing.
        let megabytes = (budget / (1024 * 1024)).max(1);
        all.insert("max_slot_wal_keep_size".into(), format!("{megabytes}MB"));
    }
    all.insert("wal_keep_size".into(), pg.controlled.wal_keep_size.clone());
    all.extend(wanted_controlled(settings));
    let agent_owns = settings.changing.cluster.synchronous_mode != SyncMode::Off;
    match names {
        StandbyNames::Agents(names) => {
            all.insert("synchronous_standby_names".into(), names.clone());
        }
        StandbyNames::Users if agent_owns => {
            all.remove("synchronous_standby_names");
        }
        StandbyNames::Users => {}
    }
    all
}

/// WAL may come from an archive.
fn restores(settings: &Settings) -> bool {
    let remote = settings.changing.cluster.standby_cluster.as_ref();
    let own = &settings.changing.postgresql.recovery_conf;
    own.contains_key("restore_command") || remote.is_some_and(|it| it.restore_command.is_some())
}

/// The controlled parameters as they are wanted, with the three that each member forces.
pub fn wanted_controlled(settings: &Settings) -> BTreeMap<String, String> {
    let pg = &settings.changing.postgresql;
    let mut all = pg.controlled.command_line.clone();
    all.insert("listen_addresses".into(), pg.listen.listen_addresses());
    all.insert("port".into(), pg.listen.port.to_string());
    all.insert("cluster_name".into(), settings.fixed.scope.clone());
    all
}

/// The postmaster's options after `-D DIR`: the configuration file, then every controlled parameter as
/// `--name=value`. On a standby those that replay depends on are not below what `limits` says.
pub fn command_line(settings: &Settings, limits: Option<&ControlLimits>) -> Vec<String> {
    let place = &settings.fixed.place;
    let file = place
        .config_dir
        .join(format!("{}.conf", place.config_base_name));
    let mut wanted = wanted_controlled(settings);
    for (name, least) in limits.iter().flat_map(|limits| limits.least()) {
        let value = wanted.get(name).and_then(|value| value.parse::<u64>().ok());
        if value.is_some_and(|value| value < least) {
            wanted.insert(name.to_owned(), least.to_string());
        }
    }
    let mut options = vec![format!("--config-file={file}")];
    options.extend(
        wanted
            .iter()
            .map(|(name, value)| format!("--{name}={value}")),
    );
    options
}

#[cfg(test)]
pub(crate) mod samples {
    //! Settings for tests.

    use camino::Utf8PathBuf;
    use pgherd_domain::MemberName;
    use pgherd_settings::{
        Bootstrap, ChangingSettings, Etcd, FixedSettings, PostgresPlace, ProgramNames, Settings,
        Store,
    };

    /// A member `pg1` of the cluster `herd` in `/data`.
    pub(crate) fn settings() -> Settings {
        let data_dir = Utf8PathBuf::from("/data");
        Settings {
            fixed: FixedSettings {
                name: MemberName::new("pg1").unwrap(),
                scope: "herd".into(),
                namespace: "/service/".into(),
                store: Store::Etcd(Etcd::default()),
                bootstrap: Bootstrap::default(),
                place: PostgresPlace {
                    config_dir: data_dir.clone(),
                    data_dir,
                    config_base_name: "postgresql".into(),
                    bin_dir: None,
                    bin_name: ProgramNames::default(),
                    pgpass: None,
                    database: "postgres".into(),
                    krbsrvname: None,
                },
                citus: None,
            },
            changing: ChangingSettings::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samples::settings;

    #[test]
    fn a_role_overrides_and_controlled_parameters_win() {
        let mut settings = settings();
        let pg = &mut settings.changing.postgresql;
        let mut set = |name: &str, value: &str| {
            pg.parameters.insert(name.to_owned(), value.to_owned());
        };
        set("work_mem", "4MB");
        set("max_connections", "7");
        set("restore_command", "x");
        set("synchronous_standby_names", "mine");
        let replica = &mut pg.role_parameters.replica;
        replica.insert("work_mem".into(), "64MB".into());

        let file = file_parameters(&settings, RoleSection::Replica, &StandbyNames::Users);
        assert_eq!(file["work_mem"], "64MB");
        assert_eq!(file["max_connections"], "100");
        assert_eq!(file["wal_keep_size"], "128MB");
        assert_eq!(file.get("max_slot_wal_keep_size"), None);
        settings.changing.postgresql.slot_budget = Some(20 << 30);
        let file = file_parameters(&settings, RoleSection::Primary, &StandbyNames::Users);
        assert_eq!(file["max_slot_wal_keep_size"], "20480MB");
        assert_eq!(file["cluster_name"], "herd");
        assert_eq!(file["synchronous_standby_names"], "mine");
        assert!(!file.contains_key("restore_command"));
        let file = file_parameters(&settings, RoleSection::Primary, &StandbyNames::Users);
        assert_eq!(file["work_mem"], "4MB");
    }

    #[test]
    fn a_follower_without_an_archive_tries_again_soon() {
        let name = "wal_retrieve_retry_interval";
        let mut settings = settings();
        let of = |settings: &Settings, role| {
            file_parameters(settings, role, &StandbyNames::Users).remove(name)
        };
        assert_eq!(of(&settings, RoleSection::Primary), None);
        let soon = Some("500ms".to_owned());
        assert_eq!(of(&settings, RoleSection::Replica), soon);
        let pg = &mut settings.changing.postgresql;
        pg.parameters.insert(name.into(), "2s".into());
        assert_eq!(of(&settings, RoleSection::Replica), Some("2s".into()));
        let pg = &mut settings.changing.postgresql;
        pg.parameters.clear();
        pg.recovery_conf
            .insert("restore_command".into(), "x".into());
        assert_eq!(of(&settings, RoleSection::Replica), None);
    }

    #[test]
    fn in_synchronous_mode_the_agent_owns_the_standby_names() {
        let mut settings = settings();
        settings
            .changing
            .postgresql
            .parameters
            .insert("synchronous_standby_names".into(), "users".into());
        settings.changing.cluster.synchronous_mode = SyncMode::On;
        let of = |names| file_parameters(&settings, RoleSection::Primary, &names);
        assert!(!of(StandbyNames::Users).contains_key("synchronous_standby_names"));
        let ours = of(StandbyNames::Agents("pg2".into()));
        assert_eq!(ours["synchronous_standby_names"], "pg2");
    }

    #[test]
    fn a_standby_starts_with_what_its_primary_had() {
        let limits = ControlLimits {
            max_connections: 300,
            max_worker_processes: 4,
            max_wal_senders: 20,
            max_prepared_transactions: 0,
            max_locks_per_transaction: 64,
        };
        let options = command_line(&settings(), Some(&limits));
        assert_eq!(options[0], "--config-file=/data/postgresql.conf");
        for option in [
            "--max_connections=300",
            "--max_wal_senders=20",
            "--max_worker_processes=8",
            "--port=5432",
            "--cluster_name=herd",
            "--listen_addresses=localhost",
        ] {
            assert!(
                options.iter().any(|it| it == option),
                "{option}: {options:?}"
            );
        }
        let options = command_line(&settings(), None);
        assert!(options.contains(&"--max_connections=100".to_owned()));
    }
}
