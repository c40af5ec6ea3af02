//! What others see in the objects: annotations, labels and addresses as Patroni writes them, and what Patroni wrote.

use pgherd_kubernetes::Kubernetes;
use pgherd_ports::{Condition, Dcs as _, HandOver, Key, Leading, OperatorDcs as _, Wake, Written};
use serde_json::{Value, json};

use crate::{NAMESPACE, Ours, RUNNING, join, member, name, pod, with_endpoints};

const PRIMARY: &str = r#"{"state":"running","role":"primary"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_objects_look_as_patroni_makes_them() {
    let ours = Ours::start().await;
    let (a, b) = (ours.member("a"), ours.member("b"));
    let absent = Condition::ABSENT;
    for (key, value) in [
        (Key::Initialize, "7575757575757575757"),
        (Key::Config, r#"{"ttl":30}"#),
        (Key::Failover, r#"{"leader":"a","member":"b"}"#),
    ] {
        a.put(&key, value, absent).await.unwrap();
    }
    join(&a, "a").await;
    join(&b, "b").await;
    assert_eq!(ours.label("a", "role").as_deref(), Some("replica"));
    a.acquire_leader().await.unwrap();
    let status = r#"{"optime":67108864,"slots":{"b":67108000},"retain_slots":["c"]}"#;
    a.put(&Key::Status, status, Condition::LEADING)
        .await
        .unwrap();
    let me = Key::Member(name("a"));
    a.put(&me, PRIMARY, Condition::ALWAYS).await.unwrap();
    let sync = r#"{"leader":"a","quorum":1,"sync_standby":"b"}"#;
    a.put(&Key::Sync, sync, Condition::LEADING).await.unwrap();

    for (object, name, text) in [
        ("demo-config", "initialize", "7575757575757575757"),
        ("demo-config", "config", r#"{"ttl":30}"#),
        ("demo-failover", "leader", "a"),
        ("demo-failover", "member", "b"),
        ("demo-leader", "leader", "a"),
        ("demo-leader", "ttl", "4"),
        ("demo-leader", "transitions", "0"),
        ("demo-leader", "optime", "67108864"),
        ("demo-leader", "slots", r#"{"b":67108000}"#),
        ("demo-leader", "retain_slots", r#"["c"]"#),
        ("demo-sync", "leader", "a"),
        ("demo-sync", "quorum", "1"),
        ("demo-sync", "sync_standby", "b"),
    ] {
        assert_eq!(
            ours.annotation(object, name).as_deref(),
            Some(text),
            "{object} {name}"
        );
    }
    let leader = ours
        .api
        .get("configmaps", NAMESPACE, "demo-leader")
        .unwrap();
    let labels = json!({"application": "patroni", "cluster-name": "demo"});
    assert_eq!(leader["metadata"]["labels"], labels);
    assert_eq!(ours.label("a", "role").as_deref(), Some("primary"));

    // Cleared, not deleted, and the labels say who leads after the next beat.
    a.put(&Key::Failover, "{}", Condition::ALWAYS)
        .await
        .unwrap();
    assert_eq!(ours.annotation("demo-failover", "member"), None);
    assert_eq!(a.hand_over(&name("b")).await, Ok(HandOver::Done));
    assert_eq!(
        ours.annotation("demo-leader", "transitions").as_deref(),
        Some("1")
    );
    a.put(&me, RUNNING, Condition::ALWAYS).await.unwrap();
    assert_eq!(b.renew().await.unwrap().leading, Leading::Me);
    b.renew().await.unwrap();
    assert_eq!(ours.label("a", "role").as_deref(), Some("replica"));
    assert_eq!(ours.label("b", "role").as_deref(), Some("primary"));
    b.leave().await.unwrap();
    assert_eq!(ours.label("b", "role"), None);
    assert_eq!(ours.annotation("demo-leader", "leader"), None);
}

/// What Patroni changes is seen, and is no reason to refuse what it did not change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_patroni_are_seen() {
    let ours = Ours::start().await;
    let a = ours.member("a");
    let mut revision = 0;
    for value in [r#"{"ttl":30}"#, r#"{"ttl":20}"#] {
        let written = a.put(&Key::Config, value, Condition::unchanged(Some(revision)));
        let Written::Done(now) = written.await.unwrap() else {
            unreachable!("nobody else writes");
        };
        revision = now;
    }
    let patroni = |object: &str, annotations: Value| {
        let patch = json!({"metadata": {"annotations": annotations}});
        ours.api
            .patch("configmaps", NAMESPACE, object, &patch)
            .unwrap();
    };
    patroni("demo-config", json!({"history": "[[1,5,\"x\"]]"}));
    a.put(&Key::Dr, "[{}]", Condition::ABSENT).await.unwrap();
    let view = a.load().await.unwrap();
    assert_eq!(view.config.unwrap().revision, revision);
    assert!(view.history.is_some());
    patroni("demo-config", json!({"config": "{\"ttl\":40}"}));
    let config = a.load().await.unwrap().config.unwrap();
    assert!(config.revision > revision, "{config:?}");
    patroni("demo-config", json!({"history": "[]"}));
    let stale = Condition::unchanged(Some(revision));
    assert_eq!(a.put(&Key::Config, "{}", stale).await, Ok(Written::Refused));
    let seen = Condition::unchanged(Some(config.revision));
    assert!(matches!(
        a.put(&Key::Config, "{}", seen).await,
        Ok(Written::Done(_))
    ));
    assert_eq!(a.load().await.unwrap().dr.unwrap().value, json!([{}]));

    // A member that Patroni runs has no lease, and is there; the key can be handed over to it, and taken from it.
    let said = json!({"metadata": {"annotations": {"status": RUNNING}}});
    ours.api.patch("pods", NAMESPACE, "c", &said).unwrap();
    a.acquire_leader().await.unwrap();
    let mine = a.load().await.unwrap().leader.unwrap().revision;
    assert_eq!(a.hand_over(&name("c")).await, Ok(HandOver::Done));
    let view = a.load().await.unwrap();
    assert!(view.members.contains_key(&name("c")));
    assert_eq!(view.leader_name(), Some(&name("c")));
    assert!(view.leader.unwrap().revision > mine);
    assert_eq!(ours.annotation("demo-leader", "pgherd_lease"), None);
    patroni("demo-leader", json!({"leader": null}));
    assert_eq!(a.renew().await.unwrap().leading, Leading::Nobody);
    a.acquire_leader().await.unwrap();
    assert_eq!(
        ours.annotation("demo-leader", "transitions").as_deref(),
        Some("2")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_have_the_leaders_address_and_an_operator_erases_them() {
    let ours = Ours::start().await;
    let a = member("a", with_endpoints(ours.options(), "10.0.0.1"));
    let b = member("b", with_endpoints(ours.options(), "10.0.0.2"));
    join(&b, "b").await;
    let status = json!({"status": {"podIP": "10.0.0.2"}});
    ours.api.patch("pods", NAMESPACE, "b", &status).unwrap();
    let ips = || {
        let leader = ours.api.get("endpoints", NAMESPACE, "demo").unwrap();
        let ips = leader["subsets"].as_array().unwrap().iter();
        let ips = ips.map(|subset| subset["addresses"][0]["ip"].as_str().unwrap().to_owned());
        ips.collect::<Vec<_>>()
    };
    a.acquire_leader().await.unwrap();
    assert_eq!(ips(), ["10.0.0.1"]);
    assert_eq!(a.hand_over(&name("b")).await, Ok(HandOver::Done));
    assert_eq!(ips(), ["10.0.0.2"]);
    b.renew().await.unwrap();
    assert_eq!(ips(), ["10.0.0.2"]);
    b.release_leader().await.unwrap();
    assert_eq!(ips(), [""; 0]);
    b.put(&Key::Config, "{}", Condition::ALWAYS).await.unwrap();
    let service = ours.api.get("services", NAMESPACE, "demo-config").unwrap();
    assert_eq!(service["spec"]["clusterIP"], "None");

    // A group of a Citus cluster has objects and pods of its own.
    ours.api
        .create("pods", NAMESPACE, {
            let mut pod = pod("w", "demo");
            pod["metadata"]["labels"]["citus-group"] = "1".into();
            pod
        })
        .unwrap();
    let operator = |scope: &str| {
        let mut options = with_endpoints(ours.options(), "");
        options.scope = scope.to_owned();
        Kubernetes::connect(options, None, Wake::new())
    };
    let mut of_group = with_endpoints(ours.options(), "10.0.0.3");
    of_group.scope = "demo/1".to_owned();
    let w = member("w", of_group);
    join(&w, "w").await;
    w.acquire_leader().await.unwrap();
    assert!(ours.api.get("endpoints", NAMESPACE, "demo-1").is_some());
    let names = |view: pgherd_domain::ClusterView| view.members.into_keys().collect::<Vec<_>>();
    assert_eq!(names(operator("demo/1").load().await.unwrap()), [name("w")]);
    assert_eq!(names(operator("demo").load().await.unwrap()), [name("b")]);
    assert_eq!(operator("demo").groups().await.unwrap(), [1]);
    operator("demo").erase().await.unwrap();
    operator("demo")
        .erase()
        .await
        .expect("once more is no failure");
    assert!(operator("demo/1").load().await.unwrap().leader.is_none());
    assert!(operator("demo").groups().await.unwrap().is_empty());
}
