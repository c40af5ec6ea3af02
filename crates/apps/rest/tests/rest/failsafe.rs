//! `POST /failsafe`: who is promised what, and who is not (contract §12).

use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::{ClusterSpec, Moment, PgRole};
use pgherd_ports::{Clock as _, Shown};

use crate::stand::{Stand, answer, name};

const PLEA: &str = r#"{"name": "b", "conn_url": "postgres://10.0.0.2:5432/postgres",
    "api_url": "http://10.0.0.2:8008/patroni", "slots": null}"#;

/// A replica of `b` that last heard of the store when `b` led, failsafe mode on.
async fn replica() -> (Stand, Shown) {
    let stand = Stand::start().await;
    follow_b(stand).await
}

async fn follow_b(stand: Stand) -> (Stand, Shown) {
    stand.store.change(|view| {
        let leader = view.leader.as_mut().unwrap();
        (leader.name, leader.on_my_lease) = (name("b"), false);
    });
    let sample = stand.sample();
    let mut live = sample.live.clone().unwrap();
    live.in_recovery = true;
    let shown = Shown {
        spec: Arc::new(ClusterSpec {
            failsafe_mode: true,
            ..ClusterSpec::clone(&sample.spec)
        }),
        role: PgRole::Replica,
        live: Some(live),
        dcs_answers: false,
        ..sample
    };
    stand.show(&shown);
    let ttl = shown.spec.ttl;
    let now = stand.clock.now();
    stand
        .promises
        .open(&name("a"), now.plus(ttl))
        .await
        .unwrap();
    (stand, shown)
}

fn left(stand: &Stand) -> Option<Duration> {
    let now: Moment = stand.clock.now();
    Some(stand.promises.binding(now)?.until.since(now))
}

#[tokio::test]
async fn a_plea_of_patroni_is_accepted_for_ttl() {
    let (stand, _) = replica().await;
    let url = format!("{}/failsafe", stand.url);
    let response = stand.http.post(url).body(PLEA).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().get("lsn").is_some());
    assert!(response.headers().get("pgherd-promise").is_none());
    assert_eq!(response.text().await.unwrap(), "Accepted");
    let left = left(&stand).unwrap();
    assert!(left > Duration::from_secs(25) && left <= Duration::from_secs(30));
    assert!(stand.promises.stand(stand.clock.now()).is_err());
}

#[tokio::test]
async fn a_leader_of_ours_is_promised_what_it_asks_for_and_gives_it_back() {
    let (stand, _) = replica().await;
    let url = format!("{}/failsafe", stand.url);
    let ask = |span: &str| {
        let request = stand.http.post(&url).body(PLEA);
        request.header("pgherd-promise", span)
    };
    let response = ask("51000").send().await.unwrap();
    assert_eq!(response.headers()["pgherd-promise"], "51000");
    assert!(left(&stand).unwrap() > Duration::from_secs(45));
    assert_eq!(answer(ask("0")).await.0, 200);
    assert_eq!(left(&stand), None);
}

#[tokio::test]
async fn who_leads_or_knows_another_leader_promises_nothing() {
    let (stand, shown) = replica().await;
    stand.show(&Shown {
        role: PgRole::Primary,
        ..shown.clone()
    });
    let leads = (500, "Running as a leader".to_owned());
    assert_eq!(stand.send("POST", "/failsafe", PLEA).await, leads);
    stand
        .store
        .change(|view| view.leader.as_mut().unwrap().name = name("c"));
    let cluster = stand.sample().cluster;
    stand.show(&Shown {
        dcs_answers: true,
        cluster,
        ..shown
    });
    let other = (500, "c holds the leader key".to_owned());
    assert_eq!(stand.send("POST", "/failsafe", PLEA).await, other);
    assert_eq!(left(&stand), None);
}

#[tokio::test]
async fn who_stands_for_election_promises_nothing() {
    let (stand, _) = replica().await;
    stand.promises.stand(stand.clock.now()).unwrap();
    let leads = (500, "Running as a leader".to_owned());
    assert_eq!(stand.send("POST", "/failsafe", PLEA).await, leads);
}

#[tokio::test]
async fn without_the_mode_or_a_name_there_is_no_promise() {
    let (stand, shown) = replica().await;
    for (body, code) in [("{}", 400), ("[]", 400), (r#"{"api_url": "x"}"#, 400)] {
        assert_eq!(
            stand.send("POST", "/failsafe", body).await.0,
            code,
            "{body}"
        );
    }
    stand.show(&Shown {
        spec: stand.sample().spec,
        ..shown
    });
    assert_eq!(stand.send("POST", "/failsafe", PLEA).await.0, 502);
    assert_eq!(left(&stand), None);
}

#[tokio::test]
async fn only_an_explicit_allowlist_shuts_a_leader_out() {
    for (allowlist, code) in [(&[][..], 200), (&["10.9.9.9"], 403)] {
        let stand = Stand::start_with(|restapi| {
            restapi.allowlist = allowlist.iter().map(|&entry| entry.to_owned()).collect();
            restapi.allowlist_include_members = true;
        });
        let (stand, _) = follow_b(stand.await).await;
        assert_eq!(
            stand.send("POST", "/failsafe", PLEA).await.0,
            code,
            "{allowlist:?}"
        );
    }
}

#[tokio::test]
async fn the_list_is_told_while_the_store_is_away() {
    let (stand, shown) = replica().await;
    stand
        .store
        .change(|view| view.failsafe = [("a".to_owned(), "x".to_owned())].into());
    let cluster = stand
        .sample()
        .cluster
        .map(|(view, at, wall)| (view, at.minus(Duration::from_secs(90)), wall));
    stand.show(&Shown { cluster, ..shown });
    assert_eq!(
        stand.get("/failsafe").await,
        (200, r#"{"a": "x"}"#.to_owned())
    );
}
