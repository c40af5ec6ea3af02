//! Health checks and documents.

use std::time::Duration;

use pgherd_domain::documents::HistoryDoc;
use pgherd_domain::{LeaseSeen, PgRole, Standing};
use pgherd_peers::HttpPeers;
use pgherd_ports::Peers as _;

use crate::stand::{LIMIT, Stand, parsed};

#[tokio::test]
async fn before_the_first_turn_everything_is_unavailable() {
    let stand = Stand::start().await;
    for path in [
        "/",
        "/primary",
        "/replica",
        "/health",
        "/patroni",
        "/liveness",
        "/readiness",
        "/metrics",
    ] {
        assert_eq!(stand.get(path).await.0, 503, "{path}");
    }
}

#[tokio::test]
async fn the_primary_check_follows_the_lease_between_turns() {
    let stand = Stand::leading().await;
    let (code, body) = stand.get("/primary").await;
    assert_eq!(code, 200);
    assert!(
        body.contains(r#""role": "primary", "server_version": 150018, "xlog": {"location": 1000}"#),
        "{body}"
    );
    assert_eq!(stand.get("/replica").await.0, 503);

    stand.lease.send_replace(LeaseSeen {
        standing: Standing::Lost,
        ..LeaseSeen::NONE
    });
    assert_eq!(stand.get("/primary").await.0, 503);

    // a lease that simply runs out, with nobody saying anything
    stand.hold_lease(Duration::from_secs(600));
    assert_eq!(stand.get("/primary").await.0, 200);
    stand.clock.pass(Duration::from_secs(600));
    assert_eq!(stand.get("/primary").await.0, 503);
    assert_eq!(stand.get("/health").await.0, 200);
}

#[tokio::test]
async fn a_new_turn_is_seen_by_the_next_request() {
    let stand = Stand::leading().await;
    assert!(
        stand
            .get("/primary")
            .await
            .1
            .contains(r#""role": "primary""#)
    );
    let mut shown = stand.sample();
    shown.role = PgRole::Replica;
    shown.live.as_mut().unwrap().in_recovery = true;
    stand.show(&shown);
    let (code, body) = stand.get("/replica").await;
    assert_eq!(code, 200);
    assert!(body.contains(r#""role": "replica""#), "{body}");
}

#[tokio::test]
async fn head_and_options_are_status_only() {
    let stand = Stand::leading().await;
    for (path, code) in [
        ("/primary", 200),
        ("/replica", 503),
        ("/liveness", 200),
        ("/readiness", 200),
        ("/patroni", 200),
        ("/config", 200),
        ("/nothing", 503),
    ] {
        for method in ["HEAD", "OPTIONS"] {
            let found = stand.send(method, path, "").await;
            assert_eq!(found, (code, String::new()), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_status_document_stays_available_and_typed() {
    let stand = Stand::leading().await;
    stand.lease.send_replace(LeaseSeen::NONE);
    let response = stand
        .http
        .get(format!("{}/patroni/x", stand.url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(
        parsed(&response.text().await.unwrap())["patroni"]["scope"],
        "demo"
    );
    let (_, text) = stand.get("/metrics").await;
    assert!(
        text.contains("patroni_primary{scope=\"demo\",name=\"a\"} 1\n"),
        "{text}"
    );
}

#[tokio::test]
async fn the_cluster_is_read_afresh_and_remembered_for_a_mute_store() {
    let stand = Stand::leading().await;
    stand.store.change(|view| {
        view.members.remove(&crate::stand::name("b"));
    });
    let (code, body) = stand.get("/cluster").await;
    assert_eq!(code, 200);
    assert_eq!(parsed(&body)["members"].as_array().map(Vec::len), Some(1));

    stand.store.set_mute(true);
    let (code, body) = stand.get("/cluster").await;
    assert_eq!(code, 200);
    assert_eq!(
        parsed(&body)["members"].as_array().map(Vec::len),
        Some(2),
        "as last shown"
    );
    assert_eq!(parsed(&body)["scope"], "demo");
}

#[tokio::test]
async fn history_config_and_failsafe_come_from_the_last_view() {
    let stand = Stand::leading().await;
    assert_eq!(stand.get("/history").await, (200, "[]".to_owned()));
    let config = r#"{"ttl": 30, "loop_wait": 10, "retry_timeout": 10}"#;
    assert_eq!(stand.get("/config").await, (200, config.to_owned()));
    assert_eq!(stand.get("/failsafe").await.0, 502);

    stand.store.change(|view| {
        view.history = HistoryDoc::parse(r#"[[1, 100, "why", "2026-11-24T03:00:00+00:00", "b"]]"#);
        view.failsafe = [("a".to_owned(), "http://a".to_owned())].into();
        view.config = None;
    });
    stand.show(&stand.sample());
    let history = r#"[[1, 100, "why", "2026-11-24T03:00:00+00:00", "b"]]"#;
    assert_eq!(stand.get("/history").await, (200, history.to_owned()));
    assert_eq!(
        stand.get("/failsafe").await,
        (200, r#"{"a": "http://a"}"#.to_owned())
    );
    let (code, page) = stand.get("/config").await;
    assert_eq!(code, 502);
    assert!(page.contains("<p>Error code: 502</p>"), "{page}");
}

#[tokio::test]
async fn peers_read_what_this_member_says() {
    let stand = Stand::leading().await;
    let changing = &stand.settings.changing;
    let peers = HttpPeers::new(&changing.ctl, &changing.restapi).unwrap();
    let api_url = format!("{}/patroni", stand.url);
    let status = peers.status(&api_url, LIMIT).await.unwrap();
    assert!(status.is_primary);
    assert_eq!(status.position.as_u64(), 1_000);
    assert!(peers.is_alive(&api_url, LIMIT).await);

    let mut shown = stand.sample();
    shown.live = None;
    stand.show(&shown);
    let error = peers.status(&api_url, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("has no `xlog`"), "{error}");
    let nobody = "http://127.0.0.1:1/patroni";
    let error = peers.status(nobody, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("Connection refused"), "{error}");
    assert!(!peers.is_alive(nobody, LIMIT).await);
}

#[tokio::test]
async fn a_view_that_is_too_old_counts_as_none() {
    let stand = Stand::leading().await;
    assert_eq!(stand.get("/config").await.0, 200);
    stand.clock.pass(Duration::from_secs(31));
    assert_eq!(stand.get("/config").await.0, 502);
    assert_eq!(stand.get("/read-only-sync").await.0, 503);
    assert!(
        stand
            .get("/primary")
            .await
            .1
            .contains(r#""cluster_unlocked": true"#)
    );
}
