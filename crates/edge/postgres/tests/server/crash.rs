//! Crashes and last resorts: told at once, over at once, with nothing left that could still commit.

use std::time::Duration;

use pgherd_domain::{StartAs, StopMode, Work};
use pgherd_ports::{Clock as _, LocalPostgres as _, SystemClock};
use tokio::time::{Instant, timeout};

use crate::bed::{Bed, Member, PATIENCE};

/// Sessions that are inside a statement and do not look at signals for a while.
async fn busy_sessions(member: &Member) {
    for _ in 0..4 {
        let session = member.session().await;
        tokio::spawn(async move {
            let statement =
                "select count(*) from generate_series(1, 2000000000) as a(x) where x % 7 = 3";
            drop(session.batch_execute(statement).await);
        });
    }
    member
        .has("select (count(*) >= 4)::text from pg_stat_activity where query ~ '^select count' and state = 'active'", "true")
        .await;
}

#[tokio::test]
async fn a_killed_postmaster_is_told_at_once_and_started_again_at_once() {
    let bed = Bed::new();
    let member = bed.primary("a").await;
    let first = member.server.observe().await;
    busy_sessions(&member).await;
    assert!(
        timeout(Duration::from_millis(50), member.server.exited())
            .await
            .is_err(),
        "it runs"
    );
    member.kill_postmaster();
    timeout(Duration::from_secs(2), member.server.exited())
        .await
        .unwrap();
    let seen = member.server.observe().await;
    assert!(!seen.is_running());
    assert!(
        !member.server.is_gone().await,
        "S5: its sessions still work"
    );
    assert!(seen.live.known().is_none() && seen.live.last().is_some());
    assert!(
        timeout(Duration::from_millis(50), member.server.exited())
            .await
            .is_err(),
        "an exit is told once"
    );

    let began = Instant::now();
    member
        .start(StartAs::Primary { valid_until: None })
        .await
        .unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("restart after SIGKILL: {took:?}");
    let seen = member.server.observe().await;
    assert_ne!(seen.postmaster, first.postmaster);
    assert!(seen.runs_as_primary());
    member.kill_postmaster();
    timeout(Duration::from_secs(2), member.server.exited())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_fence_ends_every_process_of_a_primary_and_none_of_a_replica() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let replica = bed.member("b");
    replica.join(&primary).await;
    replica.server.fence().await;
    assert!(
        replica.server.observe().await.is_running(),
        "a replica stays"
    );

    busy_sessions(&primary).await;
    primary.server.observe().await;
    // A postmaster that hears nothing has to be killed.
    let pid = primary.read("postmaster.pid");
    let pid: i32 = pid.lines().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let began = Instant::now();
    primary.server.fence().await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(primary.processes(), 0);

    // Sessions that outlive their postmaster are ended too.
    primary
        .start(StartAs::Primary { valid_until: None })
        .await
        .unwrap();
    busy_sessions(&primary).await;
    primary.kill_postmaster();
    primary.server.fence().await;
    assert_eq!(primary.processes(), 0);
    // A busy disk may make a look or two say otherwise.
    let gone = async { while !primary.server.is_gone().await {} };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn a_slow_stop_escalates() {
    let bed = Bed::new();
    let member = bed.primary("a").await;
    let stop = |mode, escalate_at| Work::Stop { mode, escalate_at };
    // A frozen postmaster hears no SIGINT.
    let pid = member.read("postmaster.pid");
    let pid: i32 = pid.lines().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let soon = SystemClock.now().plus(Duration::from_millis(200));
    let stopping = member.carry_out(stop(StopMode::Fast, Some(soon)));
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
    assert_eq!(member.processes(), 0);
    member
        .carry_out(stop(StopMode::Immediate, None))
        .await
        .expect("nothing runs: stopped");
    // The number in a lock file that was left behind may be somebody else's by now: that keeps no start back.
    let stale = format!(
        "{}\n{}\n1\n5432\n\n\n\n\n",
        std::process::id(),
        member.data_dir()
    );
    std::fs::write(member.data_dir().join("postmaster.pid"), stale).unwrap();
    member
        .start(StartAs::Primary { valid_until: None })
        .await
        .unwrap();
    let work = Work::Restart {
        start_as: StartAs::Primary { valid_until: None },
        timeout: PATIENCE,
    };
    let before = member.server.observe().await.postmaster;
    member.carry_out(work).await.unwrap();
    member.carry_out(Work::Checkpoint).await.unwrap();
    let seen = member.server.observe().await;
    assert!(seen.accepting && seen.postmaster != before);
}
