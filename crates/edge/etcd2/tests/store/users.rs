//! User and password of the old API's own authentication, which knows other users than today's.

use pgherd_etcd::EtcdOptions;
use pgherd_ports::{Acquisition, Condition, Dcs as _, DcsError, Key};
use pgherd_settings::{Secret, Store};

use crate::server::Servers;
use crate::{TTL, http, member, options, ready};

async fn said(servers: &Servers, path: &str, body: &str) {
    let url = format!("{}/v2/auth/{path}", servers.urls()[0]);
    let request = http()
        .put(url)
        .header("Content-Type", "application/json")
        .basic_auth("root", Some("right"));
    let answer = request.body(body.to_owned()).send().await;
    let answer = answer.expect("etcd answers");
    assert!(answer.status().is_success(), "{path}: {answer:?}");
}

fn as_user(servers: &Servers, user: &str, password: &str) -> EtcdOptions {
    let mut options = options(servers.urls());
    // etcd hashes the password with each request, which takes long on a busy machine.
    options.ttl = TTL * 10;
    options.etcd.username = Some(user.to_owned());
    options.etcd.password = Some(Secret::new(password));
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_let_in_and_a_new_password_counts_from_a_reload_on() {
    let servers = Servers::start(1);
    ready(&member("first", options(servers.urls()))).await;
    for user in ["root", "pg", "guest"] {
        let body = format!(r#"{{"user":"{user}","password":"right"}}"#);
        said(&servers, &format!("users/{user}"), &body).await;
    }
    let role =
        r#"{"role":"herd","permissions":{"kv":{"read":["/service/*"],"write":["/service/*"]}}}"#;
    said(&servers, "roles/herd", role).await;
    said(&servers, "users/pg", r#"{"user":"pg","grant":["herd"]}"#).await;
    said(&servers, "enable", "").await;
    let nobody = r#"{"role":"guest","revoke":{"kv":{"read":["/*"],"write":["/*"]}}}"#;
    said(&servers, "roles/guest", nobody).await;

    let dcs = member("a", as_user(&servers, "pg", "right"));
    ready(&dcs).await;
    assert_eq!(dcs.acquire_leader().await, Ok(Acquisition::Mine));
    let written = dcs.put(&Key::Status, "{}", Condition::LEADING).await;
    assert!(written.is_ok(), "{written:?}");
    for options in [
        as_user(&servers, "pg", "wrong"),
        as_user(&servers, "nobody", "right"),
        as_user(&servers, "guest", "right"),
        options(servers.urls()),
    ] {
        let denied = member("b", options).load().await.unwrap_err();
        assert!(matches!(denied, DcsError::Denied(_)), "{denied}");
        assert!(denied.to_string().contains(&servers.urls()[0]), "{denied}");
    }

    said(&servers, "users/pg", r#"{"user":"pg","password":"other"}"#).await;
    let denied = dcs.renew().await.unwrap_err();
    assert!(matches!(denied, DcsError::Denied(_)), "{denied}");
    let other = as_user(&servers, "pg", "other").etcd;
    dcs.configure(&Store::Etcd(other));
    assert!(dcs.renew().await.unwrap().alive);
}
