//! `make demo`: a cluster, a failover and a switchover before your eyes, with what clients saw of them.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_bench::phases::{Change, Phase, Watch};
use pgherd_testbed::{
    Aim, Gap, Herd, HerdOptions, Login, Oracle, OracleOptions, clean_kept, wait_for,
};
use tokio::time::Instant;

/// A step that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some("clean") {
        let removed = clean_kept()?;
        println!(
            "removed {} kept bed(s): {}",
            removed.len(),
            removed.join(" ")
        );
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let mut demo = Demo::form(began).await?;
    let told = Box::pin(demo.tell()).await;
    told.with_context(|| demo.herd.bed().report())?;
    demo.end().await?;
    Ok(ExitCode::SUCCESS)
}

struct Demo {
    began: Instant,
    herd: Herd,
    oracle: Oracle,
    outages: Vec<(&'static str, Duration)>,
}

impl Demo {
    /// Starts three etcd and three members, and the writers.
    async fn form(began: Instant) -> Result<Self> {
        let options = HerdOptions {
            synchronous: "on".to_owned(),
            ..HerdOptions::default()
        };
        say(began, "making six hosts; etcd starts on three of them");
        let mut herd = Herd::prepare("demo", &options).await?;
        say(
            began,
            &format!("etcd answers at {}", herd.etcd.endpoints().join(", ")),
        );
        let formed = Box::pin(form(&mut herd, began)).await;
        formed.with_context(|| herd.bed().report())?;
        let mut oracle = Oracle::prepare(herd.leader().await?.sql()).await?;
        oracle.watch_each(&herd.endpoints());
        oracle.write(&Aim::Leader(herd.endpoints()), &OracleOptions::default());
        Ok(Self {
            began,
            herd,
            oracle,
            outages: Vec::new(),
        })
    }

    async fn tell(&mut self) -> Result<()> {
        self.flowing(500).await?;
        say(
            self.began,
            &format!(
                "four clients write; {} rows so far",
                self.oracle.acknowledged()
            ),
        );
        let old = self.fail_over().await?;
        self.bring_back(old).await?;
        self.switch_over().await
    }

    /// Power off at the leader's host.
    async fn fail_over(&mut self) -> Result<usize> {
        let old = self.herd.leader_index().await?;
        let watch = Watch::begin(&self.herd.endpoints(), self.oracle.epoch()).await;
        let member = &self.herd.members[old];
        say(
            self.began,
            &format!(
                "FAILOVER: the host of {} loses power (ttl 5)",
                member.name()
            ),
        );
        let from = self.oracle.now();
        member.host().power_off()?;
        let new = self.herd.wait_other_leader(old, PATIENCE).await?;
        self.flowing(100).await?;
        let gap = self.oracle.longest_gap(from);
        show_phases(&watch, from, &gap);
        self.outages.push(("failover, host lost", gap.length()));
        say(
            self.began,
            &format!("{} is the primary", self.herd.members[new].name()),
        );
        self.list().await?;
        Ok(old)
    }

    /// The host is back: its PostgreSQL has to find its place.
    async fn bring_back(&mut self, old: usize) -> Result<()> {
        let name = self.herd.members[old].name().to_owned();
        say(
            self.began,
            &format!("RETURN: the host of {name} has power again"),
        );
        let from = Instant::now();
        self.herd.members[old].host().power_on()?;
        self.herd.members[old].start()?;
        self.herd.wait_formed(PATIENCE).await?;
        let took = from.elapsed().as_millis();
        say(
            self.began,
            &format!("{name} streams from the new primary after {took} ms"),
        );
        self.list().await
    }

    /// A planned change; the synchronous standby takes over.
    async fn switch_over(&mut self) -> Result<()> {
        self.synchronous().await?;
        let old = self.herd.leader_index().await?;
        let watch = Watch::begin(&self.herd.endpoints(), self.oracle.epoch()).await;
        let leader = self.herd.members[old].name();
        let command = ["switchover", "--leader", leader, "--force"];
        say(
            self.began,
            &format!("SWITCHOVER: pgherd {}", command.join(" ")),
        );
        let from = self.oracle.now();
        let said = self.herd.ctl(&command).await?;
        ensure!(said.contains("Successfully switched over"), "{said}");
        self.herd.wait_other_leader(old, PATIENCE).await?;
        self.flowing(100).await?;
        let gap = self.oracle.longest_gap(from);
        show_phases(&watch, from, &gap);
        self.outages.push(("switchover", gap.length()));
        self.herd.wait_formed(PATIENCE).await?;
        self.list().await
    }

    /// Without a synchronous standby a switchover would have no candidate.
    async fn synchronous(&self) -> Result<()> {
        wait_for("a synchronous standby", PATIENCE, async || {
            let cluster = self.herd.cluster().await?.to_string();
            ensure!(cluster.contains("sync_standby"), "{cluster}");
            Ok(())
        })
        .await
    }

    /// Stops the clients, compares what they were told with what is there, and cleans up or not.
    async fn end(mut self) -> Result<()> {
        self.oracle.stop().await;
        let audit = self.oracle.audit(self.herd.leader().await?.sql()).await?;
        println!("\nsummary");
        for (what, outage) in &self.outages {
            let ms = outage.as_millis();
            println!("  {what:<22} {ms:>6} ms without an acknowledged row");
        }
        println!("  {:<22} {:>6}", "rows acknowledged", audit.acknowledged);
        println!("  {:<22} {:>6}", "rows lost", audit.lost.len());
        println!("  {:<22} {:>6}", "fate never learned", audit.unknown);
        let split = self
            .oracle
            .two_writers()
            .unwrap_or_else(|| "one at a time".to_owned());
        println!("  {:<22} {split}", "servers taking writes");
        println!("  took {:.1} s", self.began.elapsed().as_secs_f64());
        if std::env::var("KEEP").is_ok_and(|value| !value.is_empty()) {
            self.keep().await?;
        }
        ensure!(
            audit.lost.is_empty(),
            "acknowledged rows were lost: {:?}",
            audit.lost.first()
        );
        Ok(())
    }

    async fn keep(&self) -> Result<()> {
        self.herd.bed().keep()?;
        let login = Login::superuser();
        let leader = self.herd.leader().await?;
        let config = leader.config().display();
        println!("\nall of it keeps running (KEEP=1):");
        println!(
            "  PGPASSWORD={} psql -h {} -p {} -U {}",
            login.password,
            leader.sql().ip(),
            leader.sql().port(),
            login.user
        );
        println!("  target/release/pgherd -c {config} list");
        println!("  make clean-demo        # stops and removes it");
        Ok(())
    }

    async fn flowing(&self, rows: usize) -> Result<()> {
        let enough = self.oracle.acknowledged() + rows;
        wait_for("clients to write", PATIENCE, async || {
            let now = self.oracle.acknowledged();
            ensure!(
                now >= enough,
                "{now} of {enough}; clients saw:\n{}",
                self.oracle.faults()
            );
            Ok(())
        })
        .await
    }

    async fn list(&self) -> Result<()> {
        println!("{}", self.herd.ctl(&["list"]).await?.trim_end());
        Ok(())
    }
}

async fn form(herd: &mut Herd, began: Instant) -> Result<()> {
    let first = herd.members.first_mut().context("a herd needs a member")?;
    say(began, &format!("{} bootstraps", first.name()));
    first.start()?;
    herd.wait_leader(PATIENCE).await?;
    say(began, "it leads; the others clone it");
    for member in herd.members.iter_mut().skip(1) {
        member.start()?;
    }
    herd.wait_formed(PATIENCE).await?;
    wait_for("a synchronous standby", PATIENCE, async || {
        let cluster = herd.cluster().await?.to_string();
        ensure!(cluster.contains("sync_standby"), "{cluster}");
        Ok(())
    })
    .await?;
    say(began, "the cluster is formed");
    println!("{}", herd.ctl(&["list"]).await?.trim_end());
    Ok(())
}

/// Prints what changed where, from the fault to the first row, and where the time went.
fn show_phases(watch: &Watch, from: Duration, gap: &Gap) {
    let ms = |at: Duration| at.saturating_sub(gap.from).as_millis();
    let phases = watch.since(from);
    println!("       ms after the last acknowledged row");
    let mut lines: Vec<(Duration, String)> = phases
        .iter()
        .map(|phase| (phase.at, phase.to_string()))
        .collect();
    lines.push((gap.from, "last row acknowledged".to_owned()));
    lines.push((gap.to, "first row acknowledged again".to_owned()));
    lines.sort();
    for (at, text) in &lines {
        println!("    {:>6}  {text}", ms(*at));
    }
    let first = |wanted: &dyn Fn(&Phase) -> bool| phases.iter().find(|phase| wanted(phase));
    let lease = first(&|phase| phase.change == Change::Leads);
    let primary = first(&|phase| match &phase.change {
        Change::Role(role) => role.starts_with("primary"),
        _ => false,
    });
    if let (Some(lease), Some(primary)) = (lease, primary) {
        println!(
            "    until the lease was taken {} ms, promotion {} ms, clients back {} ms",
            ms(lease.at),
            primary.at.saturating_sub(lease.at).as_millis(),
            gap.to.saturating_sub(primary.at).as_millis()
        );
    }
}

fn say(began: Instant, text: &str) {
    println!("[{:>5.1} s] {text}", began.elapsed().as_secs_f64());
}
