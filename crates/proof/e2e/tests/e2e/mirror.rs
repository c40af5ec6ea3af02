//! Patroni's REST answers and ours, side by side in one cluster.

use anyhow::{Result, ensure};
use pgherd_e2e::{REJOIN, SOON, mirror, with_herd};
use pgherd_testbed::{AgentProgram, Herd, HerdOptions, Member, wait_for};
use rustix::process::Signal;

/// Waits until both replicas say of themselves that they are synchronous: a member of Patroni hears of that only when
/// its loop comes round.
async fn both_replicas_are_synchronous(herd: &Herd) -> Result<()> {
    wait_for("two synchronous standbys", REJOIN, async || {
        let leader = herd.leader_index().await?;
        for at in (0..herd.members.len()).filter(|at| *at != leader) {
            let status = herd.members[at].status().await?;
            ensure!(status["sync_standby"] == true, "{status}");
        }
        Ok(())
    })
    .await
}

/// A switchover, and all is calm after it.
async fn switch(herd: &Herd, from: usize, to: usize) -> Result<()> {
    let [from_name, to_name] = [from, to].map(|at| herd.members[at].name());
    let names = ["--leader", from_name, "--candidate", to_name];
    let order = ["switchover", herd.scope()]
        .into_iter()
        .chain(names)
        .chain(["--force"]);
    herd.ctl(&order.collect::<Vec<_>>()).await?;
    ensure!(
        herd.wait_formed(REJOIN).await? == to,
        "{to_name} does not lead"
    );
    both_replicas_are_synchronous(herd).await
}

/// Both replicas get tags by a reload; what differs then. Tags stand in the member key, and `nosync` takes both out of
/// `/sync`, whose leader is Patroni's.
async fn with_tags(herd: &Herd) -> Result<Vec<String>> {
    for at in [1, 2] {
        let path = herd.members[at].config();
        let text = fs_err::read_to_string(path)?;
        fs_err::write(path, format!("{text}{}", mirror::TAGS))?;
        herd.members[at].signal_agent(Signal::HUP)?;
    }
    wait_for("the tags to count", REJOIN, async || {
        let [ours, theirs] = [
            herd.cluster_member("pg2").await?,
            herd.cluster_member("pg3").await?,
        ];
        ensure!(theirs["tags"]["rack"] == "r1", "{theirs}");
        ensure!(theirs["tags"] == ours["tags"], "{theirs}\n{ours}");
        for at in [1, 2] {
            let status = herd.members[at].status().await?;
            ensure!(status.get("sync_standby").is_none(), "{status}");
        }
        Ok(())
    })
    .await?;
    differing_for_good(herd, mirror::tagged).await
}

/// What differs between the replica of Patroni and ours at every look: on a busy machine one of them may hear nothing of
/// its server for a moment, and says so.
async fn differing_for_good(
    herd: &Herd,
    ask: impl AsyncFn(&Member) -> Result<Vec<String>>,
) -> Result<Vec<String>> {
    let mut last = Vec::new();
    let alike = wait_for("both to answer alike", SOON, async || {
        let theirs = ask(&herd.members[2]).await?;
        last = mirror::differing(&theirs, &ask(&herd.members[1]).await?);
        ensure!(last.is_empty(), "{}", last.join("\n"));
        Ok(())
    })
    .await;
    if let Err(error) = alike {
        ensure!(!last.is_empty(), "{error:#}");
    }
    Ok(last)
}

/// Pause: what both say, that both leave a server alone that was stopped by hand, and that both start it by order.
async fn in_pause(herd: &Herd) -> Result<Vec<String>> {
    herd.ctl(&["pause", "--wait"]).await?;
    let mut differing = differing_for_good(herd, mirror::paused).await?;
    for at in [1, 2] {
        herd.members[at].stop_server_by_hand()?;
    }
    wait_for(
        "both to say that PostgreSQL is stopped",
        REJOIN,
        async || {
            for name in ["pg2", "pg3"] {
                let entry = herd.cluster_member(name).await?;
                ensure!(entry["state"] == "stopped", "{entry}");
            }
            Ok(())
        },
    )
    .await?;
    differing.extend(differing_for_good(herd, mirror::stopped).await?);
    let theirs = mirror::start(&herd.members[2]).await?;
    differing.extend(mirror::differing(
        &theirs,
        &mirror::start(&herd.members[1]).await?,
    ));
    herd.ctl(&["resume", "--wait"]).await?;
    ensure!(herd.wait_formed(REJOIN).await? == 0, "the leader moved");
    Ok(differing)
}

#[tokio::test]
async fn a_member_of_ours_answers_over_rest_as_one_of_patronis_does() -> Result<()> {
    let Some(patroni) = AgentProgram::patroni() else {
        println!("skipped: Patroni is not installed (scripts/setup.sh test gets it)");
        return Ok(());
    };
    let options = HerdOptions {
        ttl: 20,
        retry_timeout: 3,
        synchronous: "on".to_owned(),
        dcs_lines: vec!["synchronous_node_count: 2".to_owned()],
        agent: Some(patroni),
        ..HerdOptions::default()
    };
    with_herd("mirror", options, async |herd| {
        let leader = herd.leader_index().await?;
        ensure!(leader == 0, "{} leads", herd.members[leader].name());
        herd.members[1].stop(SOON).await?;
        herd.members[1].install(AgentProgram::pgherd()?);
        herd.members[1].start()?;
        herd.wait_formed(REJOIN).await?;
        both_replicas_are_synchronous(herd).await?;

        let as_leader = mirror::reads(&herd.members[0]).await?;
        let as_replica = mirror::reads(&herd.members[2]).await?;
        let of_ours = mirror::reads(&herd.members[1]).await?;
        let mut differing = mirror::differing(&as_replica, &of_ours);

        switch(herd, 0, 1).await?;
        let of_ours = mirror::reads(&herd.members[1]).await?;
        // The switchover in between is in these two.
        let tells_it = |pair: &String| {
            let documents = ["GET /history", "GET /cluster"];
            documents.iter().any(|path| pair.contains(path))
        };
        let pairs = mirror::differing(&as_leader, &of_ours).into_iter();
        differing.extend(pairs.filter(|pair| !tells_it(pair)));

        switch(herd, 1, 0).await?;
        let orders = mirror::orders(&herd.members[2]).await?;
        let of_ours = mirror::orders(&herd.members[1]).await?;
        differing.extend(mirror::differing(&orders, &of_ours));
        differing.extend(with_tags(herd).await?);
        differing.extend(in_pause(herd).await?);
        let count = differing.len();
        ensure!(
            count == 0,
            "{count} answers differ:\n{}",
            differing.join("\n")
        );
        Ok(())
    })
    .await
}
