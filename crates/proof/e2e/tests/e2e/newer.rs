//! The newest PostgreSQL, as far as it does things otherwise than Debian's 15: slots that it takes along itself, entry
//! rules that include others, options of its tools. Skipped where the set-up could not get it.

use anyhow::{Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, load, rows_arrive, synchronous_standby, verdict, with_herd};
use pgherd_testbed::{HerdOptions, PostgresTools};

use crate::logical;

/// `options` with the newest PostgreSQL.
fn newest(options: HerdOptions) -> Option<HerdOptions> {
    let Some(tools) = PostgresTools::newer() else {
        println!("skipped: `scripts/setup.sh test` could not get a newer PostgreSQL");
        return None;
    };
    Some(HerdOptions {
        tools: Some(tools),
        ..options
    })
}

#[tokio::test]
async fn logical_slots_go_with_the_leader_of_the_newest_postgresql() -> Result<()> {
    let Some(options) = newest(logical::options()) else {
        return Ok(());
    };
    logical::no_row_is_missed_or_repeated("newer-logical", options).await
}

#[tokio::test]
async fn the_newest_postgresql_is_restarted_closed_replaced_and_taken_back_without_a_loss()
-> Result<()> {
    let Some(options) = newest(HerdOptions {
        synchronous: "on".to_owned(),
        ..HerdOptions::default()
    }) else {
        return Ok(());
    };
    with_herd("newer", options, async |herd| {
        let version = herd.leader().await?.query("SHOW server_version").await?;
        ensure!(!version.starts_with("15"), "it is {version}");
        synchronous_standby(herd).await?;
        let mut oracle = load(herd).await?;
        let first = herd.leader_index().await?;
        herd.members[first].kill_postmaster()?;
        rows_arrive(&oracle, 200).await?;
        let log = herd.members[first].log();
        ensure!(
            log.contains("PostgreSQL is started closed to clients"),
            "it was open at once"
        );

        herd.wait_formed(REJOIN).await?;
        synchronous_standby(herd).await?;
        let first = herd.leader_index().await?;
        herd.members[first].host().kill_all()?;
        herd.wait_other_leader(first, FAILOVER).await?;
        rows_arrive(&oracle, 100).await?;
        herd.members[first].start()?;
        herd.wait_formed(REJOIN).await?;
        synchronous_standby(herd).await?;
        let said = herd.ctl(&["switchover", "--force"]).await?;
        ensure!(said.contains("Successfully switched over to"), "{said}");
        rows_arrive(&oracle, 100).await?;
        let audit = verdict(herd, &mut oracle).await?;
        let lost = (&audit.lost, &audit.lost_direct);
        ensure!(lost.0.is_empty() && lost.1.is_empty(), "lost {lost:?}");
        Ok(())
    })
    .await
}
