//! Cascading and delayed standbys: who streams from whom when an upstream dies, and a dropped table that is read
//! from a standby that lags on purpose.

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON};
use pgherd_testbed::{Herd, HerdOptions, wait_for};

/// Waits until the member `from` streams to `name`.
async fn streams(herd: &Herd, from: usize, name: &str) -> Result<()> {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{name}' AND state = 'streaming'"
    );
    let what = format!("{name} to stream from {}", herd.members[from].name());
    wait_for(&what, REJOIN, async || {
        let found = herd.members[from].query(&sql).await?;
        ensure!(found == "1", "it does not");
        Ok(())
    })
    .await
}

/// `pg1` leads, `pg2` follows it, `pg3` follows `pg2`.
async fn formed() -> Result<Herd> {
    let mut herd = Herd::prepare("cascade", &HerdOptions::default()).await?;
    herd.members[2].configure("postgresql:", "tags:\n  replicatefrom: pg2\n")?;
    for member in 0..3 {
        herd.members[member].start()?;
        if member == 0 {
            herd.wait_leader(FAILOVER).await?;
        }
    }
    streams(&herd, 0, "pg2").await?;
    streams(&herd, 1, "pg3").await?;
    Ok(herd)
}

#[tokio::test]
async fn a_delayed_cascading_standby_shows_what_was_dropped_and_changes_its_upstream() -> Result<()>
{
    let mut herd = formed().await?;
    let outcome = Box::pin(story(&mut herd)).await;
    outcome.with_context(|| herd.bed().report())
}

async fn story(herd: &mut Herd) -> Result<()> {
    // Its upstream dies and comes back.
    herd.members[1].host().kill_all()?;
    streams(herd, 0, "pg3").await?;
    herd.members[1].start()?;
    streams(herd, 1, "pg3").await?;

    // From now on it is an hour behind.
    herd.members[2].configure(
        "  basebackup:",
        "  recovery_conf:\n    recovery_min_apply_delay: 1h\n",
    )?;
    herd.ctl(&["reload", herd.scope(), "pg3", "--force"])
        .await?;
    wait_for("the list to show the delay", SOON, async || {
        let list = herd.ctl(&["list"]).await?;
        ensure!(list.contains("delayed: 1h"), "{list}");
        let delay = "SELECT current_setting('recovery_min_apply_delay')";
        let delay = herd.members[2].query(delay).await?;
        ensure!(delay == "1h", "{delay}");
        Ok(())
    })
    .await?;

    let leader = herd.leader().await?;
    leader
        .execute("CREATE TABLE precious AS SELECT 42 AS n")
        .await?;
    let before_drop = leader.query("SELECT clock_timestamp()::text").await?;
    leader.execute("DROP TABLE precious").await?;
    let end = leader.query("SELECT pg_current_wal_lsn()::text").await?;
    let has = format!("SELECT pg_last_wal_receive_lsn() >= '{end}'::pg_lsn");
    wait_for("pg3 to have received the drop", SOON, async || {
        ensure!(herd.members[2].query(&has).await? == "t", "not yet");
        Ok(())
    })
    .await?;

    // Somebody dropped a table: the delayed standby goes on to right before that, and is read.
    let time = before_drop.replacen(' ', "T", 1) + ":00";
    let said = herd
        .ctl(&["delayed", herd.scope(), "pg3", "--stop-before", &time])
        .await?;
    ensure!(said.contains("Success: pg3"), "{said}");
    wait_for("the table to be back on pg3", SOON, async || {
        let found = herd.members[2]
            .query("SELECT n::text FROM precious")
            .await?;
        ensure!(found == "42", "{found}");
        Ok(())
    })
    .await?;
    wait_for("replay to stand", SOON, async || {
        let said = herd.ctl(&["delayed", herd.scope(), "pg3"]).await?;
        ensure!(said.contains("replay stands before"), "{said}");
        Ok(())
    })
    .await?;

    // The leader dies: the delayed one is no candidate.
    let said = herd
        .ctl(&["delayed", herd.scope(), "pg3", "--resume"])
        .await?;
    ensure!(said.contains("Success: pg3"), "{said}");
    herd.members[0].host().kill_all()?;
    let new = herd.wait_other_leader(0, FAILOVER).await?;
    ensure!(new == 1, "{} leads", herd.members[new].name());
    Ok(())
}
