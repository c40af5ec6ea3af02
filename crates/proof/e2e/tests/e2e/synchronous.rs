//! The synchronous modes: a standby that is lost delays commits for a moment only, and whatever happens to whom, no
//! acknowledged row is lost. `PGHERD_SYNC_RUNS=20` puts as many faults to each mode.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{
    FAILOVER, Leader, REJOIN, load, rows_arrive, synchronous_standby, trial, verdict, with_herd,
};
use pgherd_testbed::{Cut, Herd, HerdOptions, Oracle, wait_for};
use rustix::process::{Signal, kill_process};

/// Well below `loop_wait`: who only looked every turn would take longer. On a quiet machine it is below half a second.
const SOON: Duration = Duration::from_secs(4);

/// `wal_retrieve_retry_interval`: a standby that nobody told would stay away for so long.
const RETRY: Duration = Duration::from_secs(5);

/// `pgherd.silent_standby_timeout`, and the second after which it begins.
const SILENT: Duration = Duration::from_secs(6);

fn in_mode(mode: &str) -> HerdOptions {
    HerdOptions {
        synchronous: mode.to_owned(),
        ..HerdOptions::default()
    }
}

/// A member that commits wait for.
async fn waited_for(herd: &Herd) -> Result<usize> {
    let name = "SELECT min(application_name) FROM pg_stat_replication \
                WHERE sync_state IN ('sync', 'quorum')";
    let name = herd.leader().await?.query(name).await?;
    let found = herd.members.iter().position(|it| it.name() == name);
    found.with_context(|| format!("no member is called '{name}'"))
}

/// Kills a synchronous standby, or takes its power so that its connection stays; how long no row was acknowledged.
async fn lose_a_standby(herd: &mut Herd, silently: bool) -> Result<Duration> {
    synchronous_standby(herd).await?;
    let standby = waited_for(herd).await?;
    let mut oracle = load(herd).await?;
    let began = oracle.now();
    if silently {
        herd.members[standby].host().power_off()?;
    } else {
        herd.members[standby].host().kill_all()?;
    }
    rows_arrive(&oracle, 300).await?;
    let gap = oracle.longest_gap(began).length();
    herd.members[standby].host().power_on()?;
    herd.members[standby].start()?;
    herd.wait_formed(REJOIN).await?;
    let audit = verdict(herd, &mut oracle).await?;
    let lost = (&audit.lost, &audit.lost_direct);
    ensure!(lost.0.is_empty() && lost.1.is_empty(), "lost {lost:?}");
    Ok(gap)
}

#[tokio::test]
async fn commits_go_on_soon_after_a_synchronous_standby_is_lost() -> Result<()> {
    let options = HerdOptions {
        ttl: 24,
        loop_wait: 10,
        retry_timeout: 5,
        ..in_mode("on")
    };
    with_herd("standby-lost", options, async |herd| {
        for mode in ["on", "quorum"] {
            let set = format!("synchronous_mode={mode}");
            let scope = herd.scope().to_owned();
            herd.ctl(&["edit-config", &scope, "-s", &set, "--force"])
                .await?;
            let state = if mode == "on" { "sync" } else { "quorum" };
            let standbys = format!(
                "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = '{state}'"
            );
            wait_for("commits to wait in this mode", REJOIN, async || {
                let waits = herd.leader().await?.query(&standbys).await?;
                ensure!(waits == "t", "not yet");
                Ok(())
            })
            .await?;
            let gap = lose_a_standby(herd, false).await?;
            println!("{mode}: a synchronous standby killed: no acknowledged row for {gap:?}");
            ensure!(gap < SOON, "{mode}: commits waited for {gap:?}");
            if mode == "on" && herd.bed().can_cut() {
                let gap = lose_a_standby(herd, true).await?;
                println!("a synchronous standby without power: no acknowledged row for {gap:?}");
                ensure!(gap < SILENT + SOON, "commits waited for {gap:?}");
            }
        }
        opens_soon_when_standbys_are_there(herd).await?;
        a_waiting_commit_is_not_shown(herd).await?;
        set(herd, "synchronous_mode_strict=false").await?;
        a_zone_is_lost(herd).await
    })
    .await
}

/// A primary that is started again lets clients in as soon as its standbys have told that they have everything.
async fn opens_soon_when_standbys_are_there(herd: &mut Herd) -> Result<()> {
    let closed = "PostgreSQL is started closed to clients";
    for mode in ["off", "on", "quorum"] {
        set(herd, &format!("synchronous_mode={mode}")).await?;
        herd.wait_formed(REJOIN).await?;
        let off = mode == "off";
        if !off {
            synchronous_standby(herd).await?;
        }
        let leader = herd.leader_index().await?;
        let before = herd.members[leader].log().matches(closed).count();
        herd.members[leader].kill_postmaster()?;
        let began = tokio::time::Instant::now();
        wait_for("clients to get in", FAILOVER, async || {
            herd.members[leader].connect().await.map(drop)
        })
        .await?;
        let gap = began.elapsed();
        println!("{mode}: the primary's postmaster killed: nobody got in for {gap:?}");
        ensure!(gap < RETRY, "{mode}: it was closed for {gap:?}");
        let after = herd.members[leader].log().matches(closed).count();
        ensure!(
            (after == before) == off,
            "{mode}: closed {before}, then {after} times"
        );
    }
    Ok(())
}

/// A commit waits for standbys that receive nothing. The server that is started again holds it, and shows it to nobody
/// before one of them has it.
async fn a_waiting_commit_is_not_shown(herd: &mut Herd) -> Result<()> {
    set(herd, "synchronous_mode=on").await?;
    set(herd, "synchronous_mode_strict=true").await?;
    herd.wait_formed(REJOIN).await?;
    synchronous_standby(herd).await?;
    let leader = herd.leader_index().await?;
    let primary = &herd.members[leader];
    primary.execute("CREATE TABLE waited (id int)").await?;
    let mut frozen = Vec::new();
    for (at, member) in herd.members.iter().enumerate() {
        if at != leader {
            let receiver = member.server_process("walreceiver").await?;
            kill_process(receiver, Signal::STOP)?;
            frozen.push(receiver);
        }
    }
    let client = primary.connect().await?;
    let waiting =
        tokio::spawn(async move { client.batch_execute("INSERT INTO waited VALUES (1)").await });
    let waits = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    wait_for("the commit to wait", REJOIN, async || {
        ensure!(primary.query(waits).await? == "1", "not yet");
        Ok(())
    })
    .await?;
    primary.kill_postmaster()?;
    ensure!(waiting.await?.is_err(), "it was acknowledged");
    let socket = primary.host().dir().join("socket").display().to_string();
    let rows = "SELECT count(*) FROM waited";
    let psql = ["psql", "-XAt", "-h", &socket, "-U", "postgres", "-c", rows];
    wait_for("the server to be up, with the row", FAILOVER, async || {
        let held = primary.host().run(None, &psql).await?;
        ensure!(held.trim() == "1", "it holds {held}");
        Ok(())
    })
    .await?;
    wait_for("the agent to say why nobody gets in", REJOIN, async || {
        let status = primary.status().await?;
        let closed = status["closed"].as_str().context("it says nothing")?;
        ensure!(closed.contains(" has the WAL up to "), "{closed}");
        Ok(())
    })
    .await?;
    ensure!(
        primary.health("/primary").await == Some(503),
        "clients are sent to it"
    );
    ensure!(primary.health("/health").await == Some(200), "it runs");
    let error = primary.connect().await.err().context("a client got in")?;
    let error = format!("{error:#}");
    ensure!(error.contains("pg_hba.conf rejects connection"), "{error}");
    for receiver in frozen {
        kill_process(receiver, Signal::CONT)?;
    }
    wait_for("clients to get in", REJOIN, async || {
        primary.connect().await.map(drop)
    })
    .await?;
    ensure!(
        primary.query("SELECT count(*)::text FROM waited").await? == "1",
        "it is gone"
    );
    let standbys = "SELECT count(*)::text FROM pg_stat_replication WHERE flush_lsn IS NOT NULL";
    ensure!(primary.query(standbys).await? != "0", "nobody has it");
    wait_for("clients to be sent to it", REJOIN, async || {
        ensure!(primary.health("/primary").await == Some(200), "not yet");
        Ok(())
    })
    .await
}

async fn set(herd: &Herd, setting: &str) -> Result<()> {
    let scope = herd.scope().to_owned();
    let arguments = ["edit-config", &scope, "-s", setting, "--force"];
    herd.ctl(&arguments).await.map(drop)
}

/// So long commits wait for a lost zone, seconds.
const DEGRADE: u64 = 4;

/// One standby stands in the leader's zone, one in another: commits wait for that one. Its loss stops them for a time, then
/// they go on with an alarm.
async fn a_zone_is_lost(herd: &mut Herd) -> Result<()> {
    let leader = herd.leader_index().await?;
    let far = (leader + 1) % herd.members.len();
    for at in 0..herd.members.len() {
        let zone = if at == far { "far" } else { "near" };
        let lines = format!("tags:\n  zone: {zone}\n");
        herd.members[at].configure("postgresql:", &lines)?;
    }
    let scope = herd.scope().to_owned();
    herd.ctl(&["reload", &scope, "--force"]).await?;
    let degrade = format!("pgherd.synchronous_zones.degrade_after={DEGRADE}");
    set(herd, &degrade).await?;
    set(herd, "pgherd.synchronous_zones.at_least=2").await?;
    let name = herd.members[far].name().to_owned();
    // Commits wait for the one far away alone, or for any two: one of them stands far away.
    let in_on_mode = "SELECT string_agg(application_name, ',') FROM pg_stat_replication WHERE sync_state = 'sync'";
    let in_quorum = "SELECT substring(setting, 'ANY [0-9]+') FROM pg_settings \
                     WHERE name = 'synchronous_standby_names'";
    for (mode, waits) in [
        ("on", (in_on_mode, &*name)),
        ("quorum", (in_quorum, "ANY 2")),
    ] {
        set(herd, &format!("synchronous_mode={mode}")).await?;
        wait_for_zones(herd, waits).await?;
        let mut oracle = load(herd).await?;
        let began = oracle.now();
        herd.members[far].host().kill_all()?;
        rows_arrive(&oracle, 300).await?;
        let gap = oracle.longest_gap(began).length();
        println!("{mode}: the only other zone lost: no acknowledged row for {gap:?}");
        let least = Duration::from_secs(DEGRADE - 1);
        ensure!(
            gap > least && gap < least + 2 * SOON,
            "{mode}: commits waited for {gap:?}"
        );
        let alarm = "commits go on without the missing ones";
        ensure!(
            herd.leader().await?.log().contains(alarm),
            "no alarm in the log"
        );
        let list = herd.ctl(&["list", &scope]).await?;
        ensure!(list.contains(alarm), "no alarm in the list:\n{list}");

        herd.members[far].start()?;
        herd.wait_formed(REJOIN).await?;
        wait_for_zones(herd, waits).await?;
        let audit = verdict(herd, &mut oracle).await?;
        ensure!(audit.lost.is_empty(), "{mode}: lost {:?}", audit.lost);
    }
    Ok(())
}

/// The leader answers the question as wanted: commits wait for another zone.
async fn wait_for_zones(herd: &Herd, (question, wanted): (&str, &str)) -> Result<()> {
    wait_for("commits to wait for the other zone", REJOIN, async || {
        let waits = herd.leader().await?.query(question).await?;
        ensure!(waits == wanted, "they wait for '{waits}'");
        Ok(())
    })
    .await
}

fn runs() -> usize {
    let wanted = std::env::var("PGHERD_SYNC_RUNS");
    wanted.ok().and_then(|runs| runs.parse().ok()).unwrap_or(2)
}

/// One fault after the other: the primary's host, a standby's host, the primary's server, all of a majority, the network.
async fn hurt(herd: &mut Herd, oracle: &Oracle, run: usize, old: usize) -> Result<()> {
    let next = (old + 1) % herd.members.len();
    match run % 5 {
        0 => {
            herd.members[old].host().kill_all()?;
            herd.wait_other_leader(old, FAILOVER).await?;
            herd.members[old].start()
        }
        1 => {
            herd.members[next].host().kill_all()?;
            rows_arrive(oracle, 200).await?;
            herd.members[next].start()
        }
        2 => herd.members[old].kill_postmaster(),
        3 => {
            for at in [old, next] {
                herd.members[at].host().kill_all()?;
            }
            for at in [old, next] {
                herd.members[at].start()?;
            }
            Ok(())
        }
        _ if !herd.bed().can_cut() => Ok(()),
        _ => {
            herd.members[old].host().cut(Cut::Peers)?;
            herd.wait_other_leader(old, FAILOVER).await?;
            herd.members[old].host().heal()
        }
    }
}

async fn nothing_is_lost(mode: &str) -> Result<()> {
    with_herd(&format!("faults-{mode}"), in_mode(mode), async |herd| {
        for run in 0..runs() {
            let story = format!("{mode} {run}");
            trial(herd, &story, Leader::Any, async |herd, oracle, old| {
                hurt(herd, oracle, run, old).await
            })
            .await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn in_synchronous_mode_no_acknowledged_row_is_lost() -> Result<()> {
    nothing_is_lost("on").await
}

#[tokio::test]
async fn in_quorum_mode_no_acknowledged_row_is_lost() -> Result<()> {
    nothing_is_lost("quorum").await
}
