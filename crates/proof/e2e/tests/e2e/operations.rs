//! Settings and restarts by order of an operator.

use anyhow::{Result, ensure};
use pgherd_e2e::{REJOIN, SOON, with_herd};
use pgherd_testbed::{HerdOptions, wait_for};

#[tokio::test]
async fn a_setting_that_needs_a_restart_waits_for_it_on_every_member() -> Result<()> {
    with_herd("settings", HerdOptions::default(), async |herd| {
        let leader = herd.leader_index().await?;
        let change = "postgresql.parameters.max_connections=70";
        herd.ctl(&["edit-config", "-s", change, "--force"]).await?;
        wait_for("the pending restart to show", SOON, async || {
            for member in &herd.members {
                let entry = herd.cluster_member(member.name()).await?;
                ensure!(entry["pending_restart"] == true, "{entry}");
            }
            Ok(())
        })
        .await?;
        herd.ctl(&["restart", herd.scope(), "--force"]).await?;
        ensure!(
            herd.wait_formed(REJOIN).await? == leader,
            "a restart changed the leader"
        );
        for member in &herd.members {
            let value = member.query("SHOW max_connections").await?;
            ensure!(value == "70", "{} has {value}", member.name());
        }
        wait_for("nothing to be pending any more", SOON, async || {
            let cluster = herd.cluster().await?;
            ensure!(
                !cluster.to_string().contains("pending_restart"),
                "{cluster}"
            );
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_setting_that_needs_a_reload_only_is_live_at_once() -> Result<()> {
    with_herd("reload", HerdOptions::default(), async |herd| {
        let started = "SELECT pg_postmaster_start_time()::text";
        let before = herd.leader().await?.query(started).await?;
        let change = "postgresql.parameters.log_min_duration_statement=1234ms";
        herd.ctl(&["edit-config", "-s", change, "--force"]).await?;
        wait_for("the setting on every member", SOON, async || {
            for member in &herd.members {
                let value = member.query("SHOW log_min_duration_statement").await?;
                ensure!(value == "1234ms", "{} has {value}", member.name());
            }
            Ok(())
        })
        .await?;
        ensure!(
            herd.leader().await?.query(started).await? == before,
            "it was restarted"
        );
        Ok(())
    })
    .await
}
