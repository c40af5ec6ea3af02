//! A Patroni cluster under load is taken over member by member, works while it is mixed, and goes back.
//!
//! `docs/migrate-from-patroni.md` is this test in words. Synchronous mode with two standbys, so that either may
//! take over at any moment and every acknowledged row must be there at the end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{load, rows_arrive, verdict};
use pgherd_testbed::{AgentProgram, Herd, HerdOptions, Oracle, wait_for};

/// Patroni's least ttl is 20 s.
const FAILOVER: Duration = Duration::from_secs(90);
const REJOIN: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(30);
const STARTED: &str = "SELECT pg_postmaster_start_time()::text";

/// Both programs, and clients that write all the time.
struct Migration<'a> {
    herd: &'a mut Herd,
    oracle: Oracle,
    patroni: AgentProgram,
    pgherd: AgentProgram,
}

impl Migration<'_> {
    /// Replaces the agent of `at` in pause: PostgreSQL goes on running through it.
    async fn replace(&mut self, at: usize, program: &AgentProgram) -> Result<()> {
        let other = if *program == self.pgherd {
            &self.patroni
        } else {
            &self.pgherd
        };
        let before = self.herd.members[at].query(STARTED).await?;
        self.herd.ctl_of(other, &["pause", "--wait"]).await?;
        let member = &mut self.herd.members[at];
        member.stop(STOP).await?;
        member.install(program.clone());
        member.start()?;
        self.herd.wait_formed(REJOIN).await?;
        self.herd.ctl_of(program, &["resume", "--wait"]).await?;
        self.calm(at).await?;
        let member = &self.herd.members[at];
        let after = member.query(STARTED).await?;
        let name = member.name();
        ensure!(
            before == after,
            "PostgreSQL of {name} was restarted by {}",
            program.name()
        );
        rows_arrive(&self.oracle, 50).await
    }

    /// Waits until everybody streams and, when `at` is a replica, until it is synchronous.
    async fn calm(&self, at: usize) -> Result<usize> {
        let leader = self.herd.wait_formed(REJOIN).await?;
        wait_for("both replicas to be synchronous", REJOIN, async || {
            let cluster = self.herd.cluster().await?;
            let synchronous = cluster.to_string().matches("\"sync_standby\"").count();
            ensure!(synchronous == 2, "{synchronous} after {at}: {cluster}");
            Ok(())
        })
        .await?;
        Ok(leader)
    }

    /// Switches over to `to` with the control program of `by`.
    async fn switch(&self, to: usize, by: &AgentProgram) -> Result<()> {
        let from = self.calm(to).await?;
        let (leader, candidate) = (self.herd.members[from].name(), self.herd.members[to].name());
        let scope = self.herd.scope();
        let order = [
            "switchover",
            scope,
            "--leader",
            leader,
            "--candidate",
            candidate,
            "--force",
        ];
        let said = self.herd.ctl_of(by, &order).await?;
        let now = self.calm(to).await?;
        ensure!(
            now == to,
            "{} leads instead of {candidate}: {said}",
            self.herd.members[now].name()
        );
        rows_arrive(&self.oracle, 50).await
    }

    /// The leader's host loses power; another member takes over, and the host comes back.
    async fn fail_over(&mut self) -> Result<usize> {
        let old = self.herd.leader_index().await?;
        self.herd.members[old].host().power_off()?;
        let new = self.herd.wait_other_leader(old, FAILOVER).await?;
        rows_arrive(&self.oracle, 50).await?;
        self.herd.members[old].host().power_on()?;
        self.herd.members[old].start()?;
        self.calm(old).await?;
        Ok(new)
    }

    async fn whole_way(&mut self) -> Result<()> {
        let (patroni, pgherd) = (self.patroni.clone(), self.pgherd.clone());
        // One member of three is ours: it leads, is lost, and Patroni's members take over from it.
        self.replace(1, &pgherd).await?;
        self.switch(1, &patroni)
            .await
            .context("a switchover from Patroni to pgherd")?;
        let leader = self
            .fail_over()
            .await
            .context("a failover from pgherd to Patroni")?;
        ensure!(leader != 1, "the lost member leads");

        // Two of three are ours: Patroni's leads by a switchover, is lost, and ours take over from it.
        self.replace(2, &pgherd).await?;
        if self.herd.leader_index().await? != 1 {
            self.switch(1, &pgherd).await?;
        }
        self.switch(0, &pgherd)
            .await
            .context("a switchover from pgherd to Patroni")?;
        let leader = self
            .fail_over()
            .await
            .context("a failover from Patroni to pgherd")?;
        ensure!(leader != 0, "the lost member leads");

        self.replace(0, &pgherd).await?;
        self.switch(0, &pgherd)
            .await
            .context("a switchover of a herd that is all ours")?;

        for at in 0..self.herd.members.len() {
            self.replace(at, &patroni).await.context("the way back")?;
        }
        self.switch(2, &patroni)
            .await
            .context("a switchover of Patroni again")
    }
}

#[tokio::test]
async fn a_patroni_cluster_is_taken_over_under_load_and_can_go_back() -> Result<()> {
    let Some(patroni) = AgentProgram::patroni() else {
        println!("skipped: Patroni is not installed (scripts/setup.sh test gets it)");
        return Ok(());
    };
    let options = HerdOptions {
        ttl: 20,
        retry_timeout: 3,
        synchronous: "on".to_owned(),
        dcs_lines: vec!["synchronous_node_count: 2".to_owned()],
        agent: Some(patroni.clone()),
        ..HerdOptions::default()
    };
    let mut herd = Herd::start("migrate", &options).await?;
    if !herd.bed().can_cut() {
        println!("skipped: hosts that can be powered off are needed");
        return Ok(());
    }
    let outcome = async {
        let oracle = load(&herd).await?;
        let pgherd = AgentProgram::pgherd()?;
        let mut migration = Migration {
            herd: &mut herd,
            oracle,
            patroni,
            pgherd,
        };
        migration.whole_way().await?;
        let audit = verdict(migration.herd, &mut migration.oracle).await?;
        ensure!(
            audit.lost.is_empty(),
            "acknowledged and lost: {:?}",
            audit.lost.first()
        );
        Ok(())
    };
    outcome.await.with_context(|| herd.bed().report())
}
