//! The member list that etcd keeps of itself: endpoints beside the configured ones (contract §2.4).

use std::sync::Arc;

use pgherd_etcd::shared::{Fault, usable};
use serde::Deserialize;
use tokio::time::sleep;

use crate::http::Client;
use crate::store::Store;

#[derive(Debug, Deserialize)]
struct List {
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Member {
    #[serde(rename = "clientURLs")]
    client_urls: Vec<String>,
}

/// Fetches the list now and every ten ttl.
pub(crate) async fn refresh(store: Arc<Store>) {
    loop {
        let ttl = store.leases.ttl();
        let asked = |client, _| async move { list(&client).await };
        match store.pool.ask(store.operation(), asked).await {
            Ok(members) => {
                let urls = members.iter().flat_map(|member| &member.client_urls);
                let urls = urls.map(|url| url.trim_end_matches('/').to_owned());
                store
                    .pool
                    .learn(&usable(&store.pool.configured(), urls.collect()));
                // A member that has just begun tells its address a moment later.
                let complete = members.iter().all(|member| !member.client_urls.is_empty());
                sleep(if complete { ttl * 10 } else { ttl / 4 }).await;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot read etcd's member list");
                sleep(ttl / 4).await;
            }
        }
    }
}

async fn list(client: &Client) -> Result<Vec<Member>, Fault> {
    let (status, body) = client.get("v2/members").await?;
    if status != 200 {
        return Err(Fault::answered(format!("it answered with status {status}")));
    }
    let list: List = serde_json::from_slice(&body).map_err(|error| {
        Fault::answered(format!("its list of members can not be read: {error}"))
    })?;
    Ok(list.members)
}
