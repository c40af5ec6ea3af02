//! How a cluster begins: bootstrap of the first member, clones of the others.

use anyhow::{Result, ensure};
use pgherd_e2e::{REJOIN, SOON, with_herd};
use pgherd_testbed::{HerdOptions, wait_for};
use serde_json::Value;

#[tokio::test]
async fn bootstrap_gives_one_primary_and_streaming_replicas() -> Result<()> {
    with_herd("bootstrap", HerdOptions::default(), async |herd| {
        let leader = herd.leader().await?;
        ensure!(leader.name() == "pg1", "the only member that ran leads, not {}", leader.name());

        let list: Value = serde_json::from_str(&herd.ctl(&["list", "-f", "json"]).await?)?;
        let roles: Vec<_> = list.as_array().into_iter().flatten().map(|row| &row["Role"]).collect();
        ensure!(roles == ["Leader", "Replica", "Replica"], "list shows {list}");

        let system = "SELECT system_identifier FROM pg_control_system()";
        let identifier = leader.query(system).await?;
        leader.execute("CREATE TABLE t AS SELECT 42 AS n").await?;
        for member in &herd.members {
            ensure!(member.query(system).await? == identifier, "{} is a stranger", member.name());
            let row = wait_for("the row to be replicated", SOON, async || {
                member.query("SELECT n FROM t").await
            });
            ensure!(row.await? == "42");
        }
        let refused = herd.members[1].query("CREATE TABLE u ()").await;
        ensure!(refused.is_err(), "a replica takes writes");

        let roles = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles \
                     WHERE rolname IN ('replicator', 'rewinder')";
        ensure!(leader.query(roles).await? == "replicator rewinder");
        let config = herd.ctl(&["show-config"]).await?;
        ensure!(config.contains("ttl: 5"), "bootstrap.dcs did not become /config:\n{config}");
        let slots = "SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots \
                     WHERE active";
        wait_for("a slot for each replica", SOON, async || {
            let slots = leader.query(slots).await?;
            ensure!(slots == "pg2 pg3", "slots in use: {slots}");
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_member_without_data_clones_the_leader() -> Result<()> {
    with_herd("clone", HerdOptions::default(), async |herd| {
        herd.members[2].stop(SOON).await?;
        fs_err::remove_dir_all(herd.members[2].data_dir())?;
        herd.leader()
            .await?
            .execute("CREATE TABLE t AS SELECT 42 AS n")
            .await?;
        herd.members[2].start()?;
        herd.wait_formed(REJOIN).await?;
        let row = wait_for("the row", SOON, async || {
            herd.members[2].query("SELECT n FROM t").await
        });
        ensure!(row.await? == "42");
        Ok(())
    })
    .await
}
