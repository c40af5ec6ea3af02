//! The contract of the port, on one ZooKeeper server: it takes two seconds to start, so all rules share it, each with a
//! cluster of its own, and mostly wait beside each other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_domain::ClusterView;
use pgherd_ports::contract::{Ground, rules};
use pgherd_ports::{Acquisition, Condition, Dcs, Key, Leading, OperatorDcs as _, Wake, Written};
use pgherd_settings::HostPort;
use pgherd_zookeeper::ZooKeeper;
use tokio::task::JoinSet;

use crate::server::{Servers, is_there};
use crate::{member, options, ready};

#[derive(Clone)]
struct OneCluster {
    hosts: Vec<HostPort>,
    scope: &'static str,
}

#[async_trait]
impl Ground for OneCluster {
    async fn member(&self, name: &str) -> Arc<dyn Dcs> {
        let mut options = options(self.hosts.clone(), self.scope);
        options.ttl = self.ttl();
        Arc::new(member(name, options))
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(4)
    }

    async fn advance(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_the_port_is_kept() {
    if !is_there() {
        return;
    }
    let servers = Servers::start(1);
    ready(servers.hosts()).await;
    let mut running = JoinSet::new();
    for (scope, rule) in rules() {
        let hosts = servers.hosts();
        running.spawn(async move {
            let ground = OneCluster { hosts, scope };
            rule(&ground).await;
            scope
        });
    }
    let mut broken = Vec::new();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(kept) => println!("kept: {kept}"),
            Err(error) => broken.push(error.to_string()),
        }
    }
    assert_eq!(broken, [""; 0], "rules that were broken, see above");
    a_cluster_is_erased_whole_and_may_begin_again(servers.hosts()).await;
}

/// Also by an operator who has no lease, and while somebody leads, who leads no more then.
async fn a_cluster_is_erased_whole_and_may_begin_again(hosts: Vec<HostPort>) {
    let options = |scope: &str| options(hosts.clone(), scope);
    let a = member("a", options("erased"));
    a.acquire_leader().await.expect("the store answers");
    let leading = Condition::LEADING;
    a.put(&Key::Status, "{}", leading)
        .await
        .expect("the store answers");
    let worker = member("b", options("erased/3"));
    let always = Condition::ALWAYS;
    worker
        .put(&Key::Config, "{}", always)
        .await
        .expect("the store answers");
    let operator = ZooKeeper::connect(options("erased"), None, Wake::new());
    assert_eq!(operator.groups().await, Ok(vec![3]));
    operator.erase().await.expect("the store answers");
    assert_eq!(operator.load().await, Ok(ClusterView::default()));
    operator.erase().await.expect("the store answers");
    assert_eq!(
        a.put(&Key::Status, "{}", leading).await,
        Ok(Written::Refused)
    );
    assert_eq!(
        a.renew().await.expect("the store answers").leading,
        Leading::Nobody
    );
    assert_eq!(a.acquire_leader().await, Ok(Acquisition::Mine));
    let again = a.put(&Key::Status, "{}", leading).await;
    assert!(matches!(again, Ok(Written::Done(_))), "{again:?}");
}
