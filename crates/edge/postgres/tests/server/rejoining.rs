//! A former primary with a history of its own becomes a replica again.

use std::os::unix::fs::PermissionsExt as _;

use pgherd_domain::{Adjustment, ControlState, StartAs, StopMode, Work, WorkError};
use pgherd_ports::LocalPostgres as _;

use crate::bed::{Bed, Member};

/// `old` is killed with rows that `new`, promoted now, does not have.
async fn diverge(old: &Member, new: &Member) {
    new.stop_fast().await;
    old.run("create table only_on_old as select generate_series(1, 1000)")
        .await;
    old.server.fence().await;
    new.start(StartAs::Replica { upstream: None })
        .await
        .unwrap();
    new.promote().await;
    new.run("create table only_on_new as select 42 as answer")
        .await;
}

#[tokio::test]
async fn a_crashed_former_primary_is_recovered_rewound_and_streams() {
    let bed = Bed::new();
    let old = bed.primary("a").await;
    let new = bed.member("b");
    new.join(&old).await;
    diverge(&old, &new).await;

    let state = |seen: &pgherd_domain::PostgresSeen| seen.control().unwrap().state;
    let seen = old.server.observe().await;
    assert_eq!(state(&seen), ControlState::InProduction);
    assert_eq!(seen.control().unwrap().checkpoint_end, None);
    old.carry_out(Work::CrashRecovery).await.unwrap();
    let seen = old.server.observe().await;
    assert_eq!(state(&seen), ControlState::ShutDown);
    let end = seen.control().unwrap().checkpoint_end.unwrap();
    let source = new.upstream_of(&old);
    let history = old.server.ask_history(&source).await.unwrap();
    assert_eq!(history.system_id, seen.control().unwrap().system_id);
    let fork = history
        .history
        .switch_of(pgherd_domain::TimelineId(1))
        .unwrap();
    assert!(end > fork, "it went on behind the fork: {end} > {fork}");

    let own_port = format!("port = '{}'", old.port());
    old.carry_out(Work::Rewind { source }).await.unwrap();
    let conf = old.read("postgresql.conf");
    assert!(
        conf.contains(&own_port),
        "its own configuration, not the source's"
    );
    assert!(conf.contains(&format!("port={}", new.port())));
    old.stream_from(&new).await;
    old.has("select answer from only_on_new", "42").await;
    assert_eq!(
        old.value("select to_regclass('only_on_old') is null").await,
        "t"
    );
    let seen = old.server.observe().await;
    assert_eq!(seen.live.known().unwrap().timeline.0, 2);
}

/// A standby that somebody promoted is wound back to its primary. The next primary's timeline gets the number that its own
/// had, and nothing of that may be replayed.
#[tokio::test]
async fn nothing_of_a_timeline_that_was_given_up_stays_behind() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let next = bed.member("b");
    next.join(&primary).await;
    let strayed = bed.member("c");
    strayed.join(&primary).await;
    strayed.promote().await;
    strayed
        .run("create table only_on_strayed as select generate_series(1, 1000)")
        .await;
    // Its WAL goes on in another file than the one of the fork.
    strayed.run("select pg_switch_wal()").await;
    strayed.run("checkpoint").await;
    strayed.stop_fast().await;
    let source = primary.upstream_of(&strayed);
    strayed.carry_out(Work::Rewind { source }).await.unwrap();
    for folder in ["pg_wal", "pg_wal/archive_status"] {
        let files = std::fs::read_dir(strayed.data_dir().join(folder)).unwrap();
        let left: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("00000002"))
            .collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
    strayed.stream_from(&primary).await;

    next.promote().await;
    next.run("create table on_next as select 42 as answer")
        .await;
    let upstream = next.upstream_of(&strayed);
    let slot = upstream.slot.clone().unwrap();
    next.adjust(Adjustment::CreateSlot(slot)).await;
    let upstream = Some(upstream);
    strayed.adjust(Adjustment::Follow { upstream }).await;
    strayed
        .has("select to_regclass('on_next') is not null", "t")
        .await;
    let absent = "select to_regclass('only_on_strayed') is null";
    assert_eq!(strayed.value(absent).await, "t");
    let told = strayed
        .server
        .ask_history(&next.upstream_of(&strayed))
        .await;
    assert_eq!(told.unwrap().same_wal, Some(true));
}

/// Two servers that were promoted at one position have timelines of one number with one history; only their bytes differ.
#[tokio::test]
async fn two_timelines_of_one_number_and_one_history_are_told_apart_by_their_bytes() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let members = [bed.member("b"), bed.member("c")];
    for member in &members {
        member.join(&primary).await;
    }
    primary.stop_fast().await;
    for member in &members {
        member.promote().await;
        let own = format!("create table only_on_{}()", member.name());
        member.run(&own).await;
        // Whatever follows in this file is nothing, on both.
        member.run("select pg_switch_wal()").await;
    }
    let [leader, rival] = members;
    rival.stop_fast().await;
    let upstream = leader.upstream_of(&rival);
    let told = rival.server.ask_history(&upstream).await.unwrap();
    assert_eq!(told.same_wal, Some(false), "stopped");
    // Without a slot it does not even begin to stream, and stays where it is.
    let start_as = StartAs::Replica {
        upstream: Some(upstream.clone()),
    };
    rival.start(start_as).await.unwrap();
    rival.until("it runs", |seen| seen.accepting).await;
    let told = rival.server.ask_history(&upstream).await.unwrap();
    assert_eq!(
        (told.timeline.0, told.same_wal),
        (2, Some(false)),
        "running"
    );
}

#[tokio::test]
async fn wal_that_is_not_here_any_more_is_fetched_from_the_archive_for_a_rewind() {
    let bed = Bed::new();
    let archive = bed.path().join("archive");
    std::fs::create_dir(&archive).unwrap();
    std::fs::set_permissions(&archive, std::fs::Permissions::from_mode(0o777)).unwrap();
    let old = bed.member_with("a", |settings| {
        let pg = &mut settings.changing.postgresql;
        let mut set = |name: &str, value: String| pg.parameters.insert(name.into(), value);
        set("archive_mode", "on".into());
        set("archive_command", format!("cp %p {archive}/%f"));
        let restore = format!("cp {archive}/%f %p");
        pg.recovery_conf.insert("restore_command".into(), restore);
    });
    old.carry_out(Work::Bootstrap).await.unwrap();
    let new = bed.member("b");
    new.join(&old).await;
    let mode = StopMode::Fast;
    let escalate_at = None;
    new.carry_out(Work::Stop { mode, escalate_at })
        .await
        .unwrap();
    for round in 0..3 {
        old.run(&format!(
            "create table only_on_old_{round} as select generate_series(1, 1000)"
        ))
        .await;
        old.run("select pg_switch_wal()").await;
    }
    old.has("select archived_count >= 3 from pg_stat_archiver", "t")
        .await;
    old.server.fence().await;
    new.start(StartAs::Replica { upstream: None })
        .await
        .unwrap();
    new.promote().await;
    new.run("create table only_on_new as select 42 as answer")
        .await;
    old.carry_out(Work::CrashRecovery).await.unwrap();

    // A checkpoint has removed what the archive has.
    let end = old
        .server
        .observe()
        .await
        .control()
        .unwrap()
        .checkpoint
        .as_u64();
    let last = format!("00000001{:08X}{:08X}", end >> 32, (end & 0xFFFF_FFFF) >> 24);
    let wal = old.data_dir().join("pg_wal");
    let mut removed = 0;
    for entry in std::fs::read_dir(&wal).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.len() == 24 && name < last && archive.join(&name).exists() {
            std::fs::remove_file(entry.path()).unwrap();
            removed += 1;
        }
    }
    assert!(removed >= 2, "{removed} segments before {last}");

    let source = new.upstream_of(&old);
    old.carry_out(Work::Rewind { source }).await.unwrap();
    old.stream_from(&new).await;
    old.has("select answer from only_on_new", "42").await;
    assert_eq!(
        old.value("select to_regclass('only_on_old_2') is null")
            .await,
        "t"
    );
}

#[tokio::test]
async fn a_rewind_that_can_not_work_says_so() {
    let bed = Bed::new();
    let old = bed.primary("a").await;
    let stranger = bed.primary("b").await;
    old.server.fence().await;
    let source = stranger.upstream_of(&old);
    let error = old.carry_out(Work::Rewind { source }).await.unwrap_err();
    assert!(
        matches!(&error, WorkError::Hopeless(text) if text.contains("different systems")),
        "{error:?}"
    );

    stranger.server.fence().await;
    let source = stranger.upstream_of(&old);
    let error = old.carry_out(Work::Rewind { source }).await.unwrap_err();
    assert!(matches!(error, WorkError::Failed(_)), "{error:?}");
}

#[tokio::test]
async fn the_end_of_a_clean_shutdown_is_where_its_wal_ends() {
    let bed = Bed::new();
    let member = bed.primary("a").await;
    // Several ends, so that one of them may lie across a page.
    for round in 0..4 {
        member
            .run(&format!(
                "create table t{round} as select generate_series(1, {round}77)"
            ))
            .await;
        member
            .carry_out(Work::Stop {
                mode: StopMode::Fast,
                escalate_at: None,
            })
            .await
            .unwrap();
        let control = member.server.observe().await.control().unwrap().clone();
        let dump = std::process::Command::new(member.settings.fixed.place.program("pg_waldump"))
            .args(["-p", member.data_dir().join("pg_wal").as_str()])
            .args(["-s", &control.checkpoint.to_string()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&dump.stderr).into_owned();
        // "error in WAL record at 0/X: invalid record length at 0/END: ..."
        let positions = said.split([' ', ':']);
        let page = positions
            .filter_map(|word| pgherd_domain::Lsn::parse(word).ok())
            .next_back()
            .unwrap();
        let computed = control.checkpoint_end.unwrap();
        assert!(
            page == computed || page.as_u64() % 8192 <= 40 && computed.as_u64() % 8192 == 0,
            "{said}: {computed}"
        );
        member
            .start(StartAs::Primary { valid_until: None })
            .await
            .unwrap();
    }
}
