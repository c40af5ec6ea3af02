//! Reads section `postgresql`.

use super::{Callbacks, Postgresql, ProgramNames, RoleLists, parameters, replica_method};
use crate::reader::Reader;
use crate::sections::Authentication;
use crate::sections::restapi::{required_address, warn_of_unreachable};
use crate::settings::PostgresPlace;
use crate::{HostPort, ListenHosts};

const PORT: u16 = 5432;

impl Postgresql {
    /// Reads what can change under the agent.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let defaults = Self::default();
        let connect_address = required_address(reader, "postgresql.connect_address", PORT);
        if let Some(address) = &connect_address {
            warn_of_unreachable(reader, "postgresql.connect_address", address);
        }
        let sorted = parameters::read(reader);
        let flag = |reader: &Reader<'_>, name: &str| reader.flag(&format!("postgresql.{name}"));
        Self {
            listen: listen(reader).unwrap_or(defaults.listen),
            connect_address: connect_address.unwrap_or(defaults.connect_address),
            proxy_address: proxy_address(reader),
            authentication: Authentication::read(reader),
            parameters: sorted.parameters,
            role_parameters: parameters::read_roles(reader),
            controlled: sorted.controlled,
            recovery_conf: sorted.recovery_conf,
            pg_hba: RoleLists::read(reader, "postgresql.pg_hba"),
            pg_ident: RoleLists::read(reader, "postgresql.pg_ident"),
            custom_conf: reader.path("postgresql.custom_conf"),
            use_unix_socket: flag(reader, "use_unix_socket"),
            use_unix_socket_repl: flag(reader, "use_unix_socket_repl"),
            use_slots: flag(reader, "use_slots"),
            pg_ctl_timeout: reader.span("postgresql.pg_ctl_timeout"),
            use_pg_rewind: reader
                .given_flag("postgresql.use_pg_rewind")
                .unwrap_or(reader.has("postgresql.pg_rewind")),
            rewind: reader.options("postgresql.rewind"),
            remove_data_directory_on_rewind_failure: flag(
                reader,
                "remove_data_directory_on_rewind_failure",
            ),
            remove_data_directory_on_diverged_timelines: flag(
                reader,
                "remove_data_directory_on_diverged_timelines",
            ),
            create_replica_methods: replica_method::read(reader),
            basebackup: reader.options("postgresql.basebackup"),
            callbacks: Callbacks::read(reader),
            pre_promote: reader.given("postgresql.pre_promote"),
            before_stop: reader.given("postgresql.before_stop"),
            copies_when_wal_is_gone: reader.flag("pgherd.copy_when_wal_is_gone"),
            slot_budget: u64::try_from(reader.bytes("pgherd.slot_budget"))
                .ok()
                .filter(|budget| *budget > 0),
            hook_timeout: Some(reader.span("pgherd.hook_timeout")).filter(|limit| !limit.is_zero()),
        }
    }
}

impl PostgresPlace {
    /// Reads what stays until the agent restarts.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        if !reader.has("postgresql.data_dir") {
            reader.fault(
                "postgresql.data_dir",
                "is required; give the data directory",
            );
        }
        let data_dir = reader.path("postgresql.data_dir").unwrap_or_default();
        Self {
            config_dir: reader
                .path("postgresql.config_dir")
                .unwrap_or_else(|| data_dir.clone()),
            data_dir,
            config_base_name: reader.text("postgresql.config_base_name"),
            bin_dir: reader.path("postgresql.bin_dir"),
            bin_name: ProgramNames::read(reader),
            pgpass: reader.path("postgresql.pgpass"),
            database: reader.text("postgresql.database"),
            krbsrvname: reader.given("postgresql.krbsrvname"),
        }
    }
}

impl RoleLists {
    fn read(reader: &Reader<'_>, path: &str) -> Self {
        Self {
            all: reader.lines(path),
            primary: reader.lines(&format!("{path}_primary")),
            replica: reader.lines(&format!("{path}_replica")),
            standby_leader: reader.lines(&format!("{path}_standby_leader")),
        }
    }
}

impl Callbacks {
    fn read(reader: &Reader<'_>) -> Self {
        let command = |name: &str| reader.given(&format!("postgresql.callbacks.{name}"));
        Self {
            on_start: command("on_start"),
            on_stop: command("on_stop"),
            on_restart: command("on_restart"),
            on_reload: command("on_reload"),
            on_role_change: command("on_role_change"),
        }
    }
}

impl ProgramNames {
    fn read(reader: &Reader<'_>) -> Self {
        let name = |program: &str| reader.text(&format!("postgresql.bin_name.{program}"));
        Self {
            pg_ctl: name("pg_ctl"),
            initdb: name("initdb"),
            pg_controldata: name("pg_controldata"),
            pg_basebackup: name("pg_basebackup"),
            postgres: name("postgres"),
            pg_isready: name("pg_isready"),
            pg_rewind: name("pg_rewind"),
        }
    }
}

fn listen(reader: &mut Reader<'_>) -> Option<ListenHosts> {
    let path = "postgresql.listen";
    let Some(text) = reader.given(path) else {
        if !reader.has(path) {
            reader.fault(
                path,
                "is required; give hosts separated by commas and `:port`",
            );
        }
        return None;
    };
    match ListenHosts::parse(&text, PORT) {
        Ok(listen) => Some(listen),
        Err(problem) => {
            reader.fault(path, problem);
            None
        }
    }
}

fn proxy_address(reader: &mut Reader<'_>) -> Option<HostPort> {
    let path = "postgresql.proxy_address";
    match HostPort::parse(&reader.given(path)?, PORT) {
        Ok(address) => Some(address),
        Err(problem) => {
            reader.fault(path, problem);
            None
        }
    }
}
