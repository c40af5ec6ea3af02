//! Looks around before an API is chosen: what each server offers, and what is there of the cluster.

use futures_util::future::join_all;
use pgherd_etcd::shared::{Fault, Pace};
use pgherd_etcd::{Api, Etcd, EtcdOptions};
use pgherd_ports::{DcsError, Key, Wake};
use serde::Deserialize;
use tokio::time::timeout;

use crate::choice::{Choice, Old, choose};
use crate::http::Client;
use crate::store::OldEtcd;

/// Clients of both APIs that are nobody's lease.
#[derive(Debug)]
pub(crate) struct Scouts {
    old: OldEtcd,
    pub(crate) today: Etcd,
}

/// What an endpoint says of the old API.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Offer {
    On,
    Off,
    /// It does not tell; the text says why.
    Silent(String),
}

/// Versions as a server tells them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Versions {
    #[serde(rename = "etcdserver")]
    server: String,
    #[serde(rename = "etcdcluster")]
    cluster: String,
}

impl Scouts {
    pub(crate) fn send(options: &EtcdOptions) -> Self {
        Self {
            old: OldEtcd::connect(options.clone(), None, Wake::new()),
            today: Etcd::connect(options.clone(), None, Wake::new()),
        }
    }

    /// What is to be chosen, by what is there.
    pub(crate) async fn look(&self, pace: Pace) -> Result<Choice, DcsError> {
        let old = self.old(pace).await?;
        match self.today.traces().await {
            Ok(today) => choose(&old, today).map_err(DcsError::Answered),
            // Whoever may not use today's API can not have been there, and has the same user as the other members.
            Err(DcsError::Denied(why)) if matches!(old, Old::On { .. }) => {
                tracing::info!(why, "etcd's API v3 is not for this user");
                Ok(Choice::alone(Api::V2))
            }
            Err(error) => {
                let versions = self.versions(pace).await;
                let only_old = versions.is_some_and(|versions| versions.server.starts_with("2."));
                match matches!(old, Old::On { .. }) && only_old {
                    true => Ok(Choice::alone(Api::V2)),
                    false => Err(of_today(error)),
                }
            }
        }
    }

    /// What there is of the old API. Each endpoint of the settings is asked on its own: where none of them has it Patroni, with
    /// the same settings, does not find others.
    async fn old(&self, pace: Pace) -> Result<Old, DcsError> {
        let store = self.old.store();
        store.pool.wait_for_endpoints(pace.deadline).await;
        let patience = pace.total() / 3;
        let configured = store.pool.configured();
        let mut endpoints = store.pool.order();
        endpoints.retain(|endpoint| configured.iter().any(|url| url == endpoint.url()));
        let key = store.prefix.key(&Key::Initialize);
        let key = &key;
        let asked = endpoints.into_iter().map(|endpoint| async move {
            let asking = endpoint.run(|client| async move { client.offers(key).await });
            let offer = match timeout(patience, asking).await {
                Ok(Ok(true)) => Offer::On,
                Ok(Ok(false)) => Offer::Off,
                Ok(Err(fault)) => Offer::Silent(why(fault)),
                Err(_) => Offer::Silent(format!("no answer within {patience:?}")),
            };
            (endpoint.url().to_owned(), offer)
        });
        let offers = join_all(asked).await;
        let on = offers.iter().any(|(_, offer)| *offer == Offer::On);
        let off = offers.iter().any(|(_, offer)| *offer == Offer::Off);
        let silent = offers.into_iter().filter_map(|(url, offer)| match offer {
            Offer::Silent(why) => Some(format!("{url}: {why}")),
            Offer::On | Offer::Off => None,
        });
        let silent: Vec<String> = silent.collect();
        if on {
            let view = store.read_all().await?;
            return Ok(Old::On {
                initialized: view.initialize.is_some(),
                led: view.leader.is_some(),
            });
        }
        if !off {
            let why = match silent.is_empty() {
                true => "no endpoint is known yet".to_owned(),
                false => silent.join("; "),
            };
            return Err(DcsError::Unreachable(why));
        }
        if silent.is_empty() || self.no_server_has_it(pace).await {
            return Ok(Old::Off);
        }
        Ok(Old::Unknown(silent.join("; ")))
    }

    /// Whether the servers have a version, all of them, that has nothing of the old API.
    async fn no_server_has_it(&self, pace: Pace) -> bool {
        let versions = self.versions(pace).await;
        versions.is_some_and(|versions| is_without(&versions.cluster))
    }

    async fn versions(&self, pace: Pace) -> Option<Versions> {
        let asked = |client: Client, _| async move { client.get("version").await };
        let (_, body) = self.old.store().pool.ask(pace, asked).await.ok()?;
        serde_json::from_slice(&body).ok()
    }
}

/// Whether a cluster of this version, which is that of its oldest server, is without the old API.
fn is_without(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let part = parts.next().flatten().zip(parts.next().flatten());
    part.is_some_and(|version| version >= (3, 6))
}

fn of_today(error: DcsError) -> DcsError {
    let said = |why| format!("API v3, by which members agree on the API of their cluster: {why}");
    match error {
        DcsError::TimedOut(span, why) => DcsError::TimedOut(span, said(why)),
        DcsError::Unreachable(why) => DcsError::Unreachable(said(why)),
        DcsError::Denied(why) => DcsError::Denied(said(why)),
        DcsError::Answered(why) => DcsError::Answered(said(why)),
    }
}

fn why(fault: Fault) -> String {
    match fault.settle("") {
        Ok(why) => why,
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_api_ended_with_a_version() {
        for version in ["3.6.0", "3.10.1", "4.0.0"] {
            assert!(is_without(version), "{version}");
        }
        for version in ["3.5.9", "3.4.0", "2.3.8", "not_decided", ""] {
            assert!(!is_without(version), "{version}");
        }
    }
}
