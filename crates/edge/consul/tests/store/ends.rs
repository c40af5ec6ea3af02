//! How a session ends: in time, by its agent's leaving, by an operator, and what follows.

use std::time::Duration;

use pgherd_consul::{Consul, ConsulOptions};
use pgherd_ports::{Acquisition, Condition, Dcs as _, Key, Leading, Wake};
use tokio::time::{Instant, timeout};

use crate::server::Agent;
use crate::{PATIENCE, member, name, options, ready, until};

const TTL: Duration = Duration::from_secs(4);

fn of(server: &Agent, scope: &str) -> ConsulOptions {
    ConsulOptions {
        scope: scope.to_owned(),
        ttl: TTL,
        ..options(server.url())
    }
}

async fn join(dcs: &Consul, member: &str) {
    let key = Key::Member(name(member));
    dcs.put(&key, "{}", Condition::ALWAYS).await.unwrap();
}

/// What a session is asked for, half of ttl, is counted twice: all that is believed of a lease hangs on that.
async fn a_lease_lives_for_a_whole_ttl(server: &Agent) {
    let witness = Consul::connect(of(server, "whole"), None, Wake::new());
    let dcs = member("a", of(server, "whole"));
    join(&dcs, "a").await;
    tokio::time::sleep(TTL / 2).await;
    let believed_from = Instant::now();
    assert!(dcs.renew().await.unwrap().alive);
    until("the session ends", async || {
        witness.load().await.unwrap().members.is_empty()
    })
    .await;
    assert!(
        believed_from.elapsed() >= TTL,
        "{:?}",
        believed_from.elapsed()
    );
}

/// A check may end a session while its member still counts on its lease, so the key is kept back meanwhile.
async fn what_a_check_may_end_keeps_the_key_from_others_for_a_lease(server: &Agent) {
    let mut options = of(server, "checks");
    options.consul.checks = vec!["serfHealth".to_owned()];
    let a = member("a", options);
    let b = member("b", of(server, "checks"));
    assert_eq!(a.acquire_leader().await, Ok(Acquisition::Mine));
    let before = Instant::now();
    let key = server.ask("GET", "kv/service/checks/leader").await;
    let session = key[0]["Session"].as_str().unwrap();
    server
        .ask("PUT", &format!("session/destroy/{session}"))
        .await;
    let seen = a.renew().await.unwrap();
    assert_eq!((seen.alive, seen.leading), (false, Leading::Nobody));
    let said = b.acquire_leader().await.unwrap_err().to_string();
    assert!(said.contains("keeps the leader key back"), "{said}");
    until("the key is given out", async || {
        b.acquire_leader().await == Ok(Acquisition::Mine)
    })
    .await;
    assert!(before.elapsed() >= TTL, "{:?}", before.elapsed());
}

/// Servers that refuse short sessions give a longer one: the lease is never shorter than believed.
async fn a_session_that_is_too_short_for_the_servers_is_made_longer(server: &Agent) {
    let short = ConsulOptions {
        ttl: Duration::from_millis(700),
        ..of(server, "short")
    };
    let dcs = member("a", short);
    join(&dcs, "a").await;
    let key = server.ask("GET", "kv/service/short/members/a").await;
    let session = key[0]["Session"].as_str().unwrap();
    let session = server.ask("GET", &format!("session/info/{session}")).await;
    assert_eq!(session[0]["TTL"], "500ms");
    assert_eq!(session[0]["Name"], "short-a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_when_they_should() {
    let Some(server) = Agent::server() else {
        return;
    };
    ready(&member("first", options(server.url()))).await;
    tokio::join!(
        a_lease_lives_for_a_whole_ttl(&server),
        what_a_check_may_end_keeps_the_key_from_others_for_a_lease(&server),
        a_session_that_is_too_short_for_the_servers_is_made_longer(&server),
    );
}

/// An agent that is stopped takes its sessions along at once, long before ttl is over. It still answers then, so the
/// member learns that it leads no more before it is cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_leaves_ends_the_lease_and_that_is_seen_at_once() {
    let Some(server) = Agent::server() else {
        return;
    };
    let Some(beside) = Agent::beside(&server) else {
        return;
    };
    let wake = Wake::new();
    let a = Consul::connect(options(beside.url()), Some(name("a")), wake.clone());
    let b = member("b", options(server.url()));
    ready(&a).await;
    until("the agent is a node", async || {
        a.acquire_leader().await == Ok(Acquisition::Mine)
    })
    .await;
    assert_eq!(a.renew().await.unwrap().leading, Leading::Me);
    while timeout(Duration::from_millis(500), wake.woken())
        .await
        .is_ok()
    {}

    beside.terminate();
    let woken = timeout(PATIENCE, wake.woken()).await;
    assert!(woken.is_ok(), "not woken when the key went away");
    until("the key is free", async || {
        b.acquire_leader().await == Ok(Acquisition::Mine)
    })
    .await;
    let seen = a.renew().await.expect("the agent still answers");
    assert_eq!(seen.leading, Leading::Other(name("b")));
}
