//! `make bench`: measures outages, second writers, rejoin, memory, CPU and health checks, and prints a table. Nothing is
//! asserted.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use pgherd_bench::faults::{ROWS, Row};
use pgherd_bench::figure::{Figure, table};
use pgherd_bench::load::Load;
use pgherd_bench::{copy, faults, footprint, outage, peer, pressure, rest, turn};
use pgherd_testbed::{AgentProgram, HerdOptions};

/// What runs besides the rows of faults.
const BEFORE: [&str; 3] = ["restart", "switchover", "host"];
const AFTER: [&str; 5] = ["pressure", "rest", "idle", "copy", "turn"];

/// What was asked for.
struct Asked {
    /// Runs for each figure.
    runs: usize,
    /// Herds at once, for the rows of faults.
    herds: usize,
    /// How long the pressure lasts.
    pressure: Duration,
    /// Seconds that our leases live.
    ttl: u32,
    /// The suites, in their order.
    suites: Vec<&'static str>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let asked = Asked::read()?;
    let ours = HerdOptions {
        agent: Some(AgentProgram::pgherd()?),
        ..asked.lease()
    };
    let mut tables = vec![measure("pgherd", &ours, &asked).await];
    if variable("PATRONI").is_some() {
        let theirs = peer::tightest(peer::patroni()?);
        tables.push(measure("Patroni 4.1.5", &theirs, &asked).await);
    }
    let texts: Vec<&str> = tables.iter().map(|(text, _)| text.as_str()).collect();
    println!("\n{}", texts.join("\n"));
    let whole = tables.iter().all(|(_, whole)| *whole);
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Asked {
    /// From the environment (`RUNS`, `HERDS`, `PRESSURE`, `TTL`, `SYNC`, `ONLY`), and suites from the command line as well.
    fn read() -> Result<Self> {
        let only = variable("ONLY").unwrap_or_default();
        let wanted = only.split([',', ' ']).map(str::to_owned);
        let wanted: Vec<String> = wanted
            .filter(|name| !name.is_empty())
            .chain(std::env::args().skip(1))
            .collect();
        let keys = ROWS.iter().map(|row| row.key);
        let all: Vec<&str> = BEFORE.into_iter().chain(keys).chain(AFTER).collect();
        if let Some(unknown) = wanted.iter().find(|name| !all.contains(&name.as_str())) {
            bail!("{unknown} is none of the suites: {}", all.join(" "));
        }
        let asked_for = |suite: &&str| wanted.is_empty() || wanted.iter().any(|one| one == suite);
        Ok(Self {
            runs: number("RUNS", 5)?,
            herds: number("HERDS", 1)?,
            pressure: Duration::from_secs(u64::try_from(number("PRESSURE", 60)?)?),
            ttl: u32::try_from(number("TTL", 5)?)?,
            suites: all.into_iter().filter(asked_for).collect(),
        })
    }

    /// A herd with the lease asked for. Patroni's least of 20 s goes with its least `retry_timeout` of 3 s.
    fn lease(&self) -> HerdOptions {
        HerdOptions {
            ttl: self.ttl,
            retry_timeout: if self.ttl < 20 { 2 } else { 3 },
            synchronous: variable("SYNC").unwrap_or_else(|| "off".to_owned()),
            ..HerdOptions::default()
        }
    }
}

/// A variable of the environment that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number(name: &str, usual: usize) -> Result<usize> {
    let Some(text) = variable(name) else {
        return Ok(usual);
    };
    text.parse()
        .with_context(|| format!("{name} has to be a whole number, not `{text}`"))
}

/// Runs the suites one after the other; one that fails is told and left out of the table.
async fn measure(name: &str, options: &HerdOptions, asked: &Asked) -> (String, bool) {
    let mut figures: Vec<Figure> = Vec::new();
    let mut whole = true;
    let load = Load::begin();
    for suite in &asked.suites {
        println!("{name}: {suite}");
        match Box::pin(one(suite, options, asked)).await {
            Ok(more) => {
                let is_row = ROWS.iter().any(|row| row.key == *suite);
                let has_all = |figure: &Figure| figure.samples.len() == asked.runs;
                whole &= !is_row || more.iter().all(has_all);
                figures.extend(more);
            }
            Err(error) => {
                whole = false;
                println!("  not measured: {error:#}");
            }
        }
    }
    let at_once = match asked.herds {
        0 | 1 => String::new(),
        herds => format!(", {herds} clusters at once for faults"),
    };
    let title = format!(
        "{name}: three members, ttl {}, loop_wait {}, four reconnecting writers{at_once}\n  {}",
        options.ttl,
        options.loop_wait,
        load.end()
    );
    (table(&title, &figures), whole)
}

async fn one(suite: &str, options: &HerdOptions, asked: &Asked) -> Result<Vec<Figure>> {
    let row: Option<&Row> = ROWS.iter().find(|row| row.key == suite);
    if let Some(row) = row {
        return Box::pin(faults::series(*row, options, asked.runs, asked.herds)).await;
    }
    match suite {
        "restart" => Box::pin(outage::restart_in_place(options, asked.runs)).await,
        "switchover" => Box::pin(outage::switchover(options, asked.runs)).await,
        "host" => Box::pin(outage::host_loss(options, asked.runs)).await,
        "pressure" => Box::pin(pressure::false_failovers(options, asked.pressure)).await,
        "rest" => Box::pin(rest::health_checks(options, asked.runs)).await,
        "copy" => Box::pin(copy::beside_pg_basebackup(options, asked.runs)).await,
        "turn" => turn::with_many_members().await,
        _ => Box::pin(footprint::at_rest(options)).await,
    }
}
