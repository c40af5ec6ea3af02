//! A member comes back: with WAL that nobody else has, from nothing by order, or when the WAL it needs is gone.

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{
    FAILOVER, REJOIN, SOON, load, newest_history_is_whole, rows_arrive, timeline, verdict,
    with_herd,
};
use pgherd_testbed::{Cut, Herd, HerdOptions, wait_for};

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
async fn a_replica_is_copied_anew_by_order_and_when_its_wal_is_gone() -> Result<()> {
    let options = HerdOptions {
        parameters: ["max_slot_wal_keep_size", "max_wal_size", "min_wal_size"]
            .map(|name| format!("{name}: 32MB"))
            .into(),
        ..HerdOptions::default()
    };
    with_herd("copies", options, async |herd| {
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
        wal_is_gone(herd, replica).await
    })
    .await
}

/// The replica's host is off while the leader writes more WAL than it keeps for anybody; there is no archive.
async fn wal_is_gone(herd: &mut Herd, replica: usize) -> Result<()> {
    let file = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 9)";
    let needed = herd.leader().await?.query(file).await?;
    herd.members[replica].host().kill_all()?;
    let before = fs_err::metadata(herd.members[replica].data_dir())?.ino();
    for _ in 0..12 {
        let leader = herd.leader().await?;
        leader.execute("INSERT INTO t VALUES (1)").await?;
        leader.query("SELECT pg_switch_wal()::text").await?;
    }
    wait_for("the leader to remove old WAL", SOON, async || {
        let leader = herd.leader().await?;
        leader.execute("CHECKPOINT").await?;
        let oldest =
            "SELECT min(substr(name, 9)) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'";
        let oldest = leader.query(oldest).await?;
        ensure!(oldest > needed, "{oldest} is there, {needed} is needed");
        Ok(())
    })
    .await?;
    herd.members[replica].start()?;
    herd.wait_formed(REJOIN).await?;
    let member = &herd.members[replica];
    let log = member.log();
    ensure!(log.contains("it needs WAL from"), "it does not say why");
    ensure!(
        fs_err::metadata(member.data_dir())?.ino() != before,
        "it is the old directory"
    );
    let rows = wait_for("the rows", SOON, async || {
        let rows = member.query("SELECT count(*) FROM t").await?;
        ensure!(rows == "13", "{rows} rows");
        Ok(())
    });
    rows.await
}
