//! How many health checks an agent answers: `GET /primary` through wrk.

use anyhow::{Context as _, Result, ensure};
use pgherd_testbed::{Herd, HerdOptions};

use crate::figure::{Figure, Must};
use crate::outage::progress;

/// `GET /primary` on the leader: answers per second and the slowest hundredth.
///
/// # Errors
/// When the cluster does not form or wrk is not installed.
pub async fn health_checks(options: &HerdOptions, runs: usize) -> Result<Vec<Figure>> {
    let mut rate = Figure::new(
        "GET /primary, a pool of 8 connections",
        "/s",
        Must::AtLeast(20_000.0),
    );
    let mut slow = Figure::new("GET /primary, 99th percentile", "ms", Must::AtMost(2.0));
    let herd = Herd::start("checks", options).await?;
    let url = format!("http://{}/primary", herd.leader().await?.rest());
    for run in 1..=runs {
        let wrk = ["-t", "1", "-c", "8", "-d", "5s", "--latency", &url];
        let output = tokio::process::Command::new("wrk").args(wrk).output().await;
        let output = output.context("cannot run wrk; `make bench` installs it")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success() && !said.contains("Non-2xx"),
            "wrk said: {said}"
        );
        let (per_second, percentile) = parse(&said).with_context(|| format!("wrk said: {said}"))?;
        rate.samples.push(per_second);
        slow.samples.push(percentile);
        progress("GET /primary", run, runs, &rate);
    }
    Ok(vec![rate, slow])
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
