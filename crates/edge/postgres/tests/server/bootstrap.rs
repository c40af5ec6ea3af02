//! A new cluster: roles, files, the operator's script; and what stays when it goes wrong.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use pgherd_domain::{DataDirectory, PgRole, StopMode, Upstream, Work};
use pgherd_ports::LocalPostgres as _;
use pgherd_settings::{CustomBootstrap, Login, Secret};
use serde_json::{Value, json};

use crate::bed::{Bed, login};

/// Parameters of which PostgreSQL takes few as they are.
const ODD: [(&str, &str); 9] = [
    ("no_such_setting", "1"),
    ("work_mem", "1"),
    ("a.b", "it's"),
    // The server would not start with any of these.
    ("data_checksums", "on"),
    ("include", "/no/such"),
    ("no-name", "1"),
    ("temp_file_limit", "999TB"),
    // With these it would not say why, or not in plain words.
    ("log_error_verbosity", "verbose"),
    ("log_min_messages", "panic"),
];

/// Of [`ODD`] and what else belongs there.
fn holds_what_postgresql_takes(conf: &str) {
    assert!(conf.contains("include 'postgresql.base.conf'") && conf.contains("a.b = 'it''s'"));
    let left_out = [
        "no_such_setting",
        "data_checksums",
        "/no/such",
        "no-name",
        "recovery.conf",
    ];
    assert!(left_out.iter().all(|odd| !conf.contains(odd)), "{conf}");
    assert!(conf.contains("work_mem = '64'") && conf.contains("temp_file_limit = '2147483647'"));
}

#[tokio::test]
async fn a_new_cluster_runs_as_a_primary_with_its_roles_and_files() {
    let bed = Bed::new();
    let script = bed.path().join("post.sh");
    std::fs::write(
        &script,
        "#!/bin/sh\nexec psql \"$1\" -c \"create table script_ran as select '$1'::text as conninfo\"\n",
    )
    .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let member = bed.member_with("a", |settings| {
        settings.fixed.bootstrap.post_bootstrap = Some(script.to_string());
        let pg = &mut settings.changing.postgresql;
        for (name, value) in ODD {
            pg.parameters.insert(name.into(), value.into());
        }
        pg.controlled
            .command_line
            .insert("max_connections".into(), "50".into());
    });
    assert_eq!(member.server.observe().await.data, DataDirectory::Empty);
    member.carry_out(Work::Bootstrap).await.unwrap();

    let seen = member.server.observe().await;
    let live = seen.live.known().unwrap();
    assert!(!live.in_recovery && seen.accepting && seen.runs_as_primary());
    assert_eq!(live.timeline.0, 1);
    assert_eq!(
        live.version.major().to_string(),
        member.read("PG_VERSION").trim()
    );
    assert!(!live.flushed.is_zero());
    assert!(
        live.pending_restart.is_empty(),
        "{:?}",
        live.pending_restart
    );
    assert!(seen.control().unwrap().can_rewind);

    let roles = "select string_agg(rolname || rolsuper::int || rolreplication::int || rolcreatedb::int, \
                 ' ' order by rolname) from pg_roles where rolname !~ '^pg_'";
    assert_eq!(
        member.value(roles).await,
        "app001 postgres111 replicator010 rewinder000"
    );
    for user in ["replicator", "rewinder"] {
        assert!(member.session_as(&login(user)).await.is_ok(), "{user}");
    }
    let stranger = Login {
        password: Some(Secret::new("wrong")),
        ..login("postgres")
    };
    assert!(member.session_as(&stranger).await.is_err());
    let conninfo = member.value("select conninfo from script_ran").await;
    assert!(conninfo.starts_with("host=localhost port="), "{conninfo}");

    let conf = member.read("postgresql.conf");
    holds_what_postgresql_takes(&conf);
    assert!(
        member
            .read("postgresql.base.conf")
            .contains("PostgreSQL configuration file")
    );
    assert!(member.read("postgresql.conf.backup") == conf);
    assert!(
        member
            .read("postmaster.opts")
            .contains("\"--max_connections=50\"")
    );
    let pgpass = &member.settings.fixed.place.pgpass.clone().unwrap();
    let found = std::fs::metadata(pgpass).unwrap();
    assert_eq!(found.mode() & 0o777, 0o600);
    assert_ne!(found.uid(), 0, "it belongs to the server's account");
}

#[tokio::test]
async fn a_new_role_or_new_settings_reach_the_running_server() {
    let bed = Bed::new();
    let member = bed.primary("a").await;
    let mut settings = pgherd_settings::Settings::clone(&member.settings);
    let pg = &mut settings.changing.postgresql;
    pg.parameters.insert("work_mem".into(), "9MB".into());
    pg.parameters.insert("shared_buffers".into(), "24MB".into());
    pg.role_parameters
        .primary
        .insert("log_statement".into(), "ddl".into());
    pg.controlled
        .command_line
        .insert("max_connections".into(), "70".into());
    pg.pg_hba.all = Some(vec!["host all all 127.0.0.1/32 scram-sha-256".into()]);
    let settings = std::sync::Arc::new(settings);
    let server = &member.server;
    server
        .configure(std::sync::Arc::clone(&settings), PgRole::Primary, None)
        .await;
    member.has("show work_mem", "9MB").await;
    member.has("show log_statement", "ddl").await;
    member
        .has("select count(*) from pg_hba_file_rules", "1")
        .await;
    let seen = member
        .until("restarts are pending", |seen| {
            seen.live
                .known()
                .is_some_and(|live| live.pending_restart.len() == 2)
        })
        .await;
    let pending = &seen.live.known().unwrap().pending_restart;
    assert_eq!(pending["max_connections"], ("100".into(), "70".into()));
    assert_eq!(pending["shared_buffers"], ("16MB".into(), "24MB".into()));

    // Nothing changed: nothing is written.
    let written = || {
        let path = member.data_dir().join("postgresql.conf");
        std::fs::metadata(path).unwrap().modified().unwrap()
    };
    let before = written();
    server.configure(settings, PgRole::Primary, None).await;
    assert_eq!(written(), before);

    // As after `systemctl restart`: an agent that has just started leaves the server alone.
    let again = member.with_new_agent();
    let pid = seen.postmaster;
    assert_eq!(again.server.observe().await.postmaster, pid);
}

#[tokio::test]
async fn a_bootstrap_that_fails_leaves_its_directory_aside() {
    let bed = Bed::new();
    let member = bed.member_with("a", |settings| {
        settings.fixed.bootstrap.post_bootstrap =
            Some("/bin/sh -c 'echo no luck >&2; exit 7'".into());
    });
    let error = member.carry_out(Work::Bootstrap).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no luck") && text.contains("data.failed"),
        "{text}"
    );
    assert_eq!(member.server.observe().await.data, DataDirectory::Empty);
    assert!(bed.path().join("a/data.failed/PG_VERSION").exists());
    assert_eq!(member.processes(), 0);
}

#[tokio::test]
async fn a_custom_method_restores_and_becomes_a_primary_of_its_own() {
    let bed = Bed::new();
    let source = bed.primary("a").await;
    source.run("create table kept as select 7 as seven").await;
    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    source.carry_out(stop).await.unwrap();
    let script = bed.path().join("restore.sh");
    let text = format!(
        "#!/bin/sh\necho \"$@\" > {0}/arguments\ncp -a {1} {0}/b/data\n",
        bed.path(),
        source.data_dir()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(bed.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let member = bed.member_with("b", |settings| {
        settings.fixed.bootstrap.custom = Some(CustomBootstrap {
            name: "restore".into(),
            command: script.to_string(),
            no_params: false,
            keep_existing_recovery_conf: false,
            recovery_conf: [
                ("restore_command".to_owned(), "false".to_owned()),
                ("recovery_target_action".to_owned(), "promote".to_owned()),
            ]
            .into(),
            params: [("kind".to_owned(), "full".to_owned())].into(),
        });
        settings
            .changing
            .postgresql
            .authentication
            .superuser
            .password = Some(Secret::new("another"));
    });
    std::fs::create_dir(bed.path().join("b")).unwrap();
    std::fs::set_permissions(bed.path().join("b"), std::fs::Permissions::from_mode(0o777)).unwrap();
    member.carry_out(Work::Bootstrap).await.unwrap();
    let arguments = std::fs::read_to_string(bed.path().join("arguments")).unwrap();
    assert!(arguments.contains("--scope=herd") && arguments.contains("--kind=full"));
    assert_eq!(member.value("select seven from kept").await, "7");
    let seen = member.server.observe().await;
    let live = seen.live.known().unwrap();
    assert!(seen.runs_as_primary() && live.pending_restart.is_empty());
    assert_eq!(live.timeline.0, 2, "it came out of recovery");
    assert!(!member.read("postgresql.conf").contains("restore_command"));
    assert!(!member.read("pg_hba.conf").contains("\"postgres\" trust"));
}

#[tokio::test]
async fn a_work_that_is_called_off_leaves_nothing_behind() {
    let bed = Bed::new();
    let member = bed.member_with("a", |settings| {
        settings.fixed.bootstrap.post_bootstrap = Some("/bin/sleep 600".into());
    });
    let progress = pgherd_ports::Progress::default();
    tokio::select! {
        done = member.server.carry_out(&Work::Bootstrap, &progress) => panic!("{done:?}"),
        () = async {
            while progress.said().as_deref() != Some("creating roles") {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        } => {}
    }
    let seen = member
        .until("nothing runs", |seen| !seen.is_running())
        .await;
    assert_eq!(seen.data, DataDirectory::Empty);
    assert!(bed.path().join("a/data.failed").exists());
}

#[tokio::test]
async fn the_dynamic_configuration_is_kept_beside_the_data_and_comes_with_a_copy() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let kept = |member: &crate::bed::Member| pgherd_postgres::kept_dynamic(member.data_dir());
    assert_eq!(kept(&primary), Ok(None));
    let (first, second) = (json!({"ttl": 20}), json!({"ttl": 25, "pause": true}));
    for dynamic in [&first, &second] {
        primary.server.keep_dynamic(dynamic).await;
        assert_eq!(
            kept(&primary).unwrap().map(Value::Object).as_ref(),
            Some(dynamic)
        );
    }
    let file = primary.data_dir().join("patroni.dynamic.json");
    let metadata = std::fs::metadata(&file).unwrap();
    let folder = std::fs::metadata(primary.data_dir()).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.mode() & 0o777),
        (folder.uid(), 0o600)
    );

    let replica = bed.member("b");
    replica.join(&primary).await;
    assert_eq!(
        kept(&replica).unwrap().map(Value::Object).as_ref(),
        Some(&second)
    );

    // The first member of a standby cluster copies another cluster, whose configuration says nothing of following it.
    let far = bed.member("far");
    let source = Upstream {
        name: None,
        slot: None,
        ..primary.upstream_of(&far)
    };
    let copy = Work::Clone {
        source,
        basebackup_only: false,
    };
    far.carry_out(copy).await.unwrap();
    assert_eq!(kept(&far), Ok(None), "another cluster's");

    std::fs::write(&file, "[1]").unwrap();
    let why = kept(&primary).unwrap_err();
    assert!(
        why.contains("patroni.dynamic.json is not a JSON object"),
        "{why}"
    );
}
