//! The oracle proves itself on bare PostgreSQL: it sees an outage, a lost row and a second writer.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_testbed::{Aim, BarePostgres, Endpoint, Host, Oracle, OracleOptions, Testbed, wait_for};

const SOON: Duration = Duration::from_secs(15);

struct Pair {
    bed: Testbed,
    hosts: [Host; 2],
    primary: BarePostgres,
    standby: BarePostgres,
}

impl Pair {
    async fn start(story: &str) -> Result<Self> {
        let bed = Testbed::new(story)?;
        let hosts = [bed.host("pg1")?, bed.host("pg2")?];
        let primary = BarePostgres::primary(&hosts[0]).await?;
        let standby = BarePostgres::standby(&hosts[1], &primary).await?;
        Ok(Self {
            bed,
            hosts,
            primary,
            standby,
        })
    }

    fn endpoints(&self) -> [Endpoint; 2] {
        let sql = [self.primary.address(), self.standby.address()];
        [0, 1].map(|at| Endpoint {
            name: format!("pg{}", at + 1),
            sql: sql[at],
            rest: None,
        })
    }
}

async fn wait_for_rows(oracle: &Oracle, more: usize) -> Result<()> {
    let enough = oracle.acknowledged() + more;
    wait_for("acknowledged rows", SOON, async || {
        let rows = oracle.acknowledged();
        ensure!(rows >= enough, "{rows} rows; {}", oracle.faults());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_restart_is_seen_as_a_gap_and_loses_nothing() -> Result<()> {
    let mut pair = Pair::start("gap").await?;
    let [one, _] = pair.endpoints();
    let mut oracle = Oracle::prepare(one.sql).await?;
    oracle.write(&Aim::Fixed(one), &OracleOptions::default());
    wait_for_rows(&oracle, 50).await?;
    let before = oracle.now();
    pair.hosts[0].kill_all()?;
    pair.primary.start().await?;
    wait_for_rows(&oracle, 50).await?;
    oracle.stop().await;
    let gap = oracle.longest_gap(before);
    ensure!(
        !gap.open && gap.length() > Duration::from_millis(30),
        "{gap:?}"
    );
    let audit = oracle.audit(pair.primary.address()).await?;
    ensure!(
        audit.lost.is_empty() && audit.acknowledged >= 100,
        "{audit:?}"
    );
    ensure!(oracle.two_writers().is_none());
    Ok(())
}

#[tokio::test]
async fn a_promotion_behind_the_primarys_back_is_seen_as_a_second_writer() -> Result<()> {
    let pair = Pair::start("split").await?;
    let [one, two] = pair.endpoints();
    let mut oracle = Oracle::prepare(one.sql).await?;
    oracle.watch_each(&[one.clone(), two]);
    oracle.write(&Aim::Fixed(one), &OracleOptions::default());
    wait_for_rows(&oracle, 20).await?;
    ensure!(oracle.two_writers().is_none(), "one primary so far");
    pair.standby.promote().await?;
    let seen = wait_for("a second writer to be seen", SOON, async || {
        oracle.two_writers().context("not yet")
    })
    .await?;
    ensure!(
        seen.contains("timeline 1") && seen.contains("pg2"),
        "{seen}"
    );
    oracle.stop().await;
    // What the old primary took after the fork is not on the new one: that is what "lost" means.
    let audit = oracle.audit(pair.standby.address()).await?;
    ensure!(!audit.lost.is_empty(), "{audit:?}");
    drop(pair.bed);
    Ok(())
}
