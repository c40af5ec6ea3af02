//! Etcd is away: nothing is known, that is said, and everything goes on by itself afterwards.

use pgherd_ports::{Condition, Dcs as _, DcsError, Key, Leading};
use tokio::time::Instant;

use crate::server::Servers;
use crate::{TTL, member, options, ready, text, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_and_survived() {
    let mut servers = Servers::start(3);
    let urls = servers.urls();
    let dcs = member("a", options(urls.clone()));
    ready(&dcs).await;
    let member_key = Key::Member(crate::name("a"));
    dcs.put(&member_key, "{}", Condition::ALWAYS).await.unwrap();
    dcs.acquire_leader().await.unwrap();

    servers.kill_all();
    let begun = Instant::now();
    let said = text(dcs.renew().await);
    assert!(begun.elapsed() <= TTL / 3, "{:?}", begun.elapsed());
    for url in &urls {
        assert!(said.contains(url), "{said}");
    }
    assert!(said.contains("refused"), "{said}");
    for said in [
        text(dcs.load().await),
        text(dcs.acquire_leader().await),
        text(dcs.put(&Key::Status, "{}", Condition::LEADING).await),
    ] {
        assert!(said.contains(&urls[0]), "{said}");
    }

    servers.start_all();
    until("the lease is renewed again", async || {
        dcs.renew().await.is_ok()
    })
    .await;
    dcs.put(&member_key, "{}", Condition::ALWAYS).await.unwrap();
    dcs.acquire_leader().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_believed() {
    let mut servers = Servers::start(3);
    let dcs = member("a", options(servers.urls()));
    ready(&dcs).await;
    dcs.acquire_leader().await.unwrap();
    servers.kill(0);
    servers.kill(1);
    // What was on its way before may still be answered.
    until("a renewal is unknown", async || dcs.renew().await.is_err()).await;
    assert!(matches!(
        dcs.load().await,
        Err(DcsError::TimedOut(..) | DcsError::Unreachable(_))
    ));
    servers.start_all();
    until("etcd answers", async || dcs.load().await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_needs_no_etcd() {
    let mut servers = Servers::start(1);
    servers.kill_all();
    let dcs = member("a", options(servers.urls()));
    let said = text(dcs.load().await);
    assert!(said.contains(&servers.urls()[0]), "{said}");
    servers.start_all();
    ready(&dcs).await;
}

/// The leader of the etcd cluster dies; the lease is renewed in time all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewals_go_on_when_the_etcd_leader_dies() {
    let mut servers = Servers::start(3);
    let dcs = member("a", options(servers.urls()));
    ready(&dcs).await;
    dcs.acquire_leader().await.unwrap();
    until("etcd has a leader", async || {
        leader(&servers).await.is_some()
    })
    .await;
    let leader = leader(&servers).await.unwrap();
    servers.kill(leader);
    let begun = Instant::now();
    let mut renewed = begun;
    while begun.elapsed() < TTL * 5 / 4 {
        let sent = Instant::now();
        if let Ok(renewal) = dcs.renew().await {
            assert_eq!((renewal.alive, renewal.leading), (true, Leading::Me));
            renewed = sent;
        }
        assert!(renewed.elapsed() < TTL, "no renewal for a whole ttl");
        tokio::time::sleep(TTL / 12).await;
    }
}

/// The index of the member that leads the etcd cluster; `None` while nobody does.
async fn leader(servers: &Servers) -> Option<usize> {
    for (index, url) in servers.urls().iter().enumerate() {
        let Ok(mut client) = etcd_client::Client::connect([url], None).await else {
            continue;
        };
        let Ok(status) = client.status().await else {
            continue;
        };
        if status.header().map(etcd_client::ResponseHeader::member_id) == Some(status.leader()) {
            return Some(index);
        }
    }
    None
}
