//! Who may order something, and what answers look like.

use pgherd_settings::{ClientLogin, Secret};

use crate::stand::{Stand, answer};

const CHANGE: &str = r#"{"ttl": 25}"#;

#[tokio::test]
async fn orders_need_the_credentials_and_questions_do_not() {
    let login = ClientLogin {
        username: "admin".into(),
        password: Secret::new("s3cret"),
    };
    let stand = Stand::start_with(|restapi| restapi.authentication = Some(login)).await;
    stand.show(&stand.sample());
    assert_eq!(stand.get("/config").await.0, 200);

    let url = format!("{}/config", stand.url);
    let patch = || stand.http.patch(&url).body(CHANGE);
    let response = patch().send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["www-authenticate"],
        "Basic realm=\"Patroni\""
    );
    assert_eq!(response.text().await.unwrap(), "no auth header received");
    for request in [
        patch().basic_auth("admin", Some("wrong")),
        patch().basic_auth("root", Some("s3cret")),
        patch().basic_auth("admin", None::<&str>),
        patch().bearer_auth("YWRtaW46czNjcmV0"),
        patch().header("authorization", "Basic"),
        patch().header("authorization", ""),
    ] {
        assert_eq!(answer(request).await, (401, "not authenticated".to_owned()));
    }
    assert_eq!(stand.store.writes(), []);
    assert_eq!(
        answer(patch().basic_auth("admin", Some("s3cret"))).await.0,
        200
    );
}

#[tokio::test]
async fn an_allowlist_shuts_everybody_else_out() {
    for (allowlist, members, code) in [
        (&["10.0.0.0/8"][..], false, 403),
        (&["127.0.0.0/8"], false, 200),
        (&["10.0.0.1", "localhost"], false, 200),
        (&["no-such-host.invalid"], false, 403),
        (&[], true, 403),
        (&[], false, 200),
    ] {
        let stand = Stand::start_with(|restapi| {
            restapi.allowlist = allowlist.iter().map(|&entry| entry.to_owned()).collect();
            restapi.allowlist_include_members = members;
        })
        .await;
        stand.show(&stand.sample());
        let (found, text) = stand.send("PATCH", "/config", CHANGE).await;
        assert_eq!(found, code, "{allowlist:?} {members}");
        assert_eq!(found == 403, text == "Access is denied", "{text}");
        assert_eq!(stand.get("/config").await.0, 200);
    }
}

#[tokio::test]
async fn members_may_be_allowed_by_where_they_are() {
    let stand = Stand::start_with(|restapi| restapi.allowlist_include_members = true).await;
    stand.store.change(|view| {
        let doc = view.members.get_mut(&crate::stand::name("b")).unwrap();
        doc.api_url = "http://127.0.0.1:8008/patroni".into();
    });
    stand.show(&stand.sample());
    assert_eq!(stand.send("PATCH", "/config", CHANGE).await.0, 200);
}

#[tokio::test]
async fn extra_headers_and_the_server_header_are_set() {
    let stand = Stand::start_with(|restapi| {
        restapi.server_tokens = "productonly".into();
        restapi.http_extra_headers = [("X-Frame-Options".to_owned(), "DENY".to_owned())].into();
        restapi.https_extra_headers = [("X-Only-Tls".to_owned(), "1".to_owned())].into();
    })
    .await;
    stand.show(&stand.sample());
    let response = stand
        .http
        .get(format!("{}/health", stand.url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["server"], "Patroni");
    assert_eq!(response.headers()["x-frame-options"], "DENY");
    assert!(!response.headers().contains_key("x-only-tls"));
}
