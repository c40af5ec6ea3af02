//! What goes into which section of the file.

use pgherd_settings::patch;
use serde_json::{Map, Value, json};

use crate::FIXME;
use crate::host::Host;
use crate::running::Server;

/// Settings that name files and commands of one machine: they belong into its own file.
const OF_THE_MACHINE: [&str; 8] = [
    "archive_command",
    "restore_command",
    "archive_cleanup_command",
    "recovery_end_command",
    "ssl_passphrase_command",
    "hba_file",
    "ident_file",
    "config_file",
];

/// Settings that the agent itself gives to the server, each in its own place.
const OF_THE_AGENT: [&str; 6] = [
    "cluster_name",
    "listen_addresses",
    "port",
    "data_directory",
    "primary_conninfo",
    "primary_slot_name",
];

/// A sample for this machine under what is given.
pub(crate) fn sample(given: &Map<String, Value>, host: &Host) -> Map<String, Value> {
    let mut document = base(host);
    patch(
        &mut document,
        json!({
            "bootstrap": {"dcs": {"postgresql": {
                "use_pg_rewind": true,
                "parameters": {"wal_keep_size": "128MB", "wal_level": "replica"},
            }}},
            "postgresql": {
                "authentication": {
                    "superuser": {"username": "postgres", "password": FIXME},
                    "replication": {"username": "replicator", "password": FIXME},
                    "rewind": {"username": "rewind_user", "password": FIXME},
                },
                "listen": format!("{}:5432", host.address),
                "connect_address": format!("{}:5432", host.address),
                "data_dir": FIXME,
                "bin_dir": bin_dir(),
                "parameters": {"password_encryption": "scram-sha-256"},
                "pg_hba": [
                    "host all all all scram-sha-256",
                    "host replication replicator all scram-sha-256",
                ],
            },
        }),
    );
    finish(document, given)
}

/// The configuration of `server` under what is given.
pub(crate) fn running(
    given: &Map<String, Value>,
    host: &Host,
    server: &Server,
) -> Map<String, Value> {
    let mut document = base(host);
    let (mut shared, mut own) = (Map::new(), Map::new());
    for (name, value) in &server.settings {
        if OF_THE_AGENT.contains(&name.as_str()) {
            continue;
        }
        let to = if OF_THE_MACHINE.contains(&name.as_str()) {
            &mut own
        } else {
            &mut shared
        };
        to.insert(name.clone(), value.clone().into());
    }
    let setting = |name: &str| server.settings.get(name).map(String::as_str);
    let port = setting("port").unwrap_or("5432");
    let listen = match setting("listen_addresses") {
        Some("*") => "0.0.0.0",
        Some("") | None => "localhost",
        Some(addresses) => addresses,
    };
    patch(
        &mut document,
        json!({
            "bootstrap": {"dcs": {"postgresql": {"parameters": shared}}},
            "postgresql": {
                "authentication": {
                    "superuser": server.superuser,
                    "replication": {"username": FIXME, "password": FIXME},
                },
                "listen": format!("{listen}:{port}"),
                "connect_address": format!("{}:{port}", host.address),
                "data_dir": server.data_dir,
                "bin_dir": server.bin_dir.clone().unwrap_or_else(bin_dir),
                "parameters": own,
            },
        }),
    );
    for (name, lines) in [("pg_hba", &server.hba), ("pg_ident", &server.ident)] {
        if !lines.is_empty() {
            patch(&mut document, json!({"postgresql": {name: lines}}));
        }
    }
    if let Some(scope) = setting("cluster_name").filter(|name| !name.is_empty()) {
        patch(&mut document, json!({"scope": scope}));
    }
    finish(document, given)
}

/// What both have.
fn base(host: &Host) -> Value {
    json!({
        "scope": FIXME,
        "name": host.name,
        "log": {
            "type": "plain",
            "level": "INFO",
            "traceback_level": "ERROR",
            "format": "%(asctime)s %(levelname)s: %(message)s",
            "max_queue_size": 1000,
        },
        "restapi": {
            "listen": format!("{}:8008", host.address),
            "connect_address": format!("{}:8008", host.address),
        },
        "bootstrap": {"dcs": {
            "loop_wait": 10,
            "retry_timeout": 10,
            "ttl": 30,
            "failsafe_mode": true,
            "postgresql": {
                "use_slots": true,
                "parameters": {
                    "hot_standby": "on",
                    "max_connections": 100,
                    "max_locks_per_transaction": 64,
                    "max_prepared_transactions": 0,
                    "max_replication_slots": 10,
                    "max_wal_senders": 10,
                    "max_worker_processes": 8,
                    "track_commit_timestamp": "off",
                    "wal_log_hints": "on",
                },
            },
        }},
        "tags": {
            "clonefrom": true,
            "failover_priority": 1,
            "noloadbalance": false,
            "nostream": false,
            "nosync": false,
            "sync_priority": 1,
        },
    })
}

fn finish(mut document: Value, given: &Map<String, Value>) -> Map<String, Value> {
    patch(&mut document, given.clone().into());
    match document {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Programs that one folder must hold to be PostgreSQL's.
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "pg_controldata"];

/// The first folder in PATH with all of PostgreSQL's programs, else the newest one where Debian keeps them; empty when
/// there is none.
fn bin_dir() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path
        .split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(str::to_owned);
    let newest_first = (13..=18)
        .rev()
        .map(|major| format!("/usr/lib/postgresql/{major}/bin"));
    folders
        .chain(newest_first)
        .find(|folder| {
            let folder = std::path::Path::new(folder);
            PROGRAMS.iter().all(|name| folder.join(name).is_file())
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host {
            name: "node1".into(),
            address: "10.0.0.1".into(),
        }
    }

    #[test]
    fn a_sample_has_what_is_given_and_marks_what_is_missing() {
        let given = json!({"scope": "herd", "postgresql": {"authentication": {"superuser": {"password": "x"}}}});
        let sample = sample(given.as_object().unwrap(), &host());
        assert_eq!(
            (&sample["scope"], &sample["name"]),
            (&json!("herd"), &json!("node1"))
        );
        let login = &sample["postgresql"]["authentication"];
        assert_eq!(
            login["superuser"],
            json!({"username": "postgres", "password": "x"})
        );
        assert_eq!(login["replication"]["password"], FIXME);
        assert_eq!(sample["restapi"]["connect_address"], "10.0.0.1:8008");
    }

    #[test]
    fn settings_of_a_running_server_go_where_they_have_an_effect() {
        let settings = [
            ("archive_command", "cp %p /a/%f"),
            ("cluster_name", "prod"),
            ("listen_addresses", "*"),
            ("port", "5433"),
            ("max_connections", "250"),
            ("work_mem", "8MB"),
            ("primary_conninfo", "password=secret"),
        ];
        let server = Server {
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            data_dir: "/d".into(),
            bin_dir: Some("/b".into()),
            hba: vec!["local all all peer".into()],
            ident: Vec::new(),
            superuser: json!({"username": "ann", "password": FIXME}),
        };
        let found = running(&Map::new(), &host(), &server);
        assert_eq!(found["scope"], "prod");
        let postgresql = &found["postgresql"];
        assert_eq!(postgresql["listen"], "0.0.0.0:5433");
        assert_eq!(postgresql["connect_address"], "10.0.0.1:5433");
        assert_eq!(
            postgresql["parameters"],
            json!({"archive_command": "cp %p /a/%f"})
        );
        assert_eq!(postgresql["pg_hba"], json!(["local all all peer"]));
        assert!(postgresql.get("pg_ident").is_none());
        let shared = &found["bootstrap"]["dcs"]["postgresql"]["parameters"];
        assert_eq!(
            (&shared["max_connections"], &shared["work_mem"]),
            (&json!("250"), &json!("8MB"))
        );
        assert_eq!(shared["max_wal_senders"], 10);
        assert!(!Value::Object(found.clone()).to_string().contains("secret"));
    }
}
