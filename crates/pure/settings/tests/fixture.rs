//! The file that users bring loads unchanged, and every value of it is understood.

use std::collections::BTreeMap;
use std::time::Duration;

use pgherd_domain::SyncMode;
use pgherd_settings::*;

const FIXTURE: &str = include_str!("fixtures/patroni-node1.yml");

#[expect(
    clippy::unwrap_used,
    reason = "a file that does not load fails its test"
)]
fn loaded() -> Loaded {
    load(
        &[("patroni.yml".to_owned(), FIXTURE.to_owned())],
        &BTreeMap::new(),
    )
    .unwrap()
}

fn settings() -> Settings {
    let loaded = loaded();
    let dynamic = loaded.local.bootstrap_dynamic().clone().into();
    let (settings, warnings) = loaded.local.effective(Some(&dynamic));
    assert_eq!(warnings, []);
    settings
}

/// The section of etcd, which is the DCS in all of these.
#[expect(clippy::panic, reason = "another DCS fails its test")]
fn etcd(store: &Store) -> &Etcd {
    match store {
        Store::Etcd(etcd) => etcd,
        Store::Consul(_) => panic!("the DCS is not etcd: {store:?}"),
    }
}

fn login(name: &str, password: &str) -> Login {
    Login {
        username: Some(name.to_owned()),
        password: Some(Secret::new(password)),
        ..Login::default()
    }
}

#[test]
fn it_loads_without_a_warning() {
    assert_eq!(loaded().warnings, []);
}

#[test]
fn what_stays_is_read() {
    let fixed = settings().fixed;
    assert_eq!(fixed.name.as_str(), "node1");
    assert_eq!(fixed.scope, "pg-ha-cluster");
    assert_eq!(fixed.namespace, "/postgresql-ha/");
    let hosts = ["10", "11", "12"].map(|last| format!("http://10.0.2.{last}:2379"));
    assert_eq!(
        fixed.store,
        Store::Etcd(Etcd {
            hosts: hosts.into(),
            ..Etcd::default()
        })
    );
    assert_eq!(
        fixed.place,
        PostgresPlace {
            data_dir: "/var/lib/postgresql/16/main".into(),
            config_dir: "/var/lib/postgresql/16/main".into(),
            config_base_name: "postgresql".to_owned(),
            bin_dir: Some("/usr/lib/postgresql/16/bin".into()),
            bin_name: ProgramNames::default(),
            pgpass: Some("/tmp/pgpass0".into()),
            database: "postgres".to_owned(),
            krbsrvname: None,
        }
    );
    assert_eq!(
        fixed.place.program("initdb"),
        "/usr/lib/postgresql/16/bin/initdb"
    );
}

#[test]
fn bootstrap_is_read_with_its_users() {
    let bootstrap = settings().fixed.bootstrap;
    assert!(bootstrap.configured);
    assert_eq!(bootstrap.custom, None);
    let arguments: Vec<String> = bootstrap
        .initdb
        .iter()
        .map(ProgramOption::argument)
        .collect();
    assert_eq!(arguments, ["--encoding=UTF8", "--data-checksums"]);
    let user = |password: &str, options: &[&str]| BootstrapUser {
        password: Some(Secret::new(password)),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    };
    let users = [
        (
            "admin".to_owned(),
            user("admin_secure_password", &["createrole", "createdb"]),
        ),
        (
            "replicator".to_owned(),
            user("repl_secure_password", &["replication"]),
        ),
    ];
    assert_eq!(bootstrap.users, users.into());
    assert_eq!(
        (bootstrap.pg_hba, bootstrap.post_bootstrap),
        (Vec::new(), None)
    );
    assert_eq!(bootstrap.dcs.len(), 7);
}

#[test]
fn what_may_change_is_read() {
    let ChangingSettings {
        log,
        restapi,
        ctl,
        watchdog,
        tags,
        cluster,
        ..
    } = settings().changing;
    assert_eq!(log, Log::default());
    let address = |host: &str| HostPort {
        host: host.to_owned(),
        port: 8008,
    };
    let expected = Restapi {
        listen: address("0.0.0.0"),
        connect_address: address("10.0.1.10"),
        ..Restapi::default()
    };
    assert_eq!(restapi, expected);
    assert_eq!(restapi.base_url(), "http://10.0.1.10:8008");
    assert_eq!(ctl, Ctl::default());
    assert_eq!(
        watchdog,
        Watchdog {
            mode: pgherd_domain::WatchdogMode::Required,
            device: "/dev/watchdog".into(),
            safety_margin: SafetyMargin::Fixed(Duration::from_secs(5)),
            driver: "default".to_owned(),
        }
    );
    assert_eq!(
        tags.published,
        BTreeMap::new(),
        "tags that are off are not published"
    );
    assert!(!tags.nofailover && !tags.nosync && !tags.clonefrom && !tags.noloadbalance);
    assert_eq!(
        cluster,
        Cluster {
            synchronous_mode: SyncMode::On,
            ..Cluster::default()
        }
    );
    assert_eq!(cluster.timing.ttl, Duration::from_secs(30));
    assert_eq!(cluster.timing.loop_wait, Duration::from_secs(10));
    assert_eq!(cluster.timing.retry_timeout, Duration::from_secs(10));
    assert_eq!(cluster.maximum_lag_on_failover, 1_048_576);
    assert!(!cluster.synchronous_mode_strict);
}

#[test]
fn postgresql_is_read() {
    let postgresql = settings().changing.postgresql;
    let text = |text: &str| text.to_owned();
    let parameters = [
        ("unix_socket_directories", "/var/run/postgresql"),
        ("synchronous_commit", "on"),
        ("archive_mode", "on"),
        (
            "archive_command",
            "test ! -f /archive/%f && cp %p /archive/%f",
        ),
        ("archive_timeout", "60"),
        ("shared_preload_libraries", "pg_stat_statements"),
    ];
    let controlled = [
        ("hot_standby", "on"),
        ("wal_level", "replica"),
        ("wal_log_hints", "on"),
        ("track_commit_timestamp", "on"),
        ("max_connections", "200"),
        ("max_wal_senders", "10"),
        ("max_replication_slots", "10"),
        ("max_prepared_transactions", "0"),
        ("max_locks_per_transaction", "64"),
        ("max_worker_processes", "8"),
    ];
    let hba = [
        "host replication replicator 10.0.0.0/16 scram-sha-256",
        "host all all 10.0.0.0/16 scram-sha-256",
        "host all all 0.0.0.0/0 scram-sha-256",
    ];
    let option = |name: &str, value: &str| ProgramOption {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    let expected = Postgresql {
        listen: ListenHosts {
            hosts: vec![text("0.0.0.0")],
            port: 5432,
        },
        connect_address: HostPort {
            host: text("10.0.1.10"),
            port: 5432,
        },
        authentication: Authentication {
            superuser: login("postgres", "postgres_secure_password"),
            replication: login("replicator", "repl_secure_password"),
            rewind: Some(login("postgres", "postgres_secure_password")),
        },
        parameters: parameters
            .map(|(name, value)| (text(name), text(value)))
            .into(),
        controlled: Controlled {
            command_line: controlled
                .map(|(name, value)| (text(name), text(value)))
                .into(),
            wal_keep_size: text("2GB"),
        },
        pg_hba: RoleLists {
            all: Some(hba.map(text).into()),
            ..RoleLists::default()
        },
        use_pg_rewind: true,
        basebackup: vec![option("max-rate", "100M"), option("checkpoint", "fast")],
        ..Postgresql::default()
    };
    assert_eq!(postgresql, expected);
}

#[test]
fn no_password_shows_in_debug() {
    let loaded = loaded();
    let (settings, _) = loaded.local.effective(None);
    for shown in [format!("{settings:?}"), format!("{loaded:#?}")] {
        assert!(!shown.contains("secure_password"), "{shown}");
        assert!(shown.contains("***"));
    }
}

#[test]
fn a_client_needs_only_its_own_sections() {
    let files = [("patroni.yml".to_owned(), FIXTURE.to_owned())];
    let (client, warnings) = ctl_settings(&files, &BTreeMap::new()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(client.scope.as_deref(), Some("pg-ha-cluster"));
    assert_eq!(client.namespace, "/postgresql-ha/");
    assert_eq!(etcd(&client.store).hosts[0], "http://10.0.2.10:2379");

    let small = "etcd3: {hosts: 'e1:1,e2'}\nrestapi:\n  cafile: /ca\n  authentication: {username: u, password: p}\n";
    let files = [("ctl.yml".to_owned(), small.to_owned())];
    let (client, _) = ctl_settings(&files, &BTreeMap::new()).unwrap();
    assert_eq!(
        (client.scope, client.namespace.as_str()),
        (None, "/service/")
    );
    assert_eq!(etcd(&client.store).hosts, ["http://e1:1", "http://e2:2379"]);
    assert_eq!(
        client.ctl.cacert.as_deref().map(|path| path.as_str()),
        Some("/ca")
    );
    assert_eq!(client.ctl.authentication.unwrap().username, "u");

    let env = BTreeMap::from([("DCS_URL".to_owned(), "etcd://e9/other".to_owned())]);
    let (client, _) = ctl_settings(&files, &env).unwrap();
    assert_eq!(etcd(&client.store).hosts, ["http://e9:2379"]);
    assert_eq!(client.namespace, "/other/");
}
