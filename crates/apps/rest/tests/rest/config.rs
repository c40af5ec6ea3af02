//! `PATCH` and `PUT /config`.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stand::{Stand, parsed};

#[tokio::test]
async fn a_patch_is_merged_and_answered_with_the_whole() {
    let stand = Stand::leading().await;
    let (code, body) = stand
        .send(
            "PATCH",
            "/config",
            r#"{"ttl": 20, "pause": true, "loop_wait": null}"#,
        )
        .await;
    assert_eq!(
        (code, body.as_str()),
        (200, r#"{"ttl": 20, "retry_timeout": 10, "pause": true}"#)
    );
    let stored = stand.store.view().config.unwrap().value;
    assert_eq!(stored, parsed(&body));
    assert_eq!(stand.store.writes().len(), 1);

    // what changes nothing is not written
    assert_eq!(
        stand.send("PATCH", "/config", r#"{"ttl": 20}"#).await.0,
        200
    );
    assert_eq!(stand.store.writes().len(), 1);
}

#[tokio::test]
async fn a_patch_that_no_member_could_work_with_is_refused_with_its_faults() {
    let stand = Stand::leading().await;
    let (code, text) = stand
        .send("PATCH", "/config", r#"{"ttl": [1], "loop_wait": {}}"#)
        .await;
    assert_eq!(code, 400);
    assert!(text.contains("ttl") && text.contains("loop_wait"), "{text}");
    let (code, text) = stand.send("PUT", "/config", r#"{"postgresql": "x"}"#).await;
    assert_eq!(code, 400);
    assert!(text.contains("postgresql"), "{text}");
    assert_eq!(stand.store.writes(), []);
}

#[tokio::test]
async fn bodies_that_are_no_objects_are_refused() {
    let stand = Stand::leading().await;
    for body in ["x", "[]", "{}"] {
        assert_eq!(stand.send("PATCH", "/config", body).await.0, 400, "{body}");
    }
    let url = format!("{}/config", stand.url);
    let bare = stand.http.patch(&url).send().await.unwrap();
    assert_eq!(bare.status(), 411);
    let long = format!(r#"{{"x": "{}"}}"#, "y".repeat(2 << 20));
    assert_eq!(
        stand
            .http
            .patch(&url)
            .body(long)
            .send()
            .await
            .unwrap()
            .status(),
        413
    );
    // chunks that are none
    let address = stand.url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"PATCH /config HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        .await
        .unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 400");
}

#[tokio::test]
async fn losing_a_race_or_the_store_is_told_apart() {
    let stand = Stand::leading().await;
    stand.store.set_overtaken(true);
    assert_eq!(
        stand.send("PATCH", "/config", r#"{"ttl": 20}"#).await.0,
        409
    );
    stand.store.set_overtaken(false);
    stand.store.set_mute(true);
    assert_eq!(
        stand.send("PATCH", "/config", r#"{"ttl": 20}"#).await.0,
        503
    );
    assert_eq!(stand.send("PUT", "/config", r#"{"ttl": 20}"#).await.0, 502);
    stand.store.set_mute(false);
    stand.store.change(|view| view.config = None);
    assert_eq!(
        stand.send("PATCH", "/config", r#"{"ttl": 20}"#).await.0,
        503
    );
}

#[tokio::test]
async fn put_replaces() {
    let stand = Stand::leading().await;
    let found = stand.send("PUT", "/config", r#"{"ttl": 25}"#).await;
    assert_eq!(found, (200, r#"{"ttl": 25}"#.to_owned()));
    assert_eq!(
        stand.store.view().config.unwrap().value,
        parsed(r#"{"ttl": 25}"#)
    );
}
