//! The contract of the port, on one etcd server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgherd_ports::contract::{Ground, Rule};
use pgherd_ports::{Dcs, dcs_contract};

use crate::server::Servers;
use crate::{member, options, ready};

struct OneServer(Servers);

#[async_trait]
impl Ground for OneServer {
    async fn member(&self, name: &str) -> Arc<dyn Dcs> {
        let mut options = options(self.0.urls());
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

fn run(rule: Rule) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let ground = OneServer(Servers::start(1));
        ready(&member("first", options(ground.0.urls()))).await;
        rule(&ground).await;
    });
}

dcs_contract!(run);
