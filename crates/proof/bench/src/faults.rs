//! Faults of the agent, the network and the store: how long clients get no row, and how long two servers take rows.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Context as _, Result};
use pgherd_testbed::{Aim, Cut, Herd, HerdOptions, Oracle, OracleOptions, Way};
use rustix::process::Signal;
use tokio::time::sleep;

use crate::figure::{Figure, Must};
use crate::outage::{PATIENCE, flowing, progress};

/// Clients connect through something like a proxy, which closes the sessions of a server that has not called itself
/// the primary for this long.
const PROXY: Duration = Duration::from_secs(1);
/// How long the fault goes on once another leads: the time in which both may take rows.
const BOTH: Duration = Duration::from_secs(5);
/// How long the store is away; longer than a lease, Patroni's shortest included.
const AWAY: Duration = Duration::from_secs(25);

/// One fault to the leader of a herd, or to the store below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to the agent, which is started again at once.
    AgentRestarted,
    /// SIGKILL to the agent, which is started again only when another has led for 5 s.
    AgentKilled,
    /// SIGSTOP to the agent until another has led for 5 s.
    AgentFrozen,
    /// The leader's host reaches nobody and nobody reaches it, clients included.
    HostCut,
    /// The leader's host and the other hosts do not reach each other; clients reach all of them.
    PeersCut,
    /// The leader's host and the store do not reach each other.
    StoreCut,
    /// All of the store is killed, and started again after 25 s.
    StoreDown,
}

/// A fault with the mode that it is put to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What selects it.
    pub key: &'static str,
    /// What happens.
    pub fault: Fault,
    /// Whether `failsafe_mode` is on.
    pub failsafe: bool,
}

/// The rows of the table, in its order.
pub const ROWS: [Row; 9] = [
    Row::new("agent-restart", Fault::AgentRestarted, false),
    Row::new("agent-kill", Fault::AgentKilled, false),
    Row::new("agent-stop", Fault::AgentFrozen, false),
    Row::new("host-cut", Fault::HostCut, false),
    Row::new("peers-cut", Fault::PeersCut, false),
    Row::new("etcd-cut", Fault::StoreCut, false),
    Row::new("etcd-cut-failsafe", Fault::StoreCut, true),
    Row::new("etcd-down", Fault::StoreDown, false),
    Row::new("etcd-down-failsafe", Fault::StoreDown, true),
];

impl Row {
    const fn new(key: &'static str, fault: Fault, failsafe: bool) -> Self {
        Self {
            key,
            fault,
            failsafe,
        }
    }

    fn story(self) -> String {
        let what = match self.fault {
            Fault::AgentRestarted => "SIGKILL of the agent, restarted at once",
            Fault::AgentKilled => "SIGKILL of the agent, not restarted",
            Fault::AgentFrozen => "SIGSTOP of the agent",
            Fault::HostCut => "leader's host cut off",
            Fault::PeersCut => "leader cut off from all hosts, not from clients",
            Fault::StoreCut => "leader cut off from etcd only",
            Fault::StoreDown => "all of etcd down for 25 s",
        };
        let mode = if self.failsafe { ", failsafe_mode" } else { "" };
        format!("{what}{mode}")
    }

    /// What the outage must not exceed, in seconds, with our lease of 5 s.
    const fn must(self) -> Must {
        match (self.fault, self.failsafe) {
            (Fault::AgentRestarted, _) | (Fault::StoreDown, true) => Must::AtMost(1.0),
            (Fault::StoreDown, false) => Must::Nothing,
            _ => Must::AtMost(6.0),
        }
    }
}

/// What one run has shown.
struct Seen {
    outage: Duration,
    both: Duration,
}

/// Puts the fault of `row` to `herds` herds at once, `runs` times in all.
///
/// A run that fails is told and leaves no sample; the next one begins with a new herd.
///
/// # Errors
/// When a herd does not form.
pub async fn series(
    row: Row,
    options: &HerdOptions,
    runs: usize,
    herds: usize,
) -> Result<Vec<Figure>> {
    let mut options = options.clone();
    if row.failsafe {
        options.dcs_lines.push("failsafe_mode: true".to_owned());
    }
    let series = Series::new(row, runs);
    let lanes = (0..herds.clamp(1, runs)).map(|_| Box::pin(series.lane(&options)));
    futures_util::future::try_join_all(lanes).await?;
    let (outage, both) = series.samples.into_inner();
    // Nobody reaches the host, so nobody could tell whether it takes rows.
    if row.fault == Fault::HostCut {
        return Ok(vec![outage]);
    }
    Ok(vec![outage, both])
}

/// The runs of one row, which several herds share.
struct Series {
    row: Row,
    runs: usize,
    begun: Cell<usize>,
    /// How long clients got no row, and how long there were two writers.
    samples: RefCell<(Figure, Figure)>,
}

impl Series {
    fn new(row: Row, runs: usize) -> Self {
        let story = row.story();
        let outage = format!("{story}: longest time without a row");
        let both = format!("{story}: time with two writers");
        Self {
            row,
            runs,
            begun: Cell::new(0),
            samples: RefCell::new((
                Figure::new(&outage, "s", row.must()),
                Figure::new(&both, "s", Must::AtMost(0.0)),
            )),
        }
    }

    /// One herd: takes runs until none is left.
    async fn lane(&self, options: &HerdOptions) -> Result<()> {
        let mut herd = Herd::start(self.row.key, options).await?;
        while self.begun.get() < self.runs {
            let run = self.begun.get() + 1;
            self.begun.set(run);
            match Box::pin(one_run(&mut herd, self.row)).await {
                Ok(seen) => self.add(&seen, run),
                Err(error) => {
                    println!(
                        "  run {run} of {} failed: {error:#}\n{}",
                        self.runs,
                        herd.bed().report()
                    );
                    drop(herd);
                    herd = Herd::start(self.row.key, options).await?;
                }
            }
        }
        Ok(())
    }

    fn add(&self, seen: &Seen, run: usize) {
        let (outage, both) = &mut *self.samples.borrow_mut();
        outage.add(seen.outage);
        progress("outage", run, self.runs, outage);
        both.add(seen.both);
        progress("two writers", run, self.runs, both);
    }
}

async fn one_run(herd: &mut Herd, row: Row) -> Result<Seen> {
    let old = herd.wait_formed(PATIENCE).await?;
    let mut oracle = Oracle::prepare(herd.members[old].sql()).await?;
    oracle.watch_each(&herd.endpoints());
    let clients = OracleOptions {
        leave_after: Some(PROXY),
        ..OracleOptions::default()
    };
    oracle.write(&Aim::Leader(herd.endpoints()), &clients);
    flowing(&oracle).await?;
    let began = oracle.now();
    Box::pin(inflict(herd, row, old))
        .await
        .context("the fault")?;
    flowing(&oracle).await?;
    let seen_outage = oracle.longest_gap(began).length();
    herd.wait_formed(PATIENCE).await?;
    oracle.stop().await;
    Ok(Seen {
        outage: seen_outage,
        both: oracle.time_of_two_writers(),
    })
}

/// Begins the fault, lets it last, and ends it.
async fn inflict(herd: &mut Herd, row: Row, old: usize) -> Result<()> {
    let host = herd.members[old].host().clone();
    match row.fault {
        Fault::AgentRestarted => {
            herd.members[old].signal_agent(Signal::KILL)?;
            herd.members[old].start()?;
            // As long as the other faults of the agent: a lease that ends has the time to.
            sleep(BOTH).await;
        }
        Fault::AgentKilled => {
            herd.members[old].signal_agent(Signal::KILL)?;
            another_leads(herd, old).await?;
            herd.members[old].start()?;
        }
        Fault::AgentFrozen => {
            herd.members[old].signal_agent(Signal::STOP)?;
            another_leads(herd, old).await?;
            herd.members[old].signal_agent(Signal::CONT)?;
        }
        Fault::HostCut => {
            host.cut(Cut::Everyone)?;
            another_leads(herd, old).await?;
            host.heal()?;
        }
        Fault::PeersCut => {
            host.cut(Cut::Peers)?;
            another_leads(herd, old).await?;
            host.heal()?;
        }
        Fault::StoreCut => {
            host.cut_from(herd.etcd.hosts(), Way::Both)?;
            if row.failsafe {
                // Nobody has to take over.
                sleep(AWAY).await;
            } else {
                another_leads(herd, old).await?;
            }
            host.heal()?;
        }
        Fault::StoreDown => {
            herd.etcd.kill_all()?;
            sleep(AWAY).await;
            herd.etcd.start_all()?;
            herd.etcd.wait_ready().await?;
        }
    }
    Ok(())
}

/// Waits for another leader and lets the fault go on for a while: what lasts is the figure, so nothing is waited for.
async fn another_leads(herd: &Herd, old: usize) -> Result<()> {
    herd.wait_other_leader(old, PATIENCE).await?;
    sleep(BOTH).await;
    Ok(())
}
