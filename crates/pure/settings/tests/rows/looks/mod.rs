//! One function per look of the rows: what our settings say, in the words of the rows.

mod cluster;
mod environment;
mod member;

use std::collections::BTreeMap;

use pgherd_domain::SyncMode;
use pgherd_settings::{Fault, Login, Secret, Settings, load, validate_dynamic, value};
use serde_json::{Value, json};

use crate::support::GOOD;
use cluster::of_cluster;
use environment::environment;
use member::{of_log, of_member, of_postgresql, of_rest};

/// The layers of one stanza, and the settings they make; none when a file is refused.
pub(crate) struct Herd<'a> {
    files: &'a [String],
    environment: &'a BTreeMap<String, String>,
    dynamic: Option<&'a Value>,
    settings: Option<Settings>,
}

impl<'a> Herd<'a> {
    pub(crate) fn new(
        files: &'a [String],
        environment: &'a BTreeMap<String, String>,
        dynamic: Option<&'a Value>,
    ) -> Self {
        let mut herd = Self {
            files,
            environment,
            dynamic,
            settings: None,
        };
        let loaded = load(&herd.texts(), environment);
        herd.settings = loaded.ok().map(|loaded| loaded.local.effective(dynamic).0);
        herd
    }

    fn texts(&self) -> Vec<(String, String)> {
        let given = std::iter::once(GOOD).chain(self.files.iter().map(String::as_str));
        given
            .enumerate()
            .map(|(at, text)| (format!("{at}.yml"), text.to_owned()))
            .collect()
    }

    /// What a look shows.
    pub(crate) fn look(&self, what: &str) -> Value {
        match what {
            "environment" => environment(self.environment),
            "valid" => self.valid().into(),
            _ => match &self.settings {
                Some(settings) => look(settings, what),
                None => json!("refused"),
            },
        }
    }

    /// Whether `--validate-config` takes what the stanza gives.
    fn valid(&self) -> bool {
        if let Some(dynamic) = self.dynamic {
            return validate_dynamic(dynamic)
                .is_ok_and(|odd| !odd.iter().any(Fault::refuses_the_file));
        }
        load(&self.texts(), self.environment)
            .is_ok_and(|loaded| !loaded.warnings.iter().any(Fault::refuses_the_file))
    }
}

fn look(settings: &Settings, what: &str) -> Value {
    if let Some((kind, name)) = what.split_once(' ') {
        return of_one(settings, kind, name);
    }
    match what.split_once('.').map_or(what, |(section, _)| section) {
        "log" => of_log(settings, what),
        "restapi" | "clients" => of_rest(settings, what),
        "postgresql" => of_postgresql(settings, what),
        "bootstrap" | "watchdog" | "tags" | "endpoints" | "use_proxies" | "etcd" | "name"
        | "leader_key" => of_member(settings, what),
        _ => of_cluster(settings, what),
    }
}

fn of_one(settings: &Settings, kind: &str, name: &str) -> Value {
    let postgresql = &settings.changing.postgresql;
    match kind {
        "parameter" => parameter(settings, name),
        "login" => match name {
            "superuser" => login(&postgresql.authentication.superuser),
            "replication" => login(&postgresql.authentication.replication),
            _ => login(postgresql.authentication.for_rewind()),
        },
        "program" => {
            let names = &settings.fixed.place.bin_name;
            let called = match name {
                "postgres" => &names.postgres,
                "pg_ctl" => &names.pg_ctl,
                other => panic!("no such program: {other}"),
            };
            settings.fixed.place.program(called).as_str().into()
        }
        other => panic!("no such look: {other}"),
    }
}

/// A parameter of the server; a size of WAL in megabytes.
fn parameter(settings: &Settings, name: &str) -> Value {
    let postgresql = &settings.changing.postgresql;
    let controlled = &postgresql.controlled;
    match name {
        "listen_addresses" => json!(postgresql.listen.listen_addresses()),
        "port" => json!(postgresql.listen.port.to_string()),
        "cluster_name" => json!(settings.fixed.scope),
        "wal_keep_size" => {
            let size = json!(controlled.wal_keep_size);
            json!(value::bytes(&size, value::SizeUnit::Mebibyte).unwrap() >> 20)
        }
        // the agent's own while commits wait for standbys
        "synchronous_standby_names"
            if settings.changing.cluster.synchronous_mode != SyncMode::Off =>
        {
            Value::Null
        }
        _ => json!(
            controlled
                .command_line
                .get(name)
                .or_else(|| postgresql.parameters.get(name))
        ),
    }
}

fn login(login: &Login) -> Value {
    named([
        ("username", login.username.clone()),
        ("password", revealed(login.password.as_ref())),
        ("sslmode", login.sslmode.clone()),
    ])
}

fn revealed(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.reveal().to_owned())
}

/// A mapping of what is given.
fn named<const N: usize>(all: [(&str, Option<String>); N]) -> Value {
    let given = all
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?))));
    Value::Object(given.collect())
}
