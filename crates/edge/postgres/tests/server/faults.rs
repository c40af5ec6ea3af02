//! What goes wrong at a start, in words that say why; and nothing touched.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use pgherd_domain::{PgRole, StartAs, StopMode, Work, WorkError};
use pgherd_ports::{LocalPostgres as _, SystemClock, Wake};
use pgherd_postgres::{LocalServer, check_setup};
use pgherd_settings::Settings;

use crate::bed::Bed;

#[tokio::test]
async fn a_start_that_fails_says_what_the_server_said() {
    let bed = Bed::new();
    let member = bed.primary("a").await;
    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    member.carry_out(stop).await.unwrap();
    assert_eq!(check_setup(&member.settings), Vec::<String>::new());

    let _stranger = TcpListener::bind(("127.0.0.1", member.port())).unwrap();
    let faults = check_setup(&member.settings);
    assert!(
        faults[0].contains(&member.port().to_string()) && faults[0].contains("in use"),
        "{faults:?}"
    );
    let error = member
        .start(StartAs::Primary { valid_until: None })
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Address already in use"), "{text}");
    assert!(!member.server.observe().await.is_running());

    let control = member.data_dir().join("global/pg_control");
    std::fs::write(&control, "rubbish").unwrap();
    let error = member
        .start(StartAs::Primary { valid_until: None })
        .await
        .unwrap_err();
    assert!(matches!(error, WorkError::Hopeless(_)), "{error:?}");
}

#[tokio::test]
async fn an_order_to_stop_gets_through_a_restore_command_that_hangs() {
    let bed = Bed::new();
    let member = bed.primary("a").await;
    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    member.carry_out(stop.clone()).await.unwrap();
    let mut settings = Settings::clone(&member.settings);
    let recovery = &mut settings.changing.postgresql.recovery_conf;
    recovery.insert("restore_command".into(), "sleep 600".into());
    // Handed in while it is down, and in force at its start.
    let settings = Arc::new(settings);
    let configuring = member.server.configure(settings, PgRole::Replica, None);
    configuring.await;
    let start = Work::Start {
        start_as: StartAs::Replica { upstream: None },
        timeout: std::time::Duration::from_secs(1),
    };
    let error = member.carry_out(start).await.unwrap_err().to_string();
    assert!(
        error.contains("is still starting up and goes on"),
        "{error}"
    );
    let stopping = tokio::time::timeout(crate::bed::PATIENCE, member.carry_out(stop));
    stopping.await.unwrap().unwrap();
    assert!(!member.server.observe().await.is_running());
}

#[tokio::test]
async fn what_the_server_said_in_its_own_log_counts_too() {
    let bed = Bed::new();
    let member = bed.member_with("a", |settings| {
        let pg = &mut settings.changing.postgresql;
        pg.parameters
            .insert("logging_collector".into(), "on".into());
        pg.pg_hba.all = Some(vec!["host all all 127.0.0.1/32 maybe".into()]);
    });
    let error = member.carry_out(Work::Bootstrap).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("invalid authentication method"), "{text}");
}

#[tokio::test]
async fn an_operators_single_user_server_is_left_alone() {
    let bed = Bed::new();
    let member = bed.primary("a").await;
    member.server.fence().await;
    let owner = std::fs::metadata(member.data_dir()).unwrap();
    let mut repair = Command::new(member.settings.fixed.place.program("postgres"))
        .args(["--single", "-D", member.data_dir().as_str(), "postgres"])
        .uid(owner.uid())
        .gid(owner.gid())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid_file = || std::fs::read_to_string(member.data_dir().join("postmaster.pid"));
    member
        .until("it has its pid file", |_| {
            pid_file().is_ok_and(|text| text.starts_with('-') && text.lines().count() > 2)
        })
        .await;
    let error = member
        .start(StartAs::Primary { valid_until: None })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("single-user"), "{error}");
    member.server.fence().await;
    assert_eq!(repair.try_wait().unwrap(), None, "it goes on");
    drop(repair.stdin.take());
    assert!(repair.wait().unwrap().success());
    member
        .start(StartAs::Primary { valid_until: None })
        .await
        .unwrap();
}

#[tokio::test]
async fn faults_of_the_setup_are_found_before_anything_is_touched() {
    let bed = Bed::new();
    let member = bed.member("a");
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = Settings::clone(&member.settings);
        change(&mut settings);
        settings
    };
    let no_programs = with(&|settings| settings.fixed.place.bin_dir = Some("/no/such/bin".into()));
    let faults = check_setup(&no_programs);
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("`postgres` in /no/such/bin")),
        "{faults:?}"
    );

    let roots_dir = with(&|settings| settings.fixed.place.data_dir = "/usr".into());
    let new = LocalServer::new(Arc::new(roots_dir), Arc::new(SystemClock), Wake::new());
    let text = new.unwrap_err().to_string();
    assert!(
        text.contains("belongs to root") || text.contains("start as its owner"),
        "{text}"
    );

    member.carry_out(Work::Bootstrap).await.unwrap();
    let set = |mode| {
        std::fs::set_permissions(member.data_dir(), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(0o755);
    let faults = check_setup(&member.settings);
    assert!(
        faults[0].contains("0755") && faults[0].contains("chmod 0700"),
        "{faults:?}"
    );
    set(0o700);
    assert!(member.server.observe().await.is_running());
}
