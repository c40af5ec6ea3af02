//! A replica that follows, is pointed elsewhere, and is promoted.

use std::sync::Arc;

use pgherd_domain::{Adjustment, ControlState, Moment, PgRole, StartAs, StopMode, Work, WorkError};
use pgherd_ports::LocalPostgres as _;
use pgherd_settings::{Settings, StandbyCluster};
use rustix::process::{Signal, kill_process};

use crate::bed::{Bed, PATIENCE};

#[tokio::test]
async fn the_leader_of_a_standby_cluster_without_a_host_delays_its_replay_from_its_start_on() {
    let bed = Bed::new();
    let member = bed.primary("a").await;
    let stop = Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    };
    member.carry_out(stop).await.unwrap();
    let member = member.with_new_agent();
    let mut settings = Settings::clone(&member.settings);
    settings.changing.cluster.standby_cluster = Some(StandbyCluster {
        restore_command: Some("false".into()),
        recovery_min_apply_delay: Some("1h".into()),
        ..StandbyCluster::default()
    });
    let settings = Arc::new(settings);
    let configure = |role| {
        let settings = Arc::clone(&settings);
        member.server.configure(settings, role, None)
    };
    configure(PgRole::StandbyLeader).await;
    member
        .start(StartAs::Replica { upstream: None })
        .await
        .unwrap();
    let delay = "select current_setting('recovery_min_apply_delay')";
    assert_eq!(member.value(delay).await, "1h");
    configure(PgRole::Replica).await;
    member.has(delay, "0").await;
}

#[tokio::test]
async fn a_replica_follows_another_by_reload_and_the_promoted_one_starts_a_timeline() {
    let bed = Bed::new();
    let old = bed.primary("a").await;
    let new = bed.member("b");
    let third = bed.member("c");
    new.join(&old).await;
    third.join(&old).await;
    let pid = third.server.observe().await.postmaster;

    let expired = Work::promote(Moment::from_millis(1));
    assert_eq!(new.carry_out(expired).await, Err(WorkError::LeaseEnded));
    assert!(new.server.observe().await.live.known().unwrap().in_recovery);

    old.server.fence().await;
    new.promote().await;
    let seen = new.server.observe().await;
    let live = seen.live.known().unwrap();
    assert!(seen.runs_as_primary() && !seen.standby_signal);
    assert_eq!((live.timeline.0, live.history.switches.len()), (2, 1));
    new.configure(PgRole::Primary).await;
    assert!(!new.read("postgresql.conf").contains("primary_conninfo"));
    new.promote().await;
    assert_eq!(new.value("select pg_is_in_recovery()").await, "f");

    let upstream = new.upstream_of(&third);
    new.adjust(Adjustment::CreateSlot(upstream.slot.clone().unwrap()))
        .await;
    let upstream = Some(upstream);
    third
        .adjust(Adjustment::Follow {
            upstream: upstream.clone(),
        })
        .await;
    new.run("create table after_promotion()").await;
    third
        .has(
            "select count(*) from pg_class where relname = 'after_promotion'",
            "1",
        )
        .await;
    let seen = third.streams().await;
    assert_eq!(seen.postmaster, pid, "no restart");
    assert_eq!(
        seen.live.known().unwrap().configured_upstream,
        Some(("127.0.0.1".into(), new.port()))
    );
    third.adjust(Adjustment::Follow { upstream }).await;

    // An agent that has just started keeps whom it follows.
    let again = third.with_new_agent();
    again.configure(PgRole::Replica).await;
    assert!(
        third
            .read("postgresql.conf")
            .contains(&format!("port={}", new.port()))
    );
    let seen = again
        .server
        .ask_history(&new.upstream_of(&third))
        .await
        .unwrap();
    assert_eq!((seen.in_recovery, seen.timeline.0), (false, 2));
    assert_eq!(seen.history.switches.len(), 1);
}

#[tokio::test]
async fn the_agent_owns_the_synchronous_standby_names() {
    let bed = Bed::new();
    let member = bed.member_with("a", |settings| {
        settings.changing.cluster.synchronous_mode = pgherd_domain::SyncMode::On;
        settings
            .changing
            .postgresql
            .parameters
            .insert("synchronous_standby_names".into(), "users".into());
    });
    member.carry_out(Work::Bootstrap).await.unwrap();
    let names = |seen: &pgherd_domain::PostgresSeen| {
        seen.live
            .known()
            .map(|live| live.synchronous_standby_names.clone())
    };
    assert_eq!(names(&member.server.observe().await).as_deref(), Some(""));
    let set =
        |names: Option<&str>| Adjustment::SetSynchronousStandbyNames(names.map(ToOwned::to_owned));
    member.adjust(set(Some("2 (b,\"c-d\")"))).await;
    assert_eq!(
        names(&member.server.observe().await).as_deref(),
        Some("2 (b,\"c-d\")")
    );

    // Commits must not begin to go on alone because an agent restarts.
    let again = member.with_new_agent();
    again.configure(PgRole::Primary).await;
    again.server.reload().await.unwrap();
    assert!(member.read("postgresql.conf").contains("'2 (b,\"c-d\")'"));
    again.adjust(set(Some(""))).await;
    assert_eq!(names(&again.server.observe().await).as_deref(), Some(""));
}

#[tokio::test]
async fn a_stop_shows_its_last_record_and_waits_for_a_silent_standby_only_so_long() {
    let bed = Bed::new();
    let primary = bed.primary("a").await;
    let standby = bed.member("b");
    standby.join(&primary).await;
    standby.streams().await;
    let receiver = standby.process("walreceiver");
    kill_process(receiver, Signal::STOP).unwrap();
    primary.run("create table never_sent()").await;
    let stop = primary.carry_out(Work::Stop {
        mode: StopMode::Fast,
        escalate_at: None,
    });
    let shown = primary.until("it has shut down and still runs", |seen| {
        let state = seen.control().map(|control| control.state);
        seen.is_running() && !seen.accepting && state == Some(ControlState::ShutDown)
    });
    let (stopped, _) = tokio::time::timeout(PATIENCE, async { tokio::join!(stop, shown) })
        .await
        .expect("it does not wait for wal_sender_timeout");
    stopped.unwrap();
    let seen = primary.server.observe().await;
    let state = seen.control().map(|control| control.state);
    assert_eq!(
        (seen.is_running(), state),
        (false, Some(ControlState::ShutDown))
    );
}
