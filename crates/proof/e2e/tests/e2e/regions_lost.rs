//! A region that is lost: the other one is promoted with what it has, and the lost one comes back as its standby, wound
//! back and not copied.

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, SOON};
use pgherd_testbed::{Herd, HerdOptions, wait_for};

use crate::regions::{config_of, inodes, region, standby_leader};

#[tokio::test]
async fn a_lost_region_is_replaced_and_comes_back_as_a_standby_without_a_new_copy() -> Result<()> {
    let two = HerdOptions {
        members: 2,
        ..region()
    };
    let mut berlin = Herd::start("lost", &two).await?;
    let outcome = Box::pin(tell(&mut berlin, two)).await;
    outcome.with_context(|| berlin.bed().report())
}

async fn tell(berlin: &mut Herd, two: HerdOptions) -> Result<()> {
    let host = berlin.leader().await?.sql();
    let follows = HerdOptions {
        dcs_lines: vec![format!(
            "standby_cluster: {{host: {}, port: {}}}",
            host.ip(),
            host.port()
        )],
        ..two
    };
    let mut paris = Herd::prepare_on(berlin.bed().clone(), "lost", "dr", &follows).await?;
    for member in &mut paris.members {
        member.start()?;
    }
    standby_leader(&paris, None).await?;
    all_stream(&paris).await?;
    berlin
        .leader()
        .await?
        .execute("CREATE TABLE places AS SELECT 'both' AS place")
        .await?;
    has(&paris, "both").await?;

    all_of_it_is_lost_and_returns_as_a_second_primary(berlin, &paris).await?;
    its_servers_are_lost_and_return_as_a_standby(&mut paris, berlin).await
}

/// Servers and store at once: nobody can be told, so it comes back as a primary beside the new one. The operator ends that.
async fn all_of_it_is_lost_and_returns_as_a_second_primary(
    berlin: &mut Herd,
    paris: &Herd,
) -> Result<()> {
    let before = inodes(berlin)?;
    let other = config_of(berlin);
    let lives = give_up(paris, &other).await;
    let lives = lives.err().context("a living region was given up")?;
    ensure!(
        lives.to_string().contains("the primary region lives"),
        "{lives}"
    );

    berlin.kill_everything()?;
    let said = give_up(paris, &other).await?;
    ensure!(
        said.contains("is the primary region now")
            && said.contains("The lost region could not be told"),
        "{said}"
    );
    let leader = paris.wait_leader(FAILOVER).await?;
    paris.members[leader]
        .execute("INSERT INTO places VALUES ('paris')")
        .await?;

    berlin.etcd.start_all()?;
    for member in &mut berlin.members {
        member.start()?;
    }
    let second = berlin.wait_leader(FAILOVER).await?;
    berlin.members[second]
        .execute("INSERT INTO places VALUES ('berlin, in vain')")
        .await?;
    both_are_told_as_primaries(paris, &other).await?;
    let new = paris.members[leader].sql();
    let (host, port) = (new.ip().to_string(), new.port().to_string());
    berlin
        .ctl(&[
            "demote-cluster",
            "--force",
            "--host",
            &host,
            "--port",
            &port,
        ])
        .await?;
    is_back(berlin, &before, "both,paris").await
}

/// The region of `herd` takes over from the one of `other`, whatever that one had more.
async fn give_up(herd: &Herd, other: &str) -> Result<String> {
    let order = ["dr", "failover", "--accept-loss", "--force", "--other"];
    herd.ctl(&[&order[..], &[other]].concat()).await
}

/// `dr status` says it, and what was done and accepted.
async fn both_are_told_as_primaries(paris: &Herd, other: &str) -> Result<()> {
    wait_for("both regions to be told as primaries", SOON, async || {
        let status = paris.ctl(&["dr", "status", "--other", other]).await?;
        let told = [
            "BOTH regions accept writes",
            "failover done",
            "promoted with: ",
            "loss: ",
        ];
        ensure!(told.iter().all(|text| status.contains(text)), "{status}");
        Ok(())
    })
    .await
}

/// Its store lives: it is told there, and its servers come back as a standby by themselves.
async fn its_servers_are_lost_and_return_as_a_standby(
    paris: &mut Herd,
    berlin: &Herd,
) -> Result<()> {
    let before = inodes(paris)?;
    for member in &paris.members {
        member.host().kill_all()?;
    }
    let other = config_of(paris);
    let refused = wait_for("the lost region to show no primary", FAILOVER, async || {
        let said = berlin
            .ctl(&["dr", "failover", "--other", &other, "--force"])
            .await;
        let said = said
            .err()
            .context("it accepted a loss unasked")?
            .to_string();
        ensure!(said.contains("nothing was changed"), "{said}");
        Ok(said)
    })
    .await?;
    ensure!(
        refused.contains("the lost one was last known at"),
        "{refused}"
    );
    let said = wait_for("the lost region to be given up", FAILOVER, async || {
        give_up(berlin, &other).await
    })
    .await?;
    ensure!(!said.contains("could not be told"), "{said}");
    let leader = berlin.wait_leader(FAILOVER).await?;
    berlin.members[leader]
        .execute("INSERT INTO places VALUES ('berlin')")
        .await?;
    for member in &mut paris.members {
        member.start()?;
    }
    is_back(paris, &before, "berlin,both,paris").await?;
    let status = berlin.ctl(&["dr", "status", "--other", &other]).await?;
    ensure!(!status.contains("BOTH"), "{status}");
    Ok(())
}

/// The region follows, has exactly these rows, and its data directories are those that it had.
async fn is_back(herd: &Herd, before: &[u64], rows: &str) -> Result<()> {
    standby_leader(herd, None).await?;
    all_stream(herd).await?;
    has(herd, rows).await?;
    for member in &herd.members {
        ensure!(
            member.health("/primary").await == Some(503),
            "{} says that it is a primary",
            member.name()
        );
    }
    ensure!(inodes(herd)? == before, "it was copied anew");
    Ok(())
}

/// Waits until every member streams, from wherever.
async fn all_stream(herd: &Herd) -> Result<()> {
    wait_for("every member to stream", FAILOVER, async || {
        for member in &herd.members {
            let streams = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
            let name = member.name();
            ensure!(
                member.query(streams).await? == "1",
                "{name} does not stream"
            );
        }
        Ok(())
    })
    .await
}

async fn has(herd: &Herd, rows: &str) -> Result<()> {
    for member in &herd.members {
        wait_for(&format!("the rows {rows}"), SOON, async || {
            let all = "SELECT string_agg(place, ',' ORDER BY place) FROM places";
            let all = member.query(all).await?;
            ensure!(all == rows, "{} has {all}", member.name());
            Ok(())
        })
        .await?;
    }
    Ok(())
}
