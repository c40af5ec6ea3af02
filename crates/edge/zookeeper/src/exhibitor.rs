//! Exhibitor: the host list of an ensemble, polled over HTTP (contract §2.4, §4.6).

use std::sync::Arc;
use std::time::Duration;

use pgherd_settings::{Exhibitor, HostPort};
use serde_json::Value;
use tokio::time::sleep;

use crate::store::Store;

const PATH: &str = "exhibitor/v1/cluster/list";
/// How long one of them may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The pause after a round in which none answered.
const AGAIN: Duration = Duration::from_secs(2);

/// Asks now and every `poll_interval`. The hosts that an answer names are asked first the next time, for they are
/// those that run now; the configured ones when none of them answers.
pub(crate) async fn poll(store: Arc<Store>, exhibitor: Exhibitor) {
    let client = match client() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "cannot ask Exhibitor");
            return;
        }
    };
    let mut hosts: Vec<String> = Vec::new();
    loop {
        let asked = hosts.iter().chain(&exhibitor.hosts);
        let mut told = None;
        for host in asked {
            match ask(&client, host, exhibitor.port).await {
                Ok(answer) => {
                    told = Some(answer);
                    break;
                }
                Err(why) => tracing::debug!(host, why, "Exhibitor gives no list"),
            }
        }
        let pause = match told {
            Some(servers) => {
                hosts = servers.iter().map(|server| server.host.clone()).collect();
                store.ensemble.learn(&servers);
                exhibitor.poll_interval
            }
            None => {
                tracing::warn!(
                    "no Exhibitor told the servers of ZooKeeper; go on with those known"
                );
                AGAIN.min(exhibitor.poll_interval)
            }
        };
        sleep(pause).await;
    }
}

/// Plain HTTP; the library still wants to know how TLS would be made.
fn client() -> Result<reqwest::Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(PATIENCE)
        .build()
        .map_err(|error| error.to_string())
}

async fn ask(client: &reqwest::Client, host: &str, port: u16) -> Result<Vec<HostPort>, String> {
    let at = HostPort {
        host: host.to_owned(),
        port,
    };
    let answer = client
        .get(format!("http://{at}/{PATH}"))
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| error.to_string())?;
    let text = answer.text().await.map_err(|error| error.to_string())?;
    servers(&text).ok_or_else(|| "its answer names no `servers` and `port`".to_owned())
}

/// The servers that an answer names, in order; `None` when it is no such answer.
fn servers(text: &str) -> Option<Vec<HostPort>> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let port = u16::try_from(answer.get("port")?.as_u64()?).ok()?;
    let mut servers: Vec<String> = answer
        .get("servers")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
        .collect();
    servers.sort_unstable();
    let servers: Vec<HostPort> = servers
        .into_iter()
        .map(|host| HostPort { host, port })
        .collect();
    (!servers.is_empty()).then_some(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_servers_and_their_port() {
        let told = servers(r#"{"servers":["b","a"],"port":2181}"#).unwrap();
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["a:2181", "b:2181"]);
        for text in [
            "",
            "[]",
            r#"{"servers":[],"port":2181}"#,
            r#"{"servers":["a"]}"#,
            r#"{"servers":["a"],"port":70000}"#,
        ] {
            assert_eq!(servers(text), None, "{text}");
        }
    }
}
