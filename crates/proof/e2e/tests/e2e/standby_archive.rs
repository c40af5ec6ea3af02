//! A standby cluster that has nothing but an archive of the other one, and the change of regions through it.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON};
use pgherd_testbed::{Herd, HerdOptions, PostgresTools, wait_for};

#[tokio::test]
async fn clusters_that_share_an_archive_alone_follow_each_other_without_a_loss() -> Result<()> {
    let options = HerdOptions {
        members: 1,
        stores: 1,
        archive: true,
        ..HerdOptions::default()
    };
    let berlin = Herd::start("archive", &options).await?;
    let outcome = Box::pin(tell(&berlin, options)).await;
    outcome.with_context(|| berlin.bed().report())
}

async fn tell(berlin: &Herd, options: HerdOptions) -> Result<()> {
    let primary = berlin.leader().await?;
    primary
        .execute("CREATE TABLE t AS SELECT 'before the copy' AS n")
        .await?;
    let backup = backup(berlin)?;
    let paris = begin_paris(berlin, &backup, options).await?;

    // It follows what is archived, and nothing else.
    primary.execute("INSERT INTO t VALUES ('archived')").await?;
    primary.execute("SELECT pg_switch_wal()").await?;
    let first = standby_leader(&paris).await?;
    has(&paris, "archived,before the copy").await?;
    let leader = &paris.members[first];
    for (path, code) in [("/primary", 503), ("/read-only", 200)] {
        ensure!(leader.health(path).await == Some(code), "{path}");
    }
    let upstream = "SELECT current_setting('primary_conninfo')";
    ensure!(
        leader.query(upstream).await?.is_empty(),
        "it has an upstream"
    );
    let listed = paris.ctl(&["list"]).await?;
    ensure!(listed.contains("Standby Leader"), "{listed}");

    // The other one steps down. It can follow only who has its shutdown checkpoint, which PostgreSQL does not archive.
    primary.execute("INSERT INTO t VALUES ('the last')").await?;
    let restore = format!("cp {}/%f %p", berlin.archive().display());
    let said = berlin
        .ctl(&["demote-cluster", "--force", "--restore-command", &restore])
        .await?;
    ensure!(said.contains("cluster is successfully demoted"), "{said}");
    has(&paris, "archived,before the copy,the last").await?;
    let said = paris.ctl(&["promote-cluster", "--force"]).await?;
    ensure!(said.contains("cluster is successfully promoted"), "{said}");
    let new = paris.wait_leader(FAILOVER).await?;
    paris.members[new]
        .execute("INSERT INTO t VALUES ('new')")
        .await?;
    paris.members[new].execute("SELECT pg_switch_wal()").await?;
    has(berlin, "archived,before the copy,new,the last").await?;
    standby_leader(berlin).await?;
    Ok(())
}

/// A base backup in a folder, made past every agent.
fn backup(berlin: &Herd) -> Result<String> {
    let tools = PostgresTools::find()?;
    let folder = berlin.bed().dir().join("backup");
    tools.private_dir(&folder)?;
    let from = berlin.members[0].sql();
    let done = Command::new(tools.program("pg_basebackup"))
        .env("PGPASSWORD", "replicator-pw")
        .args(["-h", &from.ip().to_string(), "-p", &from.port().to_string()])
        .args(["-U", "replicator", "-c", "fast", "-X", "none", "-D"])
        .arg(&folder)
        .output()?;
    let wrong = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(done.status.success(), "{wrong}");
    let like = format!("--reference={}", berlin.archive().display());
    let given = Command::new("chown")
        .args(["-R", &like])
        .arg(&folder)
        .status()?;
    ensure!(given.success(), "chown: {given}");
    Ok(folder.display().to_string())
}

/// Two members: the first one is made from the backup, the other one copies it.
async fn begin_paris(berlin: &Herd, backup: &str, options: HerdOptions) -> Result<Herd> {
    let folder = berlin.archive();
    let options = HerdOptions {
        members: 2,
        archive: false,
        dcs_lines: vec![
            "standby_cluster:".to_owned(),
            "  create_replica_methods: [vault]".to_owned(),
            format!("  restore_command: cp {}/%f %p", folder.display()),
        ],
        parameters: vec![
            "archive_mode: 'on'".to_owned(),
            format!("archive_command: cp %p {}/%f", folder.display()),
        ],
        ..options
    };
    let mut paris = Herd::prepare_on(berlin.bed().clone(), "archive", "dr", &options).await?;
    let method = format!(
        "  vault:\n    no_leader: true\n    no_params: true\n    \
         command: sh -c 'cp -a {backup}/. \"$0\"' {{}}\n"
    );
    for member in &mut paris.members {
        let data = member.data_dir().display().to_string();
        member.configure("  parameters:", &method.replace("{}", &data))?;
        member.start()?;
    }
    Ok(paris)
}

/// Waits for a member whose `/standby-leader` says 200.
async fn standby_leader(herd: &Herd) -> Result<usize> {
    wait_for("a standby leader", REJOIN, async || {
        for (at, member) in herd.members.iter().enumerate() {
            if member.health("/standby-leader").await == Some(200) {
                return Ok(at);
            }
        }
        anyhow::bail!("none of them is")
    })
    .await
}

async fn has(herd: &Herd, rows: &str) -> Result<()> {
    for member in &herd.members {
        wait_for(&format!("the rows {rows}"), REJOIN + SOON, async || {
            let all = "SELECT string_agg(n, ',' ORDER BY n) FROM t";
            let all = member.query(all).await?;
            ensure!(all == rows, "{} has {all}", member.name());
            Ok(())
        })
        .await?;
    }
    Ok(())
}
