//! The network parts: the leader loses all others, the store only, the replicas only, or one direction.

use anyhow::{Result, ensure};
use pgherd_e2e::{FAILOVER, Leader, patient, rows_arrive, synchronous, trial, with_herd};
use pgherd_testbed::{Cut, Herd, HerdOptions, Host, Way, runs};

/// Everybody else on the bed, seen from member `at`.
fn others(herd: &Herd, at: usize) -> Vec<Host> {
    let mut hosts = herd.hosts_but(at);
    hosts.extend_from_slice(herd.etcd.hosts());
    hosts
}

/// Cuts the leader off until another leads; the old primary must have ended by then.
async fn another_takes_over(herd: &mut Herd, old: usize) -> Result<()> {
    let postmaster = herd.members[old].postmaster();
    herd.wait_other_leader(old, FAILOVER).await?;
    // A replica may run again there already, under another number.
    let health = herd.members[old].health("/primary").await;
    ensure!(
        health != Some(200),
        "the old one still says that it is the primary"
    );
    if let Ok(postmaster) = postmaster {
        ensure!(!runs(postmaster), "the old primary runs beside the new one");
    }
    herd.members[old].host().heal()
}

#[tokio::test]
async fn a_leader_without_the_store_has_stopped_before_another_leads() -> Result<()> {
    with_herd("parted", synchronous(), async |herd| {
        if !herd.bed().can_cut() {
            return Ok(());
        }
        // Clients still reach it, so that a second writer would be seen.
        trial(herd, "cut from all", Leader::Moves, async |herd, _, old| {
            herd.members[old].host().cut(Cut::Peers)?;
            another_takes_over(herd, old).await
        })
        .await?;
        trial(
            herd,
            "cut from etcd",
            Leader::Moves,
            async |herd, _, old| {
                let stores = herd.etcd.hosts().to_vec();
                herd.members[old].host().cut_from(&stores, Way::Both)?;
                another_takes_over(herd, old).await
            },
        )
        .await?;
        for (story, way) in [("deaf", Way::Inwards), ("mute", Way::Outwards)] {
            trial(herd, story, Leader::Moves, async |herd, _, old| {
                let others = others(herd, old);
                herd.members[old].host().cut_from(&others, way)?;
                another_takes_over(herd, old).await
            })
            .await?;
        }
        Ok(())
    })
    .await
}

/// PostgreSQL notices a silent partner after these; until then it waits for what a synchronous standby confirms.
fn impatient() -> HerdOptions {
    let parameters = ["wal_sender_timeout: 2s", "wal_receiver_timeout: 4s"];
    HerdOptions {
        parameters: parameters.map(str::to_owned).to_vec(),
        ..patient()
    }
}

#[tokio::test]
async fn a_leader_without_its_replicas_goes_on() -> Result<()> {
    with_herd("parted-replicas", impatient(), async |herd| {
        if !herd.bed().can_cut() {
            return Ok(());
        }
        for (story, way) in [
            ("cut from the replicas", Way::Both),
            ("deaf to the replicas", Way::Inwards),
        ] {
            trial(herd, story, Leader::Stays, async |herd, oracle, old| {
                let replicas = herd.hosts_but(old);
                herd.members[old].host().cut_from(&replicas, way)?;
                rows_arrive(oracle, 500).await?;
                herd.members[old].host().heal()
            })
            .await?;
        }
        Ok(())
    })
    .await
}
