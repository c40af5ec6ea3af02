//! Good texts with a few edits, and no texts at all, through everything that reads.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use rustix::time::{ClockId, clock_gettime};

/// Texts as they should be.
const GOOD: &[&str] = &[
    "scope: demo\nname: n1\nrestapi: {listen: '*:8008', connect_address: 'h1:8008'}\netcd3: {hosts: [e1]}\n\
     bootstrap:\n  dcs: {ttl: 30, postgresql: {parameters: {max_connections: 100}}}\n  initdb: [data-checksums, {encoding: UTF8}]\n\
     postgresql:\n  listen: '*:5432'\n  connect_address: h1:5432\n  data_dir: /data\n  \
     authentication: {superuser: {username: postgres}, replication: {username: repl}}\n  \
     create_replica_methods: [mine, basebackup]\n  mine: {command: x, keep_data: true}\n  pg_hba:\n    - local all all trust\n\
     tags: {nofailover: false, failover_priority: 2}\nlog: {format: '%(asctime)s %(message)s', loggers: {a: DEBUG}}\n",
    r#"{"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "maximum_lag_on_failover": "1MB", "slots": {"a": {"type": "logical",
        "database": "d", "plugin": "p"}}, "ignore_slots": [{"name": "x"}], "standby_cluster": {"host": "h", "port": 5432},
        "postgresql": {"parameters": {"work_mem": "4MB", "max_connections": 50}, "use_slots": true, "pg_hba": ["a", "b"]}}"#,
    r#"{"optime": 67108960, "slots": {"a": 67108960, "b": 1}, "retain_slots": ["c"]}"#,
    r#"{"leader": "a", "quorum": 1, "sync_standby": "b,c"}"#,
    r#"{"conn_url": "postgres://h:5432/postgres", "api_url": "http://h:8008/patroni", "state": "running", "role": "replica",
        "version": "4.1.5", "xlog_location": 67108960, "timeline": 3, "tags": {"clonefrom": true}, "pending_restart": true,
        "pending_restart_reason": {"max_connections": {"old_value": "1", "new_value": "2"}}, "replication_state": "streaming"}"#,
    "postgres://u:p@h:5432/postgres?application_name=http://h:8008/patroni",
    r#"{"leader": "a", "member": "b", "scheduled_at": "2027-01-01T10:00:00+01:00"}"#,
    "a:b",
    r#"[[1, 50373632, "no recovery target specified", "2026-01-01T00:00:26.569000+00:00", "b"], [2, 5, "x"]]"#,
    r#"{"role": "replica", "postgres_version": "15.3", "restart_pending": true, "timeout": "1min", "schedule": "2027-01-01T10:00Z"}"#,
    "/replica?lag=10MB&tag_dc=east&replication_state=streaming",
    "2027-01-01T10:00:00.5+05:30",
    "host=h port=5432 user=u password='a b\\'c' dbname=postgres sslmode=prefer",
    "postgres://u:p%20q@[::1]:5432,h2:5433/db?target_session_attrs=read-write",
    "shared_buffers = '128MB'  # a comment\nprimary_conninfo 'host=a'\nInclude 'x.conf'\nrecovery_target_timeline=latest\n",
    "4711\n/data\n1795486355\n5432\n/tmp\n*\n  1 2\nready   \n",
    "Database cluster state:               in production\nLatest checkpoint's TimeLineID:       3\nmax_connections setting:  100\n",
];

/// Pieces that mean something to one of the readers.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    ",",
    "\"",
    "'",
    "\n",
    "\n  ",
    "\n- ",
    "#",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "|\n",
    ">-\n",
    "---\n",
    "\\",
    "\\u0000",
    "\u{0}",
    "\t",
    "é",
    "\u{feff}",
    "null",
    "~",
    "true",
    "off",
    "-1",
    "0x7fffffffffffffff",
    "99999999999999999999",
    "1e400",
    "1.5MB",
    ".nan",
    "../",
    "%",
    "%00",
    "=",
    "&",
    "?",
    ";",
    "--",
    "2026-02-30T25:61:00",
    "+99:99",
    "postgresql",
    "*",
];

/// One edit: at a place take some bytes away, and put a piece there.
#[derive(Debug, Clone)]
struct Edit(Index, usize, &'static str);

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<Index>(), 0_usize..6, select(PIECES));
    let edits = prop::collection::vec(edit.prop_map(|(at, cut, piece)| Edit(at, cut, piece)), 0..6);
    let edited = (select(GOOD), edits).prop_map(|(good, edits)| {
        let mut bytes = good.as_bytes().to_vec();
        for Edit(at, cut, piece) in edits {
            let from = at.index(bytes.len() + 1);
            let to = (from + cut).min(bytes.len());
            bytes.splice(from..to, piece.bytes());
        }
        bytes
    });
    let pieces = prop::collection::vec(select(PIECES), 0..20)
        .prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![4 => edited, 1 => pieces, 1 => prop::collection::vec(any::<u8>(), 0..64)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn local_files(bytes in hostile()) {
        pgherd_hostile::local(&bytes);
    }

    #[test]
    fn dynamic_configurations(bytes in hostile()) {
        pgherd_hostile::dynamic(&bytes);
    }

    #[test]
    fn documents_of_the_dcs(bytes in hostile()) {
        pgherd_hostile::documents(&bytes);
    }

    #[test]
    fn requests(bytes in hostile()) {
        pgherd_hostile::requests(&bytes);
    }

    #[test]
    fn output_of_tools(bytes in hostile()) {
        pgherd_hostile::tools(&bytes);
    }
}

/// Something that reads.
type Reader = fn(&[u8]);

/// All readers, by name.
const ALL: [(&str, Reader); 5] = [
    ("local", pgherd_hostile::local),
    ("dynamic", pgherd_hostile::dynamic),
    ("documents", pgherd_hostile::documents),
    ("requests", pgherd_hostile::requests),
    ("tools", pgherd_hostile::tools),
];

/// Far more than any of it takes, and far less than something quadratic does.
const PATIENCE: Duration = Duration::from_secs(3);

/// What it takes of a core, however busy the machine is.
fn time_of(work: impl FnOnce()) -> Duration {
    let spent = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::try_from(time).unwrap_or_default()
    };
    let before = spent();
    work();
    spent() - before
}

/// Nothing that is deep, long or grows when it is unfolded takes the agent down.
#[test]
fn bombs() {
    let deep = 100_000;
    let mut unfolds = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let inner = level - 1;
        let row = vec![format!("*a{inner}"); 10].join(", ");
        unfolds.push_str(&format!("a{level}: &a{level} [{row}]\n"));
    }
    let texts = [
        "[".repeat(deep),
        "{\"a\":".repeat(deep),
        "- ".repeat(deep),
        "a: ".repeat(deep),
        format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("x: {}", "9".repeat(deep)),
        format!("tags: {{{}}}", "'".repeat(deep + 1)),
        "&a ".repeat(deep),
        unfolds,
    ];
    for text in texts {
        let bytes = text.as_bytes();
        for (name, read) in ALL {
            let took = time_of(|| read(bytes));
            let start: String = text.chars().take(20).collect();
            assert!(took < PATIENCE, "{name} takes {took:?} for {start} …");
        }
    }
}
