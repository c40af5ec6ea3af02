//! Tokens, and the service in Consul's catalog.

use pgherd_consul::Consul;
use pgherd_ports::{Condition, Dcs as _, DcsError, Key};
use pgherd_settings::{ConsulAccess, Secret, Store};
use serde_json::{Value, json};

use crate::server::Agent;
use crate::{member, name, options, ready, until};

fn doc(state: &str, role: &str) -> String {
    json!({
        "conn_url": "postgres://10.0.0.7:5433/postgres",
        "api_url": "http://10.0.0.7:8008/patroni",
        "state": state,
        "role": role,
    })
    .to_string()
}

async fn say(dcs: &Consul, state: &str, role: &str) {
    let (key, doc) = (Key::Member(name("a")), doc(state, role));
    dcs.put(&key, &doc, Condition::ALWAYS).await.unwrap();
}

/// The tags of the one service, `None` when there is none.
async fn tags(server: &Agent) -> Option<Value> {
    let services = server.ask("GET", "catalog/service/demo?token=first").await;
    Some(services.get(0)?.get("ServiceTags")?.clone())
}

async fn tagged(server: &Agent, expected: Option<Value>) {
    until(&format!("the service has tags {expected:?}"), async || {
        tags(server).await == expected
    })
    .await;
}

fn read_again(dcs: &Consul, access: ConsulAccess) {
    dcs.configure(&Store::Consul(pgherd_settings::Consul {
        access,
        ..Default::default()
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_needed_and_read_again_and_the_service_follows_the_role() {
    let acl = json!({"enabled": true, "default_policy": "deny", "tokens": {"master": "first"}});
    let Some(server) = Agent::server_with("http", &json!({"acl": acl})) else {
        return;
    };
    let dcs = member("a", options(server.url()));
    until("the token is asked for", async || {
        let put = dcs.put(&Key::Config, "{}", Condition::ALWAYS).await;
        matches!(put, Err(DcsError::Denied(_)))
    })
    .await;
    let with_token = ConsulAccess {
        token: Some(Secret::new("first")),
        ..ConsulAccess::default()
    };
    read_again(&dcs, with_token.clone());
    ready(&dcs).await;
    until("the token is known", async || {
        dcs.acquire_leader().await.is_ok()
    })
    .await;
    say(&dcs, "running", "replica").await;
    assert_eq!(tags(&server).await, None, "nobody asked for a service");

    let registered = ConsulAccess {
        register_service: true,
        ..with_token.clone()
    };
    read_again(&dcs, registered.clone());
    tagged(&server, Some(json!(["replica"]))).await;
    say(&dcs, "running", "primary").await;
    tagged(&server, Some(json!(["primary", "master"]))).await;
    let service = server.ask("GET", "catalog/service/demo?token=first").await;
    assert_eq!(service[0]["ServiceID"], "demo/a");
    assert_eq!(service[0]["ServiceAddress"], "10.0.0.7");
    assert_eq!(service[0]["ServicePort"], 5433);
    read_again(
        &dcs,
        ConsulAccess {
            service_tags: vec!["blue".to_owned()],
            ..registered.clone()
        },
    );
    tagged(&server, Some(json!(["blue", "primary", "master"]))).await;
    read_again(&dcs, with_token);
    tagged(&server, None).await;

    read_again(&dcs, registered);
    tagged(&server, Some(json!(["primary", "master"]))).await;
    say(&dcs, "stopped", "replica").await;
    tagged(&server, None).await;
    say(&dcs, "running", "replica").await;
    tagged(&server, Some(json!(["replica"]))).await;
    dcs.leave().await.unwrap();
    assert_eq!(tags(&server).await, None, "it is gone with the member");
}
