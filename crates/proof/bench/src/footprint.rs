//! What an agent costs: resident memory, and CPU while nothing happens.

use std::time::Duration;

use anyhow::{Context as _, Result};
use pgherd_testbed::{Herd, HerdOptions, Member};
use tokio::time::{Instant, sleep};

use crate::figure::{Figure, Must};

/// How long CPU is counted for one sample; six turns at `loop_wait` 10.
const AT_REST: Duration = Duration::from_secs(60);
/// After forming, agents still finish their first rounds; those are not rest.
const SETTLE: Duration = Duration::from_secs(15);

/// Memory and CPU of the agents of a cluster at rest, every member a sample.
///
/// # Errors
/// When the cluster does not form or an agent has no `/proc` entry.
pub async fn at_rest(options: &HerdOptions) -> Result<Vec<Figure>> {
    let options = HerdOptions {
        ttl: 30,
        loop_wait: 10,
        retry_timeout: 10,
        ..options.clone()
    };
    let herd = Herd::start("rest", &options).await?;
    let name = "resident memory of an agent";
    let mut memory = Figure::new(name, "MiB", Must::AtMost(16.0));
    let mut helpers = Figure::new("resident memory beside it (fence)", "MiB", Must::Nothing);
    let name = "CPU of an agent at rest, loop_wait 10";
    let mut cpu = Figure::new(name, "% of a core", Must::AtMost(0.1));

    println!("  counting CPU for {AT_REST:?}, after {SETTLE:?} to settle");
    // Not waiting for anything: the figure is what is used while this long goes by.
    sleep(SETTLE).await;
    let before = busy_of_all(&herd)?;
    let began = Instant::now();
    sleep(AT_REST).await;
    let span = began.elapsed();
    let after = busy_of_all(&herd)?;
    for (before, after) in before.iter().zip(&after) {
        let used = after.saturating_sub(*before);
        cpu.samples
            .push(100.0 * used.as_secs_f64() / span.as_secs_f64());
    }
    for member in &herd.members {
        memory.samples.push(resident(agent(member)?)?);
        let beside = beside(member)?;
        if !beside.is_empty() {
            let sizes: Result<Vec<f64>> = beside.into_iter().map(resident).collect();
            helpers.samples.push(sizes?.into_iter().sum());
        }
    }
    Ok(vec![memory, helpers, cpu])
}

fn agent(member: &Member) -> Result<i32> {
    member
        .agent_pid()
        .with_context(|| format!("{} has no agent", member.name()))
}

fn busy_of_all(herd: &Herd) -> Result<Vec<Duration>> {
    herd.members
        .iter()
        .map(|member| busy(agent(member)?))
        .collect()
}

/// Processes of the agent's own program other than itself.
fn beside(member: &Member) -> Result<Vec<i32>> {
    let own = agent(member)?;
    let program = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let ours = program(own);
    let others = member.host().processes().into_iter();
    Ok(others
        .filter(|pid| *pid != own && program(*pid) == ours)
        .collect())
}

/// Resident memory in MiB (`VmRSS` of `/proc/PID/status`).
fn resident(pid: i32) -> Result<f64> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .context("no VmRSS")?;
    Ok(kib.trim().parse::<f64>()? / 1024.0)
}

/// CPU time of all threads so far (first number of `/proc/PID/task/TID/schedstat`, nanoseconds).
fn busy(pid: i32) -> Result<Duration> {
    let mut total = 0;
    for task in fs_err::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs_err::read_to_string(task?.path().join("schedstat"))?;
        total += text
            .split(' ')
            .next()
            .context("an empty schedstat")?
            .parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}
