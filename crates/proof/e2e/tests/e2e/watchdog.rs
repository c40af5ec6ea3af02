//! The watchdog: it counts where the primary is and nowhere else, lives by renewals of the lease only, and is stopped
//! when nothing writes any more. A file stands in for the device and shows every byte that one would get.

use anyhow::{Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, load, rows_arrive, verdict, with_herd};
use pgherd_testbed::{HerdOptions, Member, Way, wait_for};

/// Everything that the member's device was told so far.
fn told(member: &Member) -> Result<String> {
    Ok(fs_err::read_to_string(member.watchdog())?)
}

/// What the device was told after `before`.
fn told_since(member: &Member, before: &str) -> Result<String> {
    let all = told(member)?;
    let since = all.strip_prefix(before).map(str::to_owned);
    since.ok_or_else(|| anyhow::anyhow!("{all} does not begin with {before}"))
}

async fn is_kept_alive(member: &Member) -> Result<()> {
    let before = told(member)?;
    wait_for("three keepalives", SOON, async || {
        let news = told_since(member, &before)?;
        ensure!(news.matches('1').count() >= 3, "{news}");
        Ok(())
    })
    .await
}

async fn is_off(member: &Member) -> Result<()> {
    wait_for("the watchdog is off", SOON, async || {
        let all = told(member)?;
        ensure!(all.ends_with('V'), "{all}");
        Ok(())
    })
    .await
}

/// The next agent must be there before the lease of a killed one ends, on a busy machine too.
fn herd_with_watchdogs() -> HerdOptions {
    HerdOptions {
        ttl: 10,
        watchdog: true,
        ..HerdOptions::default()
    }
}

#[tokio::test]
async fn the_watchdog_lives_by_the_lease_and_goes_with_the_primary() -> Result<()> {
    with_herd("watchdog", herd_with_watchdogs(), async |herd| {
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        for (at, member) in herd.members.iter().enumerate() {
            let all = told(member)?;
            if at == old {
                ensure!(all.starts_with("Ctimeout=9\n1"), "{all}");
            } else {
                ensure!(all.is_empty(), "{} is a replica: {all}", member.name());
            }
        }
        is_kept_alive(&herd.members[old]).await?;

        let leader = herd.members[old].name().to_owned();
        herd.ctl(&["switchover", "--leader", &leader, "--force"])
            .await?;
        let new = herd.wait_formed(REJOIN).await?;
        ensure!(new != old, "the leader is the same");
        is_off(&herd.members[old]).await?;
        is_kept_alive(&herd.members[new]).await?;

        herd.members[new].stop(SOON).await?;
        is_off(&herd.members[new]).await?;
        herd.members[new].start()?;
        herd.wait_formed(REJOIN).await?;
        is_off(&herd.members[new]).await?;
        rows_arrive(&oracle, 100).await?;
        verdict(herd, &mut oracle).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn nothing_is_sent_for_a_lease_that_is_not_renewed() -> Result<()> {
    with_herd("watchdog-cut", herd_with_watchdogs(), async |herd| {
        if !herd.bed().can_cut() {
            return Ok(());
        }
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        let stores = herd.etcd.hosts().to_vec();
        herd.members[old].host().cut_from(&stores, Way::Both)?;
        wait_for("a renewal fails", SOON, async || {
            let log = herd.members[old].log();
            ensure!(log.contains("lease not renewed"), "{log}");
            Ok(())
        })
        .await?;
        let before = told(&herd.members[old])?;
        herd.wait_other_leader(old, FAILOVER).await?;
        is_off(&herd.members[old]).await?;
        let since = told_since(&herd.members[old], &before)?;
        ensure!(since == "V", "after the last renewal: {since}");
        herd.members[old].host().heal()?;
        herd.wait_formed(REJOIN).await?;

        let leader = herd.leader_index().await?;
        herd.members[leader].signal_agent(rustix::process::Signal::KILL)?;
        let before = told(&herd.members[leader])?;
        herd.members[leader].start()?;
        wait_for("the next agent keeps it alive", SOON, async || {
            let news = told_since(&herd.members[leader], &before)?;
            ensure!(news.starts_with("Ctimeout=9\n1"), "{news}");
            Ok(())
        })
        .await?;
        is_kept_alive(&herd.members[leader]).await?;
        herd.wait_formed(REJOIN).await?;
        verdict(herd, &mut oracle).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn a_member_without_the_watchdog_that_it_needs_does_not_lead_and_says_why() -> Result<()> {
    with_herd("watchdog-gone", herd_with_watchdogs(), async |herd| {
        let leader = herd.leader_index().await?;
        let (bare, other) = ((leader + 1) % 3, (leader + 2) % 3);
        let device = herd.members[bare].watchdog();
        let away = device.with_extension("away");
        fs_err::rename(&device, &away)?;
        wait_for("it says why it may not lead", SOON, async || {
            let said = herd.ctl(&["explain"]).await?;
            ensure!(said.contains("its watchdog is not usable: "), "{said}");
            let status = herd.members[bare].status().await?;
            ensure!(status["watchdog_failed"] == true, "{status}");
            Ok(())
        })
        .await?;
        herd.members[leader].stop(SOON).await?;
        let new = herd.wait_other_leader(leader, FAILOVER).await?;
        ensure!(new == other, "{} leads", herd.members[new].name());
        fs_err::rename(&away, &device)?;
        wait_for("it has one", SOON, async || {
            let status = herd.members[bare].status().await?;
            ensure!(status["watchdog_failed"].is_null(), "{status}");
            Ok(())
        })
        .await?;
        herd.members[leader].start()?;
        herd.wait_formed(REJOIN).await.map(drop)
    })
    .await
}
