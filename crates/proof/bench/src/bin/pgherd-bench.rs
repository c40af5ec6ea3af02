//! `make bench`: measures outages, rejoin, memory, CPU and health checks, and prints a table. Nothing is asserted.

use std::process::ExitCode;

use anyhow::{Result, bail};
use pgherd_bench::figure::{Figure, table};
use pgherd_bench::{footprint, outage, peer, rest};
use pgherd_testbed::{AgentProgram, HerdOptions};

const SUITES: [&str; 5] = ["restart", "switchover", "host", "rest", "idle"];

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !SUITES.contains(&name.as_str())) {
        bail!("{unknown} is none of the suites: {}", SUITES.join(" "));
    }
    let runs = std::env::var("RUNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5);
    let ours = HerdOptions {
        agent: Some(AgentProgram::pgherd()?),
        ..HerdOptions::default()
    };
    let mut tables = vec![measure("pgherd", &ours, &wanted, runs).await];
    if std::env::var("PATRONI").is_ok_and(|value| !value.is_empty()) {
        let theirs = peer::tightest(peer::patroni()?);
        tables.push(measure("Patroni 4.1.5", &theirs, &wanted, runs).await);
    }
    println!(
        "\n{}",
        tables
            .iter()
            .map(|(text, _)| text.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    );
    let whole = tables.iter().all(|(_, whole)| *whole);
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the suites one after the other; one that fails is told and left out of the table.
async fn measure(
    name: &str,
    options: &HerdOptions,
    wanted: &[String],
    runs: usize,
) -> (String, bool) {
    let mut figures: Vec<Figure> = Vec::new();
    let mut whole = true;
    for suite in SUITES {
        if !wanted.is_empty() && !wanted.iter().any(|one| one == suite) {
            continue;
        }
        println!("{name}: {suite}");
        let measured = match suite {
            "restart" => Box::pin(outage::restart_in_place(options, runs)).await,
            "switchover" => Box::pin(outage::switchover(options, runs)).await,
            "host" => Box::pin(outage::host_loss(options, runs)).await,
            "rest" => Box::pin(rest::health_checks(options, runs)).await,
            _ => Box::pin(footprint::at_rest(options)).await,
        };
        match measured {
            Ok(more) => figures.extend(more),
            Err(error) => {
                whole = false;
                println!("  not measured: {error:#}");
            }
        }
    }
    let title = format!(
        "{name}: three members, ttl {}, loop_wait {}, four reconnecting writers",
        options.ttl, options.loop_wait
    );
    (table(&title, &figures), whole)
}
