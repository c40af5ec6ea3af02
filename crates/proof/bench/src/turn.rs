//! What a turn costs in a large cluster.

use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::figure::{Figure, Must};

/// Members of the cluster.
const MEMBERS: usize = 100;

/// CPU of the decision and the guard's check of every turn in a simulated cluster of 100 members.
///
/// # Errors
/// When the cluster does not come up.
pub async fn with_many_members() -> Result<Vec<Figure>> {
    // A universe has a runtime of its own.
    let costs = tokio::task::spawn_blocking(|| pgherd_sim::cost::of_turns(MEMBERS)).await?;
    let costs = costs.map_err(|why| anyhow!(why))?;
    let figure = |when: &str, samples: &[Duration]| {
        let name = format!("CPU of deciding a turn, {MEMBERS} members, {when}");
        let mut figure = Figure::new(&name, "ms", Must::AtMost(1.0));
        figure.samples = samples
            .iter()
            .map(|took| took.as_secs_f64() * 1000.0)
            .collect();
        figure
    };
    Ok(vec![
        figure("at rest", &costs.at_rest),
        figure("in a failover", &costs.in_failover),
    ])
}
