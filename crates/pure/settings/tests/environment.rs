//! `PATRONI_*` variables over files, in their place, and as a whole configuration.

#[cfg(test)]
mod support;

use std::collections::BTreeMap;

use pgherd_settings::*;
use support::GOOD;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

/// The section of etcd, which is the DCS in all of these.
fn etcd(store: &Store) -> &Etcd {
    let Store::Etcd(etcd) = store else {
        unreachable!("the DCS is {}", store.name());
    };
    etcd
}

fn good() -> Vec<(String, String)> {
    vec![("node.yml".to_owned(), GOOD.to_owned())]
}

/// One variable of each kind, some that do not count, and a stray one.
const VARIABLES: &[(&str, &str)] = &[
    ("PATRONI_NAME", "n9"),
    ("PATRONI_SCOPE", ""),
    ("PATRONI_NAMESPACE", "/ns"),
    ("PATRONI_LOG_LEVEL", "warn"),
    ("PATRONI_LOGLEVEL", "DEBUG"),
    ("PATRONI_LOG_DATEFMT", "%H"),
    ("PATRONI_LOG_FORMAT", "message, {levelname: level}"),
    ("PATRONI_LOG_TYPE", "json"),
    ("PATRONI_LOG_LOGGERS", "patroni.ha: DEBUG, urllib3: WARN"),
    ("PATRONI_LOG_MODE", "0640"),
    ("PATRONI_RESTAPI_LISTEN", "[::]:8009"),
    ("PATRONI_RESTAPI_USERNAME", "admin"),
    ("PATRONI_RESTAPI_PASSWORD", "secret"),
    ("PATRONI_RESTAPI_ALLOWLIST", "10.0.0.0/8, ::1"),
    ("PATRONI_RESTAPI_HTTP_EXTRA_HEADERS", "{X-A: 1}"),
    ("PATRONI_RESTAPI_VERIFY_CLIENT", "Required"),
    ("PATRONI_CTL_INSECURE", "on"),
    ("PATRONI_POSTGRESQL_LISTEN", "a,b:5433"),
    ("PATRONI_POSTGRESQL_DATA_DIR", "/env"),
    ("PATRONI_POSTGRESQL_BIN_DIR", "/bin"),
    ("PATRONI_POSTGRESQL_BIN_POSTGRES", "postgres16"),
    ("PATRONI_POSTGRESQL_USE_SLOTS", "ignored: no such variable"),
    ("PATRONI_SUPERUSER_PASSWORD", "spw"),
    ("PATRONI_REPLICATION_SSLMODE", "require"),
    ("PATRONI_REWIND_USERNAME", "rw"),
    ("PATRONI_ETCD3_HOSTS", "'e1:1','e2:2'"),
    ("PATRONI_ETCD3_PROTOCOL", "https"),
    ("PATRONI_ETCD3_CACERT", "/ca"),
    ("PATRONI_CONFIGURATION", "name: other"),
    ("PATRONI_KUBERNETES_NAMESPACE", "stray"),
    ("PATRONI_SOMETHING_ELSE", "x"),
    ("HOME", "/root"),
];

#[test]
fn variables_are_patched_over_what_stays() {
    let loaded = load(&good(), &env(VARIABLES)).unwrap();
    let shown: Vec<String> = loaded.warnings.iter().map(Fault::to_string).collect();
    assert_eq!(
        shown,
        ["PATRONI_KUBERNETES_NAMESPACE  kubernetes.namespace: is left alone; the DCS is etcd"]
    );
    let fixed = loaded.local.effective(None).0.fixed;
    assert_eq!((fixed.name.as_str(), fixed.scope.as_str()), ("n9", "demo"));
    assert_eq!(fixed.namespace, "/ns/");
    assert_eq!(etcd(&fixed.store).hosts, ["https://e1:1", "https://e2:2"]);
    assert_eq!(
        etcd(&fixed.store)
            .tls
            .cacert
            .as_deref()
            .map(|path| path.as_str()),
        Some("/ca")
    );
    assert_eq!(
        (
            fixed.place.data_dir.as_str(),
            fixed.place.config_dir.as_str()
        ),
        ("/env", "/env")
    );
    assert_eq!(
        fixed.place.program(&fixed.place.bin_name.postgres),
        "/bin/postgres16"
    );
}

#[test]
fn variables_are_patched_over_what_may_change() {
    let loaded = load(&good(), &env(VARIABLES)).unwrap();
    let changing = loaded.local.effective(None).0.changing;
    let log = changing.log;
    assert_eq!(
        (log.level.as_str(), log.date_format.as_deref()),
        ("WARNING", Some("%H"))
    );
    let field = |name: &str, given: &str| (name.to_owned(), given.to_owned());
    let fields = vec![field("message", "message"), field("levelname", "level")];
    assert_eq!(
        (log.kind, log.format),
        (LogType::Json, LogFormat::Fields(fields))
    );
    assert_eq!(log.loggers["patroni.ha"], "DEBUG");
    assert_eq!(log.mode, Some(0o640));
    let restapi = changing.restapi;
    assert_eq!(
        restapi.listen,
        HostPort {
            host: "::".to_owned(),
            port: 8009
        }
    );
    let login = restapi.authentication.unwrap();
    assert_eq!(
        (login.username.as_str(), login.password.reveal()),
        ("admin", "secret")
    );
    assert_eq!(restapi.allowlist, ["10.0.0.0/8", "::1"]);
    assert_eq!(restapi.http_extra_headers["X-A"], "1");
    assert_eq!(restapi.verify_client, VerifyClient::Required);
    assert!(changing.ctl.insecure);
    assert_eq!(changing.ctl.authentication.unwrap().username, "admin");
    let postgresql = changing.postgresql;
    assert_eq!(postgresql.listen.hosts, ["a", "b"]);
    assert!(postgresql.use_slots);
    assert_eq!(
        postgresql.authentication.superuser.password,
        Some(Secret::new("spw"))
    );
    assert_eq!(
        postgresql.authentication.superuser.username.as_deref(),
        Some("postgres")
    );
    assert_eq!(
        postgresql.authentication.replication.sslmode.as_deref(),
        Some("require")
    );
    assert_eq!(
        postgresql.authentication.for_rewind().username.as_deref(),
        Some("rw")
    );
}

#[test]
fn faults_of_variables_bear_their_names() {
    let env = env(&[
        ("PATRONI_LOG_LEVEL", "LOUD"),
        ("PATRONI_ETCD3_HOSTS", "[a: b"),
        ("PATRONI_POSTGRESQL_LISTEN", "a:1,b:2"),
    ]);
    let shown = load(&good(), &env).unwrap_err().to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(
        lines[0].starts_with("PATRONI_ETCD3_HOSTS  etcd3.hosts: "),
        "{shown}"
    );
    assert!(
        lines[1].starts_with("PATRONI_LOG_LEVEL  log.level: `LOUD` does not fit"),
        "{shown}"
    );
    assert!(
        lines[2].starts_with("PATRONI_POSTGRESQL_LISTEN  postgresql.listen: "),
        "{shown}"
    );
}

#[test]
fn without_a_file_the_inline_configuration_is_the_file_and_nothing_else_counts() {
    let env = env(&[("PATRONI_CONFIGURATION", GOOD), ("PATRONI_NAME", "n9")]);
    let local = load(&[], &env).unwrap().local;
    assert_eq!(local.name().as_str(), "n1");
    let bad = BTreeMap::from([(
        "PATRONI_CONFIGURATION".to_owned(),
        GOOD.replace("name: n1", "name: ''"),
    )]);
    let shown = load(&[], &bad).unwrap_err().to_string();
    assert_eq!(
        shown,
        "PATRONI_CONFIGURATION:2  name: is required; give a name that no other member has"
    );
}

#[test]
fn without_either_the_environment_alone_is_the_configuration() {
    let env = env(&[
        ("PATRONI_NAME", "n1"),
        ("PATRONI_SCOPE", "demo"),
        ("PATRONI_ETCD_URL", "https://root:pw@e1:2379"),
        ("PATRONI_RESTAPI_LISTEN", "*:8008"),
        ("PATRONI_RESTAPI_CONNECT_ADDRESS", "h1:8008"),
        ("PATRONI_POSTGRESQL_LISTEN", "*:5432"),
        ("PATRONI_POSTGRESQL_CONNECT_ADDRESS", "h1:5432"),
        ("PATRONI_POSTGRESQL_DATA_DIR", "/data"),
        ("PATRONI_SUPERUSER_USERNAME", "postgres"),
        ("PATRONI_REPLICATION_USERNAME", "repl"),
    ]);
    let loaded = load(&[], &env).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let store = loaded.local.effective(None).0.fixed.store;
    let etcd = etcd(&store);
    assert_eq!(etcd.hosts, ["https://e1:2379"]);
    assert_eq!(
        (etcd.username.as_deref(), etcd.password.clone()),
        (Some("root"), Some(Secret::new("pw")))
    );

    let shown = load(&[], &BTreeMap::new()).unwrap_err().to_string();
    assert!(shown.contains("scope: is required"), "{shown}");
}

#[test]
fn every_variable_of_patronis_is_there() {
    let known: Vec<String> = variables().into_iter().map(|(name, _)| name).collect();
    let log = "TYPE LEVEL TRACEBACK_LEVEL FORMAT DATEFORMAT STATIC_FIELDS MAX_QUEUE_SIZE DIR MODE FILE_SIZE FILE_NUM \
               LOGGERS DEDUPLICATE_HEARTBEAT_LOGS";
    let restapi = "LISTEN CONNECT_ADDRESS CERTFILE KEYFILE KEYFILE_PASSWORD CAFILE CIPHERS VERIFY_CLIENT \
                   HTTP_EXTRA_HEADERS HTTPS_EXTRA_HEADERS ALLOWLIST ALLOWLIST_INCLUDE_MEMBERS REQUEST_QUEUE_SIZE \
                   SERVER_TOKENS USERNAME PASSWORD THREAD_POOL_SIZE";
    let ctl = "INSECURE CACERT CERTFILE KEYFILE KEYFILE_PASSWORD USERNAME PASSWORD";
    let postgresql = "LISTEN CONNECT_ADDRESS PROXY_ADDRESS CONFIG_DIR DATA_DIR PGPASS BIN_DIR BIN_PG_CTL BIN_INITDB \
                      BIN_PG_CONTROLDATA BIN_PG_BASEBACKUP BIN_POSTGRES BIN_PG_ISREADY BIN_PG_REWIND";
    let user = "USERNAME PASSWORD SSLMODE SSLCERT SSLKEY SSLPASSWORD SSLROOTCERT SSLCRL SSLCRLDIR GSSENCMODE \
                CHANNEL_BINDING SSLNEGOTIATION";
    let etcd = "HOST HOSTS PORT USE_PROXIES PROTOCOL SRV SRV_SUFFIX URL PROXY CACERT CERT KEY USERNAME PASSWORD";
    for (prefix, keys) in [
        (
            "",
            "NAME NAMESPACE SCOPE THREAD_POOL_SIZE THREAD_STACK_SIZE",
        ),
        ("LOG_", log),
        ("RESTAPI_", restapi),
        ("CTL_", ctl),
        ("POSTGRESQL_", postgresql),
        ("SUPERUSER_", user),
        ("REPLICATION_", user),
        ("REWIND_", user),
        ("ETCD_", etcd),
        ("ETCD3_", etcd),
        ("CITUS_", "GROUP DATABASE"),
    ] {
        for key in keys.split_whitespace() {
            let name = format!("PATRONI_{prefix}{key}");
            assert!(known.contains(&name), "{name}");
        }
    }
}

#[test]
fn zookeeper_may_come_from_variables_alone() {
    let without = GOOD.replace("etcd3: {hosts: [e1]}\n", "");
    let files = vec![("node.yml".to_owned(), without)];
    let store = |pairs: &[(&str, &str)]| {
        let loaded = load(&files, &env(pairs)).unwrap();
        loaded.local.effective(None).0.fixed.store
    };
    let told = store(&[
        ("PATRONI_ZOOKEEPER_HOSTS", "'z1:2182','z2/some/root'"),
        ("PATRONI_ZOOKEEPER_AUTH_DATA", "digest: 'u:p'"),
        ("PATRONI_ZOOKEEPER_SET_ACLS", "CN=u: [ALL]"),
    ]);
    let Store::ZooKeeper(zookeeper) = &told else {
        unreachable!("the DCS is {}", told.name());
    };
    let hosts: Vec<String> = zookeeper.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["z1:2182", "z2:2181"]);
    assert_eq!(zookeeper.chroot, "/some/root");
    assert_eq!(
        zookeeper.auth,
        [("digest".to_owned(), Secret::new("u:p".to_owned()))]
    );
    assert_eq!(zookeeper.acls[0].permissions, 31);
    let told = store(&[
        ("PATRONI_EXHIBITOR_HOSTS", "x1,x2"),
        ("PATRONI_EXHIBITOR_POLL_INTERVAL", "60"),
    ]);
    assert_eq!(told.name(), "exhibitor");
    let addresses = told.addresses();
    assert_eq!(addresses[1].host_port, "x2:8181");
}
