//! The member list that etcd keeps of itself: endpoints beside the configured ones (contract §2.4).

use std::sync::Arc;

use etcd_client::MemberListResponse;
use pgherd_ports::DcsError;
use tokio::time::sleep;

use crate::store::Store;

/// Fetches the list now and every ten ttl.
pub(crate) async fn refresh(store: Arc<Store>) {
    loop {
        let ttl = store.leases.ttl();
        match list(&store).await {
            Ok(list) => {
                let members: Vec<_> = list
                    .members()
                    .iter()
                    .filter(|member| !member.is_learner())
                    .collect();
                let urls: Vec<String> = members
                    .iter()
                    .flat_map(|member| member.client_urls().to_vec())
                    .collect();
                // A member that has just begun tells its address a moment later.
                let complete = members
                    .iter()
                    .all(|member| !member.client_urls().is_empty());
                let configured = store.pool.configured();
                store.pool.learn(&usable(&configured, urls));
                sleep(if complete { ttl * 10 } else { ttl / 4 }).await;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot read etcd's member list");
                sleep(ttl / 4).await;
            }
        }
    }
}

async fn list(store: &Store) -> Result<MemberListResponse, DcsError> {
    store
        .pool
        .ask(store.operation(), |mut client, _| async move {
            let list = client.member_list().await?;
            store.terms.admit(list.header())?;
            Ok(list)
        })
        .await
}

/// Advertised addresses that this host can use: of a kind with the configured ones.
#[must_use]
pub fn usable(configured: &[String], mut advertised: Vec<String>) -> Vec<String> {
    let remote = configured.iter().any(|url| !is_local(url));
    advertised.retain(|url| {
        let scheme_fits = configured.iter().any(|one| scheme(one) == scheme(url));
        scheme_fits && !(remote && is_local(url))
    });
    advertised
}

fn scheme(url: &str) -> Option<&str> {
    url.split_once("://").map(|(scheme, _)| scheme)
}

/// Whether an address leads back to the host that uses it, or nowhere.
fn is_local(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]", "0.0.0.0", "[::]"]
        .iter()
        .any(|local| authority.starts_with(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_lead_elsewhere_are_not_used() {
        let urls = |list: &[&str]| list.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        let remote = urls(&["https://10.0.0.1:2379"]);
        let advertised = urls(&[
            "https://10.0.0.2:2379",
            "http://10.0.0.3:2379",
            "https://localhost:2379",
            "https://0.0.0.0:2379",
        ]);
        assert_eq!(usable(&remote, advertised), ["https://10.0.0.2:2379"]);
        let local = urls(&["http://127.0.0.1:2379"]);
        let advertised = urls(&["http://127.0.0.1:22379"]);
        assert_eq!(usable(&local, advertised.clone()), advertised);
    }
}
