//! Programs of others that read our REST API: the monitoring plugin, and the load balancer with the guide's file.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pgherd_e2e::{FAILOVER, REJOIN, SOON, with_herd};
use pgherd_testbed::{Herd, HerdOptions, Host, Login, connect, reader, wait_for};

/// HAProxy looks every 3 s and wants two good answers; a failover comes before that.
const FOLLOWED: Duration = Duration::from_secs(60);

/// Runs one check of the plugin against some members; returns its exit code and what it printed.
async fn check(
    herd: &Herd,
    members: impl Iterator<Item = usize>,
    arguments: &[&str],
) -> Result<(i32, String)> {
    let plugin = reader("check_patroni").context("the plugin is not installed")?;
    let mut command = tokio::process::Command::new(plugin);
    for at in members {
        command.args(["-e", &format!("http://{}", herd.members[at].rest())]);
    }
    let run = command.args(arguments).output();
    let output = tokio::time::timeout(SOON, run)
        .await
        .context("the check never ended")??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.code().unwrap_or(-1), said))
}

/// What the plugin is asked about the cluster, and its exit code: 0 is good, 2 critical.
const OF_CLUSTER: &[(&[&str], i32)] = &[
    (&["cluster_has_leader"], 0),
    (
        &[
            "cluster_has_replica",
            "-w",
            "2:",
            "-c",
            "2:",
            "--max-lag",
            "10MB",
        ],
        0,
    ),
    (
        &[
            "cluster_has_replica",
            "--sync-critical",
            "1:",
            "--sync-type",
            "sync",
        ],
        0,
    ),
    (&["cluster_has_replica", "-c", "3:"], 2),
    (
        &[
            "cluster_node_count",
            "-w",
            "3:",
            "-c",
            "3:",
            "--healthy-critical",
            "3:",
        ],
        0,
    ),
    (&["cluster_node_count", "-c", "4:"], 2),
    (&["cluster_is_in_maintenance"], 0),
    (&["cluster_has_scheduled_action"], 0),
    (&["cluster_config_has_changed", "--hash", "0"], 2),
];

/// What it is asked about the leader (`true`) and a replica.
const OF_NODES: &[(bool, &[&str], i32)] = &[
    (true, &["node_is_alive"], 0),
    (true, &["node_is_primary"], 0),
    (true, &["node_is_leader"], 0),
    (true, &["node_is_replica"], 2),
    (true, &["node_is_pending_restart"], 0),
    (
        true,
        &["node_patroni_version", "--patroni-version", "4.1.5"],
        0,
    ),
    (true, &["node_tl_has_changed", "--timeline", "1"], 0),
    (true, &["node_tl_has_changed", "--timeline", "7"], 2),
    (false, &["node_is_alive"], 0),
    (false, &["node_is_replica", "--max-lag", "10MB"], 0),
    (false, &["node_is_primary"], 2),
    (false, &["node_is_leader", "--is-standby-leader"], 2),
];

#[tokio::test]
async fn every_check_of_check_patroni_understands_us() -> Result<()> {
    if reader("check_patroni").is_none() {
        println!("skipped: check_patroni is not installed (scripts/setup.sh test gets it)");
        return Ok(());
    }
    let options = HerdOptions {
        synchronous: "on".to_owned(),
        ..HerdOptions::default()
    };
    with_herd("plugin", options, async |herd| {
        let leader = herd.leader_index().await?;
        let replica = (leader + 1) % herd.members.len();
        let all = 0..herd.members.len();
        wait_for("one synchronous standby", SOON, async || {
            let cluster = herd.cluster().await?.to_string();
            ensure!(cluster.contains("sync_standby"), "{cluster}");
            Ok(())
        })
        .await?;
        for (arguments, wanted) in OF_CLUSTER {
            let (code, said) = check(herd, all.clone(), arguments).await?;
            ensure!(code == *wanted, "{arguments:?} ended with {code}: {said}");
        }
        for (leads, arguments, wanted) in OF_NODES {
            let at = if *leads { leader } else { replica };
            let (code, said) = check(herd, std::iter::once(at), arguments).await?;
            ensure!(
                code == *wanted,
                "{arguments:?} on {} ended with {code}: {said}",
                herd.members[at].name()
            );
        }
        let mut synchronous = 0;
        for at in all.clone().filter(|at| *at != leader) {
            let question = ["node_is_replica", "--is-sync"];
            let (code, _) = check(herd, std::iter::once(at), &question).await?;
            synchronous += usize::from(code == 0);
        }
        ensure!(
            synchronous == 1,
            "{synchronous} synchronous replicas of one"
        );

        herd.ctl(&["pause", "--wait"]).await?;
        let (code, said) = check(herd, all.clone(), &["cluster_is_in_maintenance"]).await?;
        ensure!(code == 2, "paused, and the plugin says {code}: {said}");
        Ok(())
    })
    .await
}

/// The guide's file, with this bed's addresses in it and nothing else changed.
fn guide_file(herd: &Herd, balancer: &Host) -> String {
    let mut text = include_str!("../../fixtures/haproxy.cfg").replace(
        "/var/run/haproxy.sock",
        &balancer.dir().join("haproxy.sock").to_string_lossy(),
    );
    for (number, member) in herd.members.iter().enumerate() {
        let node = format!(
            "node{} 10.0.1.{}:5432 check port 8008",
            number + 1,
            number + 10
        );
        let here = format!(
            "node{} {} check port {}",
            number + 1,
            member.sql(),
            member.rest().port()
        );
        text = text.replace(&node, &here);
    }
    text
}

/// What a client sees who asks `port` of the load balancer: the server's address, when its role is the one wanted.
async fn behind(balancer: Ipv4Addr, port: u16, in_recovery: bool) -> Result<String> {
    let client = connect(SocketAddr::from((balancer, port)), &Login::superuser()).await?;
    let row = client
        .query_one("SELECT host(inet_server_addr()), pg_is_in_recovery()", &[])
        .await?;
    let (server, recovering): (String, bool) = (row.get(0), row.get(1));
    ensure!(
        recovering == in_recovery,
        "{server}: in recovery is {recovering}"
    );
    Ok(server)
}

#[tokio::test]
async fn haproxy_with_the_guides_file_follows_a_switchover_and_a_failover() -> Result<()> {
    with_herd("haproxy", HerdOptions::default(), async |herd| {
        if !herd.bed().can_cut() {
            println!("skipped: the guide's ports need hosts of their own");
            return Ok(());
        }
        let balancer = herd.bed().host("lb")?;
        let file = balancer.dir().join("haproxy.cfg");
        fs_err::write(&file, guide_file(herd, &balancer))?;
        let argv = ["haproxy", "-db", "-f", &file.to_string_lossy()].map(str::to_owned);
        let _running = balancer.start("haproxy", None, &argv)?;
        let follows = async |herd: &Herd, leader: usize| {
            let address = herd.members[leader].sql().ip().to_string();
            wait_for("port 5000 to lead to the primary", FOLLOWED, async || {
                let server = behind(balancer.address(), 5000, false).await?;
                ensure!(server == address, "{server} instead of {address}");
                Ok(())
            })
            .await?;
            wait_for("port 5001 to lead to a replica", FOLLOWED, async || {
                behind(balancer.address(), 5001, true).await
            })
            .await
        };
        let first = herd.leader_index().await?;
        follows(herd, first).await?;

        let next = (first + 1) % herd.members.len();
        let (from, to) = (herd.members[first].name(), herd.members[next].name());
        let scope = herd.scope();
        herd.ctl(&[
            "switchover",
            scope,
            "--leader",
            from,
            "--candidate",
            to,
            "--force",
        ])
        .await?;
        ensure!(
            herd.wait_formed(REJOIN).await? == next,
            "the leader is another"
        );
        follows(herd, next).await?;

        herd.members[next].host().power_off()?;
        let last = herd.wait_other_leader(next, FAILOVER).await?;
        follows(herd, last).await.map(drop)
    })
    .await
}
