//! The leader's whole host: its processes, its cable, and a sleep that is longer than its lease. `host_loss` has the power.

use anyhow::{Result, ensure};
use pgherd_e2e::{FAILOVER, Leader, rows_arrive, synchronous, trial, with_herd};
use pgherd_testbed::runs;

#[tokio::test]
async fn another_leads_and_nothing_is_lost_when_the_leaders_host_is_gone_or_asleep() -> Result<()> {
    with_herd("host-gone", synchronous(), async |herd| {
        trial(
            herd,
            "every process killed",
            Leader::Moves,
            async |herd, oracle, old| {
                herd.members[old].host().kill_all()?;
                herd.wait_other_leader(old, FAILOVER).await?;
                rows_arrive(oracle, 100).await?;
                herd.members[old].start()
            },
        )
        .await?;
        trial(herd, "asleep", Leader::Moves, async |herd, oracle, old| {
            let postmaster = herd.members[old].postmaster()?;
            herd.members[old].host().pause()?;
            herd.wait_other_leader(old, FAILOVER).await?;
            rows_arrive(oracle, 100).await?;
            ensure!(runs(postmaster), "it was to sleep, not to die");
            // Clients at its own address try all the time: whatever it takes from them now is a second writer.
            herd.members[old].host().resume();
            Ok(())
        })
        .await?;
        if !herd.bed().can_cut() {
            return Ok(());
        }
        trial(
            herd,
            "cable drawn",
            Leader::Moves,
            async |herd, oracle, old| {
                herd.members[old].host().unplug()?;
                herd.wait_other_leader(old, FAILOVER).await?;
                rows_arrive(oracle, 100).await?;
                herd.members[old].host().plug()
            },
        )
        .await
        .map(drop)
    })
    .await
}
