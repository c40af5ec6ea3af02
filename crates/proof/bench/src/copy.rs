//! Making a replica, beside a bare pg_basebackup of the same server to the same disk.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_testbed::{Herd, HerdOptions, Member, PostgresTools, wait_for};
use tokio::time::{Instant, sleep};

use crate::figure::{Figure, Must};
use crate::outage::{PATIENCE, progress};

/// About a gigabyte.
const FILL: &str = "CREATE TABLE filler AS SELECT number, repeat(md5(number::text), 30) AS text \
                    FROM generate_series(1, 950000) AS number";
/// How often a process is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Copies the leader by turns with pg_basebackup alone and by `reinit`; each pair is a sample.
///
/// # Errors
/// When the cluster does not form or a copy fails.
pub async fn beside_pg_basebackup(options: &HerdOptions, runs: usize) -> Result<Vec<Figure>> {
    let options = HerdOptions {
        members: 2,
        ..options.clone()
    };
    let name = "replica creation: speed of its copying beside a bare pg_basebackup";
    let mut beside = Figure::new(name, "%", Must::AtLeast(95.0));
    let mut rate = Figure::new("replica creation: copying", "MiB/s", Must::Nothing);
    let name = "replica creation: from `reinit` until it streams";
    let mut whole = Figure::new(name, "s", Must::Nothing);
    let herd = Herd::start("copy", &options).await?;
    let leader = herd.wait_formed(PATIENCE).await?;
    let (leader, replica) = (&herd.members[leader], &herd.members[1 - leader]);
    leader.execute(FILL).await?;
    let size = "SELECT sum(pg_database_size(oid)) / 1048576 FROM pg_database";
    let size: f64 = leader.query(size).await?.parse()?;
    // Neither the first copy nor the last is to be the only one that finds the disk's cache warm.
    bare(leader, replica).await?;
    for run in 1..=runs {
        let (alone, (copying, until_it_streams)) = if run % 2 == 0 {
            let ours = ours(&herd, replica).await;
            (bare(leader, replica).await?, ours?)
        } else {
            (bare(leader, replica).await?, ours(&herd, replica).await?)
        };
        beside
            .samples
            .push(100.0 * alone.as_secs_f64() / copying.as_secs_f64());
        rate.samples.push(size / copying.as_secs_f64());
        whole.add(until_it_streams);
        progress("copying", run, runs, &beside);
    }
    Ok(vec![beside, rate, whole])
}

/// pg_basebackup as an operator calls it.
async fn bare(leader: &Member, replica: &Member) -> Result<Duration> {
    let tools = PostgresTools::find()?;
    let folder = replica.host().dir().join("bare");
    tools.private_dir(&folder)?;
    let from = leader.sql();
    let source = format!(
        "host={} port={} user=replicator password=replicator-pw",
        from.ip(),
        from.port()
    );
    let (program, target) = (tools.program("pg_basebackup"), folder.display().to_string());
    let argv = [
        &*program, "-X", "stream", "-c", "fast", "-d", &source, "-D", &target,
    ];
    let began = Instant::now();
    replica.host().run(tools.user.as_deref(), &argv).await?;
    let took = began.elapsed();
    fs_err::remove_dir_all(&folder)?;
    Ok(took)
}

/// How long the agent's pg_basebackup ran, and how long it took from the order until the replica streamed.
async fn ours(herd: &Herd, replica: &Member) -> Result<(Duration, Duration)> {
    let began = Instant::now();
    let order = ["reinit", herd.scope(), replica.name(), "--force"];
    herd.ctl(&order).await?;
    let copies = || !replica.programs("pg_basebackup").is_empty();
    while !copies() {
        ensure!(began.elapsed() < PATIENCE, "no copy began");
        sleep(LOOK_EVERY).await;
    }
    let copying = Instant::now();
    while copies() {
        sleep(LOOK_EVERY).await;
    }
    let copied = copying.elapsed();
    wait_for("the copy to stream", PATIENCE, async || {
        let streams = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
        ensure!(replica.query(streams).await? == "1", "it does not stream");
        Ok(())
    })
    .await
    .context("after its copy")?;
    Ok((copied, began.elapsed()))
}
