//! Which API section `etcd` means, on servers that have the old one and on those that do not: members of one cluster never
//! come to different answers.

use pgherd_etcd::{Api, Etcd, EtcdOptions};
use pgherd_etcd2::{EitherEtcd, OldEtcd};
use pgherd_ports::{Acquisition, Condition, Dcs, Key, OperatorDcs as _, Wake};

use crate::black_hole::Silent;
use crate::server::Servers;
use crate::{http, name, options, text, until};

const ID: &str = "7575757575757575757";

fn of(urls: Vec<String>, scope: &str) -> EtcdOptions {
    EtcdOptions {
        scope: scope.to_owned(),
        ..options(urls)
    }
}

fn either(who: &str, urls: Vec<String>, scope: &str) -> EitherEtcd {
    EitherEtcd::connect(of(urls, scope), Some(name(who)), Wake::new())
}

/// What a new member of a cluster chooses.
async fn chosen(servers: &Servers, scope: &str) -> Option<Api> {
    let dcs = either("c", servers.urls(), scope);
    dcs.load().await.ok()?;
    dcs.api()
}

async fn refusal(servers: &Servers, scope: &str) -> String {
    text(either("c", servers.urls(), scope).load().await)
}

async fn initialize(dcs: &impl Dcs) {
    until("etcd answers", async || dcs.load().await.is_ok()).await;
    let put = dcs.put(&Key::Initialize, ID, Condition::ABSENT).await;
    put.expect("the store answers");
}

async fn leader_of_old(servers: &Servers, scope: &str) -> String {
    let url = format!("{}/v2/keys/service/{scope}/leader", servers.urls()[0]);
    let answer = http().get(url).send().await.expect("etcd answers");
    answer.text().await.expect("its answer is complete")
}

/// What is removed leaves nothing behind, in neither API.
async fn nothing_is_left_of(servers: &Servers, scope: &str) {
    let operator = EitherEtcd::connect(of(servers.urls(), scope), None, Wake::new());
    operator.erase().await.expect("the store answers");
    let today = Etcd::connect(of(servers.urls(), scope), None, Wake::new());
    let traces = today.traces().await.expect("the store answers");
    assert_eq!(traces.agreed, None);
    let left = leader_of_old(servers, scope).await;
    assert!(left.contains("Key not found"), "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_stays_in_the_api_that_it_is_in() {
    let mut servers = Servers::start(1);
    let urls = servers.urls();
    let today = |scope| Etcd::connect(of(urls.clone(), scope), Some(name("t")), Wake::new());
    let old = |scope| OldEtcd::connect(of(urls.clone(), scope), Some(name("o")), Wake::new());
    initialize(&today("in-today")).await;
    initialize(&old("in-old")).await;
    let (two, three) = (old("both"), today("both"));
    initialize(&two).await;
    initialize(&three).await;

    // A new one is where Patroni would be, and whoever only looks leaves no trace of it.
    let reader = EitherEtcd::connect(of(servers.urls(), "new"), None, Wake::new());
    reader.load().await.unwrap();
    assert_eq!(reader.api(), Some(Api::V2));
    assert_eq!(today("new").traces().await.unwrap().agreed, None);
    let (a, b) = (
        either("a", servers.urls(), "new"),
        either("b", servers.urls(), "new"),
    );
    let acquired = tokio::join!(a.acquire_leader(), b.acquire_leader());
    let mine = |acquired: &Acquisition| *acquired == Acquisition::Mine;
    let (first, second) = (acquired.0.unwrap(), acquired.1.unwrap());
    assert!(mine(&first) != mine(&second), "{first:?} {second:?}");
    assert_eq!((a.api(), b.api()), (Some(Api::V2), Some(Api::V2)));
    let led = leader_of_old(&servers, "new").await;
    assert!(led.contains(r#""value":""#), "{led}");
    assert_eq!(today("new").traces().await.unwrap().agreed, Some(Api::V2));
    // Whose section is `etcd3` does not take the cluster up, also when nobody leads it at the moment.
    let leading = if mine(&first) { &a } else { &b };
    leading.release_leader().await.unwrap();
    let said = text(today("new").load().await);
    assert!(said.contains("`etcd3`, which is v3"), "{said}");
    leading.acquire_leader().await.unwrap();

    assert_eq!(chosen(&servers, "in-today").await, Some(Api::V3));
    assert_eq!(chosen(&servers, "in-old").await, Some(Api::V2));
    let said = refusal(&servers, "both").await;
    assert!(said.contains("which of them count"), "{said}");
    two.acquire_leader().await.unwrap();
    assert_eq!(chosen(&servers, "both").await, Some(Api::V2));

    // The same servers without the old API: what is in it is not taken up elsewhere.
    servers.kill_all();
    servers.extra = vec![vec!["--enable-v2=false".to_owned()]];
    servers.start_all();
    let scopes = ["new", "in-old", "both"];
    until("etcd answers", async || {
        refusal(&servers, "new").await.contains("--enable-v2=true")
    })
    .await;
    for scope in scopes {
        let said = refusal(&servers, scope).await;
        assert!(said.contains("--enable-v2=true"), "{scope}: {said}");
    }
    // Who had chosen before does not move either.
    let said = text(a.load().await);
    assert!(said.contains("it has no API v2"), "{said}");
    assert_eq!(chosen(&servers, "in-today").await, Some(Api::V3));
    let later = either("a", servers.urls(), "later");
    assert_eq!(later.acquire_leader().await, Ok(Acquisition::Mine));
    assert_eq!(later.api(), Some(Api::V3));

    // And with it again: a cluster that has begun without it stays, unless somebody leads it there.
    servers.kill_all();
    servers.extra = vec![Vec::new()];
    servers.start_all();
    until("etcd answers", async || {
        chosen(&servers, "later").await == Some(Api::V3)
    })
    .await;
    assert_eq!(chosen(&servers, "new").await, Some(Api::V2));
    old("later").acquire_leader().await.unwrap();
    let said = refusal(&servers, "later").await;
    assert!(said.contains("two would lead"), "{said}");
    nothing_is_left_of(&servers, "new").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_certain_is_not_chosen() {
    let mut servers = Servers::start(1);
    servers.kill_all();
    servers.extra = vec![vec!["--enable-v2=false".to_owned()]];
    let silent = Silent::open();
    let urls = vec![servers.urls()[0].clone(), silent.url()];
    let dcs = either("a", urls.clone(), "demo");
    dcs.set_ttl(crate::TTL * 2);
    let said = text(dcs.load().await);
    assert!(said.contains("refused") && dcs.api().is_none(), "{said}");

    // One has no such API, and of the other nothing is known: a cluster of which nothing is known either may be there.
    servers.start_all();
    let today = Etcd::connect(of(servers.urls(), "demo"), Some(name("t")), Wake::new());
    until("etcd answers", async || today.load().await.is_ok()).await;
    let said = text(dcs.load().await);
    assert!(
        said.contains(&silent.url()) && said.contains("etcd3"),
        "{said}"
    );
    assert_eq!(today.traces().await.unwrap().agreed, None);
    initialize(&today).await;
    dcs.load().await.unwrap();
    assert_eq!(dcs.api(), Some(Api::V3));
    let key = Key::Member(name("a"));
    dcs.put(&key, "{}", Condition::ALWAYS).await.unwrap();
    assert_eq!(dcs.lease_ttl(), Some(crate::TTL * 2));
}
