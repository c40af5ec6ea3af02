//! The old primary comes back: with WAL that nobody else has, of which a part is in the archive only; by a new copy where
//! pg_rewind is not allowed, which is interrupted; or from nothing by order, or because the WAL it needs is gone.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{
    FAILOVER, REJOIN, SOON, load, newest_history_is_whole, rows_arrive, timeline, verdict,
    with_herd,
};
use pgherd_testbed::{Cut, Herd, HerdOptions, Member, Oracle, PostgresTools, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// So slow, in kbit/s, that pg_rewind can be looked at.
const SLOW_REWIND: u32 = 200_000;
/// So slow, in kbit/s, that a copy lasts until it has been looked at and interrupted, on a busy machine too.
const SLOW_COPY: u32 = 16_000;

#[tokio::test]
async fn a_diverged_primary_is_rewound_with_wal_of_the_archive_and_the_new_history_is_whole()
-> Result<()> {
    let options = HerdOptions {
        archive: true,
        ..HerdOptions::default()
    };
    with_herd("diverged", options, async |herd| {
        if !herd.bed().can_cut() {
            return Ok(());
        }
        let mut oracle = load(herd).await?;
        let old = herd.leader_index().await?;
        let data = herd.members[old].data_dir();
        let inode = fs_err::metadata(&data)?.ino();
        let own = herd.members[old].connect().await?;
        own.batch_execute("CREATE TABLE diverged (n int)").await?;
        // Cut off from the others it still takes rows from its clients until its lease ends: WAL of its own. Whole
        // segments the others may get out of the archive; what comes after them nobody else ever has.
        herd.members[old].host().cut(Cut::Peers)?;
        for table in ["one", "two", "three"] {
            own.batch_execute(&format!("CREATE TABLE {table} (n int)"))
                .await?;
            own.batch_execute("SELECT pg_switch_wal()").await?;
        }
        // Its own recovery begins here, after what pg_rewind has to read.
        own.batch_execute("CHECKPOINT").await?;
        own.batch_execute("INSERT INTO diverged SELECT generate_series(1, 20000)")
            .await?;
        let new = herd.wait_other_leader(old, FAILOVER).await?;
        rows_arrive(&oracle, 200).await?;
        let gone = forget_archived_segments(herd, &herd.members[old]).await?;
        herd.members[old].host().slow(Some(SLOW_REWIND))?;
        herd.members[old].host().heal()?;
        shows(herd, old, &["rewinding: ", "because its WAL ends at"]).await?;
        herd.members[old].host().slow(None)?;
        ensure!(
            herd.wait_formed(REJOIN).await? == new,
            "the leader changed again"
        );
        let fetched = fs_err::read_to_string(herd.archive().join("fetched"))?;
        let fetched: BTreeSet<&str> = fetched.lines().collect();
        ensure!(
            gone.iter()
                .any(|segment| fetched.contains(segment.as_str())),
            "none of {gone:?} was fetched from the archive, but {fetched:?}"
        );

        has_the_new_history(herd, &mut oracle, old, new).await?;
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

/// The former primary has what the new one has, and nothing of its own.
async fn has_the_new_history(
    herd: &Herd,
    oracle: &mut Oracle,
    old: usize,
    new: usize,
) -> Result<()> {
    let audit = verdict(herd, oracle).await?;
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
    Ok(())
}

#[tokio::test]
async fn a_copy_is_made_by_order_when_wal_is_gone_and_where_pg_rewind_is_not_allowed() -> Result<()>
{
    let options = HerdOptions {
        parameters: ["max_slot_wal_keep_size", "max_wal_size", "min_wal_size"]
            .map(|name| format!("{name}: 32MB"))
            .into(),
        ..HerdOptions::default()
    };
    with_herd("reinit", options, async |herd| {
        reinit_copies_a_replica_anew(herd).await?;
        wal_is_gone(herd, herd.members.len() - 1).await?;
        if herd.bed().can_cut() {
            Box::pin(an_interrupted_copy_is_made_in_the_end(herd)).await?;
        }
        Ok(())
    })
    .await
}

async fn reinit_copies_a_replica_anew(herd: &Herd) -> Result<()> {
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

async fn an_interrupted_copy_is_made_in_the_end(herd: &mut Herd) -> Result<()> {
    // While the gate is there, recovery waits for its archive: the copy is there, and does not stream.
    let gate = herd.bed().dir().join("gate");
    let restore = format!(
        "postgresql.recovery_conf.restore_command=while test -e {}; do sleep 0.1; done; false",
        gate.display()
    );
    let settings = [
        "postgresql.use_pg_rewind=false",
        "postgresql.remove_data_directory_on_diverged_timelines=true",
        &restore,
    ];
    for setting in settings {
        herd.ctl(&["edit-config", "-s", setting, "--force"]).await?;
    }
    let old = herd.leader_index().await?;
    let data = herd.members[old].data_dir();
    let inode = fs_err::metadata(&data)?.ino();
    let own = herd.members[old].connect().await?;
    herd.members[old].host().cut(Cut::Peers)?;
    own.batch_execute("CREATE TABLE diverged AS SELECT generate_series(1, 20000)")
        .await?;
    let new = herd.wait_other_leader(old, FAILOVER).await?;
    wait_for("the third one to stream", REJOIN, async || {
        let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        ensure!(herd.members[new].query(streaming).await? == "1", "not yet");
        Ok(())
    })
    .await?;
    herd.members[old].host().slow(Some(SLOW_COPY))?;
    herd.members[old].host().heal()?;

    // The reason and how far it is are shown, and the old directory stays while the copy is not whole.
    let why = ["copying ", "because its WAL", "use_pg_rewind is off"];
    shows(herd, old, &why).await?;
    fs_err::write(&gate, "")?;
    let state = herd.members[old].status().await?["state"].clone();
    ensure!(state == "creating replica", "its state is {state}");
    let first = copier(&herd.members[old], None).await?;
    kill_process(first, Signal::KILL)?;
    let second = copier(&herd.members[old], Some(first)).await?;
    shows(herd, old, &why).await?;
    ensure!(
        fs_err::metadata(&data)?.ino() == inode,
        "the old one is gone"
    );
    herd.members[old].kill_agent().await?;
    herd.members[old].start()?;
    copier(&herd.members[old], Some(second)).await?;
    shows(herd, old, &why).await?;
    ensure!(
        fs_err::metadata(&data)?.ino() == inode,
        "the old one is gone"
    );

    herd.members[old].host().slow(None)?;
    the_old_directory_is_kept_until_the_copy_streams(herd, old, inode, &gate).await?;
    let left = "SELECT to_regclass('diverged') IS NULL";
    ensure!(
        herd.members[old].query(left).await? == "t",
        "rows of the abandoned history are still there"
    );
    Ok(())
}

async fn the_old_directory_is_kept_until_the_copy_streams(
    herd: &Herd,
    old: usize,
    inode: u64,
    gate: &Path,
) -> Result<()> {
    let data = herd.members[old].data_dir();
    let kept = data.with_extension("old");
    wait_for("the copy in place", REJOIN, async || {
        ensure!(fs_err::metadata(&data)?.ino() != inode, "not yet");
        ensure!(fs_err::metadata(&kept)?.ino() == inode, "not kept");
        Ok(())
    })
    .await?;
    // It is there, it starts, and the old one is kept: nobody knows yet whether the new one will do.
    let starting = async || {
        let state = herd.members[old].status().await?["state"].clone();
        ensure!(state == "starting", "its state is {state}");
        Ok(())
    };
    wait_for("the copy to start", SOON, starting).await?;
    ensure!(kept.join("PG_VERSION").exists(), "the old one is gone");
    fs_err::remove_file(gate)?;
    herd.wait_formed(REJOIN).await?;
    wait_for("the old directory to be removed", SOON, async || {
        ensure!(!kept.exists(), "{} is still there", kept.display());
        Ok(())
    })
    .await?;
    Ok(())
}

/// Waits until `pgherd list` says all of `texts` in the line of a member.
async fn shows(herd: &Herd, at: usize, texts: &[&str]) -> Result<()> {
    let name = herd.members[at].name();
    wait_for(
        &format!("{texts:?} of {name} in the list"),
        SOON,
        async || {
            let said = herd.ctl(&["list"]).await?;
            let line = said.lines().find(|line| line.contains(name));
            let line = line.context("it is not listed")?;
            let all = texts.iter().all(|text| line.contains(text));
            ensure!(all, "{line}");
            Ok(())
        },
    )
    .await
}

/// Waits for a pg_basebackup other than `but`; what runs beside it would write into the same directory.
async fn copier(member: &Member, but: Option<Pid>) -> Result<Pid> {
    wait_for("a base backup", SOON, async || {
        let mut all = member.programs("pg_basebackup");
        ensure!(but.is_none_or(|but| !all.contains(&but)), "the former runs");
        all.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        all.first().copied().context("none runs")
    })
    .await
}

/// Removes the segments from a server's pg_wal that the archive has and its next start does not need, as checkpoints
/// do in time. Returns their names.
async fn forget_archived_segments(herd: &Herd, member: &Member) -> Result<Vec<String>> {
    let needed = redo_segment(&member.data_dir())?;
    let timeline = needed.get(..8).context("a short name")?;
    let wal = member.data_dir().join("pg_wal");
    let forget = async || {
        let mut gone = Vec::new();
        for entry in fs_err::read_dir(&wal)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let is_old = name.len() == 24 && name.starts_with(timeline) && name < needed;
            if is_old && herd.archive().join(&name).exists() {
                gone.push(name);
            }
        }
        ensure!(gone.len() >= 2, "only {gone:?} of those before {needed}");
        Ok(gone)
    };
    let gone = wait_for("its segments in the archive", SOON, forget).await?;
    for name in &gone {
        fs_err::remove_file(wal.join(name))?;
    }
    Ok(gone)
}

/// The segment in which the next start begins.
fn redo_segment(data: &Path) -> Result<String> {
    let tool = PostgresTools::find()?.program("pg_controldata");
    let output = Command::new(tool).env("LC_ALL", "C").arg(data).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("Latest checkpoint's REDO WAL file:"));
    Ok(line.with_context(|| said.clone())?.trim().to_owned())
}
