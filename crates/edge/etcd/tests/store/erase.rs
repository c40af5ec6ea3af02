//! Erasing a cluster: all of its keys go, whoever wrote them, and nobody else's.

use pgherd_etcd::EtcdOptions;
use pgherd_ports::{Condition, Dcs as _, Key, OperatorDcs as _, Wake};

use crate::server::Servers;
use crate::{Etcd, member, name, options, ready};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_of_a_cluster_go_and_no_others() {
    let servers = Servers::start(1);
    let of = |scope: &str| {
        let options = EtcdOptions {
            scope: scope.into(),
            ..options(servers.urls())
        };
        Etcd::connect(options, None, Wake::new())
    };
    let a = member("a", options(servers.urls()));
    ready(&a).await;
    let running = r#"{"state":"running"}"#;
    a.put(&Key::Member(name("a")), running, Condition::ALWAYS)
        .await
        .unwrap();
    a.acquire_leader().await.unwrap();
    // a neighbour whose name begins alike, and a group of a Citus cluster, which is below
    for scope in ["demo2", "demo/0"] {
        let put = of(scope).put(&Key::Config, "{}", Condition::ALWAYS).await;
        put.unwrap();
    }
    let operator = of("demo");
    assert_eq!(operator.groups().await.unwrap(), [0]);
    operator.erase().await.unwrap();
    let view = operator.load().await.unwrap();
    assert!(view.leader.is_none() && view.members.is_empty(), "{view:?}");
    assert!(of("demo/0").load().await.unwrap().config.is_none());
    assert!(of("demo2").load().await.unwrap().config.is_some());
    assert!(operator.groups().await.unwrap().is_empty());
    // once more is no failure
    operator.erase().await.unwrap();
}
