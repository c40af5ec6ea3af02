//! How many requests an agent answers, through wrk.

use anyhow::{Context as _, Result, ensure};
use pgherd_testbed::{Herd, HerdOptions};

use crate::figure::{Figure, Must};
use crate::outage::progress;

/// What is asked: path, name of the figure, and the least rate.
const ASKED: [(&str, &str, f64); 3] = [
    (
        "/primary",
        "GET /primary, a pool of 8 connections",
        20_000.0,
    ),
    ("/cluster", "GET /cluster, a pool of 8 connections", 5_000.0),
    ("/metrics", "GET /metrics, a pool of 8 connections", 5_000.0),
];

/// Requests to the leader: answers per second, and of `/primary` the slowest hundredth.
///
/// # Errors
/// When the cluster does not form or wrk is not installed.
pub async fn health_checks(options: &HerdOptions, runs: usize) -> Result<Vec<Figure>> {
    let herd = Herd::start("checks", options).await?;
    let server = herd.leader().await?.rest();
    let mut figures = Vec::new();
    for (path, name, least) in ASKED {
        let mut rate = Figure::new(name, "/s", Must::AtLeast(least));
        let mut slow = Figure::new("GET /primary, 99th percentile", "ms", Must::AtMost(2.0));
        for run in 1..=runs {
            let (per_second, percentile) = ask(&format!("http://{server}{path}")).await?;
            rate.samples.push(per_second);
            slow.samples.push(percentile);
            progress(&format!("GET {path}"), run, runs, &rate);
        }
        figures.push(rate);
        if path == "/primary" {
            figures.push(slow);
        }
    }
    Ok(figures)
}

/// Asks for five seconds over eight connections.
async fn ask(url: &str) -> Result<(f64, f64)> {
    let wrk = ["-t", "1", "-c", "8", "-d", "5s", "--latency", url];
    let output = tokio::process::Command::new("wrk").args(wrk).output().await;
    let output = output.context("cannot run wrk; `make bench` installs it")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && !said.contains("Non-2xx"),
        "wrk said: {said}"
    );
    parse(&said).with_context(|| format!("wrk said: {said}"))
}

/// Requests per second and the 99th percentile in milliseconds, from wrk's report.
fn parse(report: &str) -> Option<(f64, f64)> {
    let after = |key: &str| {
        let line = report
            .lines()
            .find_map(|line| line.trim().strip_prefix(key));
        line.map(str::trim)
    };
    let rate = after("Requests/sec:")?.parse().ok()?;
    let text = after("99%")?;
    let unit = text.find(|letter: char| letter.is_alphabetic())?;
    let number: f64 = text[..unit].parse().ok()?;
    let factor = match &text[unit..] {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        _ => return None,
    };
    Some((rate, number * factor))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_report_of_wrk_is_read() {
        let report = "  Latency Distribution\n     50%    0.91ms\n     99%  450.00us\n\
                      Requests/sec:  34567.89\nTransfer/sec:      5.00MB\n";
        let (rate, slow) = parse(report).unwrap();
        assert!((rate - 34567.89).abs() < 0.001 && (slow - 0.45).abs() < 0.001);
        assert!(parse("nothing").is_none());
    }
}
