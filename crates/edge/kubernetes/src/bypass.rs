//! `bypass_api_service`: the API servers behind their service, asked directly (contract §4.9).

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use serde_json::Value;

use crate::http::{Http, Line};
use crate::pace::connecting;
use crate::place::Place;

impl Http {
    /// Whether servers are to be asked directly.
    pub(crate) fn bypasses(&self, place: &Place) -> bool {
        let refused = self.no_bypass.load(Ordering::Relaxed);
        self.settings.bypass_api_service && place.in_pod && !refused
    }

    /// The API servers behind their service; `None`: it is asked as before.
    pub(crate) async fn servers(&self, line: &Line) -> Option<(u16, Vec<SocketAddr>)> {
        let url = format!(
            "{}/api/v1/namespaces/default/endpoints/kubernetes",
            line.url
        );
        let mut sent = line.client.get(url).timeout(connecting(self.ttl));
        if let Some(token) = &line.token {
            sent = sent.bearer_auth(token);
        }
        let answer = sent.send().await.ok()?;
        if answer.status().as_u16() == 403 {
            tracing::warn!(
                "`kubernetes.bypass_api_service` has no effect: this account may not read the endpoints `kubernetes` in the \
                 namespace `default`"
            );
            self.no_bypass.store(true, Ordering::Relaxed);
            return None;
        }
        let found: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        addresses(&found)
    }
}

fn addresses(endpoints: &Value) -> Option<(u16, Vec<SocketAddr>)> {
    let subset = endpoints.get("subsets")?.as_array()?.first()?;
    let ports = subset.get("ports")?.as_array()?;
    let port = ports.first()?.get("port")?.as_u64()?;
    let port = u16::try_from(port).ok()?;
    let listed = subset.get("addresses")?.as_array()?.iter();
    let ips = listed.filter_map(|one| one.get("ip")?.as_str()?.parse::<IpAddr>().ok());
    let found: Vec<SocketAddr> = ips.map(|ip| SocketAddr::new(ip, port)).collect();
    (!found.is_empty()).then_some((port, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_endpoints_of_the_service_are_its_servers() {
        let endpoints = json!({"subsets": [{
            "addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::2"}],
            "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
        }]});
        let (port, found) = addresses(&endpoints).unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            (port, found.as_slice()),
            (
                6443,
                &["10.0.0.1:6443".to_owned(), "[fd00::2]:6443".to_owned()][..]
            )
        );
        assert_eq!(addresses(&json!({"subsets": []})), None);
    }
}
