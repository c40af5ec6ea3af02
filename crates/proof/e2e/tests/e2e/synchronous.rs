//! The synchronous modes: a standby that is lost delays commits for a moment only, and whatever happens to whom, no
//! acknowledged row is lost. `PGHERD_SYNC_RUNS=20` puts as many faults to each mode.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{
    FAILOVER, Leader, REJOIN, load, rows_arrive, synchronous_standby, trial, verdict, with_herd,
};
use pgherd_testbed::{Cut, Herd, HerdOptions, Oracle, wait_for};

/// Well below `loop_wait`: who only looked every turn would take longer. On a quiet machine it is below half a second.
const SOON: Duration = Duration::from_secs(4);

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
        a_zone_is_lost(herd).await
    })
    .await
}

/// So long commits wait for a lost zone, seconds.
const DEGRADE: u64 = 6;

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
    let zones = "pgherd.synchronous_zones.at_least=2";
    let mode = "synchronous_mode=on";
    let mut edit = vec!["edit-config", &scope, "--force"];
    for set in [mode, zones, &degrade] {
        edit.extend(["-s", set]);
    }
    herd.ctl(&edit).await?;
    let name = herd.members[far].name().to_owned();
    wait_for_sync(herd, &name).await?;

    let mut oracle = load(herd).await?;
    let began = oracle.now();
    herd.members[far].host().kill_all()?;
    rows_arrive(&oracle, 300).await?;
    let gap = oracle.longest_gap(began).length();
    println!("the only other zone lost: no acknowledged row for {gap:?}");
    let least = Duration::from_secs(DEGRADE - 1);
    ensure!(
        gap > least && gap < least + 2 * SOON,
        "commits waited for {gap:?}"
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
    wait_for_sync(herd, &name).await?;
    let audit = verdict(herd, &mut oracle).await?;
    ensure!(audit.lost.is_empty(), "lost {:?}", audit.lost);
    Ok(())
}

/// Commits wait for this member and nobody else.
async fn wait_for_sync(herd: &Herd, name: &str) -> Result<()> {
    let waits = "SELECT string_agg(application_name, ',') FROM pg_stat_replication WHERE sync_state = 'sync'";
    wait_for("commits to wait for the other zone", REJOIN, async || {
        let waits = herd.leader().await?.query(waits).await?;
        ensure!(waits == name, "they wait for '{waits}'");
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
