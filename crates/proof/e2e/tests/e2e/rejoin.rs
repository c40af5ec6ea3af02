//! The old primary comes back: with WAL that nobody else has, or from nothing by order.

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{
    FAILOVER, REJOIN, SOON, load, newest_history_is_whole, rows_arrive, timeline, verdict,
    with_herd,
};
use pgherd_testbed::{Cut, HerdOptions, wait_for};

#[tokio::test]
async fn a_diverged_primary_is_rewound_and_the_new_history_is_whole() -> Result<()> {
    with_herd("diverged", HerdOptions::default(), async |herd| {
        if !herd.bed().can_cut() {
            return Ok(());
        }
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        let data = herd.members[old].data_dir();
        let inode = fs_err::metadata(&data)?.ino();
        let own = herd.members[old].connect().await?;
        own.batch_execute("CREATE TABLE diverged (n int)").await?;
        // Cut off from the others it still takes rows from its clients until its lease ends: WAL of its own.
        herd.members[old].host().cut(Cut::Peers)?;
        own.batch_execute("INSERT INTO diverged SELECT generate_series(1, 20000)")
            .await?;
        let new = herd.wait_other_leader(old, FAILOVER).await?;
        rows_arrive(&oracle, 200).await?;
        herd.members[old].host().heal()?;
        ensure!(
            herd.wait_formed(REJOIN).await? == new,
            "the leader changed again"
        );

        let audit = verdict(herd, &mut oracle).await?;
        newest_history_is_whole(&audit, timeline(herd).await?)?;
        let count = "SELECT count(*) FROM pgherd_oracle";
        let rows = herd.members[new].query(count).await?;
        wait_for(
            "the old primary to have the new history",
            SOON,
            async || {
                let own = herd.members[old].query(count).await?;
                ensure!(own == rows, "{own} rows, the leader has {rows}");
                Ok(())
            },
        )
        .await?;
        let left = herd.members[old]
            .query("SELECT count(*) FROM diverged")
            .await?;
        ensure!(
            left == "0",
            "{left} rows of the abandoned history are still there"
        );
        ensure!(
            fs_err::metadata(&data)?.ino() == inode,
            "it was copied anew, not rewound"
        );
        ensure!(
            herd.members[old].log().contains("pg_rewind"),
            "the log does not tell of pg_rewind"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn reinit_copies_a_replica_anew() -> Result<()> {
    with_herd("reinit", HerdOptions::default(), async |herd| {
        let leader = herd.leader_index().await?;
        let replica = herd.members.len() - 1;
        ensure!(replica != leader, "the last member leads");
        let member = &herd.members[replica];
        let started = "SELECT pg_postmaster_start_time()::text";
        let before = (
            fs_err::metadata(member.data_dir())?.ino(),
            member.query(started).await?,
        );
        herd.leader()
            .await?
            .execute("CREATE TABLE t AS SELECT 42 AS n")
            .await?;
        let said = herd
            .ctl(&["reinit", herd.scope(), member.name(), "--force", "--wait"])
            .await?;
        ensure!(said.contains("Success: reinitialize for member"), "{said}");
        herd.wait_formed(REJOIN).await?;
        let after = (
            fs_err::metadata(member.data_dir())?.ino(),
            member.query(started).await?,
        );
        ensure!(before.1 != after.1, "PostgreSQL was never stopped");
        let row = wait_for("the row", SOON, async || {
            member.query("SELECT n FROM t").await
        });
        ensure!(row.await.context("after reinit")? == "42");
        Ok(())
    })
    .await
}
