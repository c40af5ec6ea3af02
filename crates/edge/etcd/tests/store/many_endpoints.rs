//! Several endpoints, some of them useless: what works is used, and quickly.

use std::time::Duration;

use pgherd_ports::{Condition, Dcs as _, Key, Leading};
use tokio::time::Instant;

use crate::black_hole::{Full, Silent};
use crate::link::Link;
use crate::server::Servers;
use crate::{TTL, member, name, options, ready, until};

/// Whichever endpoint is asked first: no renewal takes longer than a quarter of ttl.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_delays_no_renewal() {
    let servers = Servers::start(1);
    let (silent, full) = (Silent::open(), Full::open());
    let mut hosts = vec![silent.url(), full.url()];
    hosts.extend(servers.urls());
    ready(&member("first", options(servers.urls()))).await;
    for round in 0..hosts.len() {
        hosts.rotate_left(1);
        let dcs = member(&format!("m{round}"), options(hosts.clone()));
        let begun = Instant::now();
        let renewal = dcs.renew().await.unwrap();
        assert!(begun.elapsed() < TTL / 4, "{:?}", begun.elapsed());
        assert_eq!((renewal.alive, renewal.leading), (false, Leading::Nobody));
        // By now it knows whom to ask.
        let begun = Instant::now();
        dcs.load().await.unwrap();
        dcs.acquire_leader().await.unwrap();
        let leading = dcs.renew().await.unwrap().leading;
        assert_eq!(leading, Leading::Me);
        assert!(begun.elapsed() < TTL / 4, "{:?}", begun.elapsed());
        dcs.leave().await.unwrap();
    }
}

/// An endpoint that worked turns silent in the middle of things.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_turns_silent_delays_no_renewal() {
    let servers = Servers::start(1);
    let target = servers.ports()[0];
    let links = [Link::to(target).await, Link::to(target).await];
    let dcs = member("a", options(links.iter().map(Link::url).collect()));
    ready(&dcs).await;
    dcs.acquire_leader().await.unwrap();
    for link in &links {
        link.cut();
        for _ in 0..3 {
            let begun = Instant::now();
            let renewal = dcs.renew().await.unwrap();
            assert!(begun.elapsed() < TTL / 4, "{:?}", begun.elapsed());
            assert_eq!((renewal.alive, renewal.leading), (true, Leading::Me));
        }
        let begun = Instant::now();
        dcs.put(&Key::Status, "{}", Condition::LEADING)
            .await
            .unwrap();
        assert!(begun.elapsed() < TTL / 4, "{:?}", begun.elapsed());
        link.heal();
    }
}

/// With one endpoint only, a connection that turned silent is given up and made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_connection_is_replaced() {
    let servers = Servers::start(1);
    let link = Link::to(servers.ports()[0]).await;
    let dcs = member("a", options(vec![link.url()]));
    ready(&dcs).await;
    link.cut();
    let error = dcs.load().await.unwrap_err();
    assert!(error.to_string().contains(&link.url()), "{error}");
    link.heal();
    let begun = Instant::now();
    dcs.load().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
}

/// Members that etcd names itself are used too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_were_not_configured_are_learned() {
    let mut servers = Servers::start(3);
    let urls = servers.urls();
    let mut options = options(urls[..1].to_vec());
    options.etcd.use_proxies = false;
    let dcs = member("a", options);
    ready(&dcs).await;
    until("the member list is known", async || {
        let known = format!("{dcs:?}");
        urls.iter().all(|url| known.contains(url.as_str()))
    })
    .await;
    dcs.acquire_leader().await.unwrap();
    servers.kill(0);
    until("others are asked", async || {
        let leading = dcs.renew().await.map(|renewal| renewal.leading);
        leading == Ok(Leading::Me)
    })
    .await;
    assert_eq!(dcs.load().await.unwrap().leader_name(), Some(&name("a")));
}
