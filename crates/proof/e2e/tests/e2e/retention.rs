//! The retention budget (`pgherd.slot_budget`): a slot that nobody reads gives WAL up before the disk is full.

use anyhow::{Result, ensure};
use pgherd_e2e::{REJOIN, SOON, with_herd};
use pgherd_testbed::{HerdOptions, Member, get, wait_for};

#[tokio::test]
async fn a_slot_of_a_member_that_is_away_is_given_up_at_its_budget() -> Result<()> {
    let options = HerdOptions {
        members: 2,
        stores: 1,
        dcs_lines: vec!["pgherd: {slot_budget: 96MB}".to_owned()],
        ..HerdOptions::default()
    };
    with_herd("budget", options, async |herd| {
        let leader = herd.leader_index().await?;
        let away = 1 - leader;
        let primary = &herd.members[leader];
        let cap = primary.query("SHOW max_slot_wal_keep_size").await?;
        ensure!(cap == "96MB", "PostgreSQL may keep {cap}");
        let slot = herd.members[away].name().to_owned();
        herd.members[away].host().kill_all()?;

        // From three quarters on somebody is warned.
        fill(primary, 5).await?;
        wait_for("a warning", SOON, async || {
            let warning = format!("The replication slot '{slot}' keeps more than");
            ensure!(primary.log().contains(&warning), "not in the log");
            let listed = herd.ctl(&["list"]).await?;
            ensure!(listed.contains(&format!("Slot {slot} keeps")), "{listed}");
            Ok(())
        })
        .await?;
        let lost = format!("slot=\"{slot}\"}} 1");
        ensure!(!told(primary, "pgherd_slot_lost", &lost).await?, "given up");

        // At the budget PostgreSQL gives it up at a checkpoint; it is made anew, and keeps nothing.
        fill(primary, 4).await?;
        primary.execute("CHECKPOINT").await?;
        let dropped = format!("Dropping physical replication slot '{slot}': it has been invalidated");
        wait_for("the slot to be dropped and made anew", SOON, async || {
            ensure!(primary.log().contains(&dropped), "not in the log");
            let state = format!(
                "SELECT coalesce(wal_status, 'none') FROM pg_replication_slots WHERE slot_name = '{slot}'"
            );
            let state = primary.query(&state).await?;
            ensure!(state != "lost", "it is {state}");
            Ok(())
        })
        .await?;
        wait_for("the WAL to be gone", SOON, async || {
            primary.execute("CHECKPOINT").await?;
            // Segments after the current one are only names for the next.
            let kept = "SELECT count(*) FROM pg_ls_waldir() WHERE length(name) = 24 \
                        AND name < pg_walfile_name(pg_current_wal_lsn())";
            let kept: u32 = primary.query(kept).await?.parse()?;
            ensure!(kept <= 6, "{kept} segments of 16 MB are kept");
            Ok(())
        })
        .await?;

        // The member can not go on from there; an operator has it copied anew.
        herd.members[away].start()?;
        wait_for("the member to run", REJOIN, async || {
            let status = herd.members[away].status().await?;
            ensure!(status["state"] == "running", "{status}");
            ensure!(status.get("replication_state").is_none(), "{status}");
            Ok(())
        })
        .await?;
        let name = herd.members[away].name();
        herd.ctl(&["reinit", herd.scope(), name, "--force", "--wait"])
            .await?;
        herd.wait_formed(REJOIN).await.map(drop)
    })
    .await
}

/// Writes so many segments of 16 MB.
async fn fill(primary: &Member, segments: usize) -> Result<()> {
    primary
        .execute("CREATE TABLE IF NOT EXISTS filled (n int)")
        .await?;
    for _ in 0..segments {
        primary.execute("INSERT INTO filled VALUES (1)").await?;
        primary.execute("SELECT pg_switch_wal()").await?;
    }
    Ok(())
}

/// Whether a line of `/metrics` about `name` ends so.
async fn told(member: &Member, name: &str, end: &str) -> Result<bool> {
    let reply = get(member.rest(), "/metrics").await?;
    let mut lines = reply.body.lines();
    Ok(lines.any(|line| line.starts_with(name) && line.ends_with(end)))
}
