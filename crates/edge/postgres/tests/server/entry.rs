//! Keeping clients out of a server that is started, and letting them in again.

use std::time::Duration;

use pgherd_domain::{Adjustment, Entry, StartAs, StopMode, Work};
use pgherd_ports::LocalPostgres as _;
use pgherd_settings::{Login, Secret};

use crate::bed::{Bed, Member, PATIENCE};

const PRIMARY: StartAs = StartAs::Primary { valid_until: None };

fn client() -> Login {
    Login {
        username: Some("client".into()),
        password: Some(Secret::new("secret")),
        ..Login::default()
    }
}

async fn gets_in(member: &Member) -> bool {
    match member.session_as(&client()).await {
        Ok(_) => true,
        Err(error) => {
            let code = error.code().map(tokio_postgres::error::SqlState::code);
            assert_eq!(code, Some("28000"), "{error}");
            false
        }
    }
}

async fn until_client(member: &Member, wanted: bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while gets_in(member).await != wanted {
        assert!(tokio::time::Instant::now() < deadline, "not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn primary(bed: &Bed) -> Member {
    let member = bed.primary("a").await;
    member
        .run("CREATE ROLE client LOGIN PASSWORD 'secret'")
        .await;
    assert!(gets_in(&member).await);
    member
}

async fn started_closed(member: &Member) {
    member.adjust(Adjustment::CloseEntry).await;
    assert_eq!(member.server.observe().await.entry, Entry::Closed);
    member.kill_postmaster();
    member.until("it is gone", |seen| !seen.is_running()).await;
    member.start(PRIMARY).await.unwrap();
    assert!(!gets_in(member).await);
    assert_eq!(member.value("SELECT 1").await, "1", "the agent gets in");
}

#[tokio::test]
async fn a_server_that_was_started_closed_opens_without_a_restart() {
    let bed = Bed::new();
    let member = primary(&bed).await;
    let file = member.read("pg_hba.conf");
    let shown = member.value("SHOW hba_file").await;
    started_closed(&member).await;
    assert_eq!(
        member.read("pg_hba.conf"),
        file,
        "the operator's file stays"
    );

    let next = member.with_new_agent();
    assert_eq!(next.server.observe().await.entry, Entry::Closed);
    let started = next.value("SELECT pg_postmaster_start_time()").await;
    next.adjust(Adjustment::OpenEntry).await;
    assert_eq!(next.server.observe().await.entry, Entry::Open);
    until_client(&next, true).await;
    let now = next.value("SELECT pg_postmaster_start_time()").await;
    assert_eq!(now, started);

    let pending = "SELECT count(*)::text FROM pg_settings WHERE pending_restart";
    assert_eq!(next.value(pending).await, "0", "nothing is wrong with it");
    // The operator's own file is what holds from now on.
    let path = next.data_dir().join("pg_hba.conf");
    std::fs::write(&path, format!("host all client all reject\n{file}")).unwrap();
    next.run("SELECT pg_reload_conf()").await;
    until_client(&next, false).await;
    std::fs::write(&path, &file).unwrap();

    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    next.carry_out(stop).await.unwrap();
    next.start(PRIMARY).await.unwrap();
    assert!(gets_in(&next).await);
    assert_eq!(next.value("SHOW hba_file").await, shown);
}

#[tokio::test]
async fn a_file_at_fault_is_not_opened_and_the_line_is_named() {
    let bed = Bed::new();
    let member = primary(&bed).await;
    started_closed(&member).await;
    let path = member.data_dir().join("pg_hba.conf");
    let file = member.read("pg_hba.conf");
    std::fs::write(&path, format!("{file}host all all maybe\n")).unwrap();
    let open = Adjustment::OpenEntry;
    let error = member.server.adjust(&open).await.unwrap_err().to_string();
    assert!(
        error.contains("is at fault") && error.contains("line"),
        "{error}"
    );
    assert_eq!(member.server.observe().await.entry, Entry::Closed);
    assert!(!gets_in(&member).await);
    std::fs::write(&path, file).unwrap();
    member.adjust(open).await;
    until_client(&member, true).await;
}
