//! The peers port over HTTP.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_api::{citus, failsafe, peer};
use pgherd_domain::{Accepted, CitusEvent, MemberName, PeerStatus, Plea};
use pgherd_ports::{PeerError, Peers};
use pgherd_settings::{Ctl, Restapi, Settings};
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::client::{Method, Reply, RestClient, SendError, endpoint};
use crate::trust::SetupError;

/// Asks other members with one client that is kept.
#[derive(Debug)]
pub struct HttpPeers {
    client: RwLock<RestClient>,
}

impl HttpPeers {
    /// A client with the certificates of these settings.
    ///
    /// # Errors
    /// When certificates can not be used.
    pub fn new(ctl: &Ctl, restapi: &Restapi) -> Result<Self, SetupError> {
        let client = RwLock::new(RestClient::of_agent(ctl, restapi)?);
        Ok(Self { client })
    }

    fn client(&self) -> RestClient {
        self.client
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn get(&self, url: &str, patience: Duration) -> Result<Reply, SendError> {
        self.client().send(Method::GET, url, None, patience).await
    }
}

#[async_trait]
impl Peers for HttpPeers {
    async fn status(&self, api_url: &str, patience: Duration) -> Result<PeerStatus, PeerError> {
        let reply = self
            .get(api_url, patience)
            .await
            .map_err(|error| PeerError::Unreachable(error.to_string()))?;
        peer::parse(&reply.text)
            .map_err(|why| PeerError::NotUsable(format!("{api_url} answers {}: {why}", reply.code)))
    }

    async fn vote(
        &self,
        api_url: &str,
        candidate: &MemberName,
        patience: Duration,
    ) -> Result<PeerStatus, PeerError> {
        let url = endpoint(api_url, "vote");
        let body = json!({"name": candidate.as_str()});
        let reply = self
            .client()
            .send(Method::POST, &url, Some(&body), patience)
            .await
            .map_err(|error| PeerError::Unreachable(error.to_string()))?;
        match reply.code {
            // Patroni knows no such order.
            404 | 405 | 501 => self.status(api_url, patience).await,
            code @ (401 | 403) => {
                tracing::warn!(
                    "{url} answers {code}: its vote is counted as a member of Patroni's, though it may go on to confirm WAL of a \
                     former primary; give all members the same restapi.authentication, allowlist and certificates"
                );
                self.status(api_url, patience).await
            }
            200 => peer::parse(&reply.text)
                .map_err(|why| PeerError::NotUsable(format!("{url} answers: {why}"))),
            code => {
                let text = reply.text.trim();
                Err(PeerError::NotUsable(format!("{url} answers {code} {text}")))
            }
        }
    }

    async fn plead(
        &self,
        api_url: &str,
        plea: &Plea,
        patience: Duration,
    ) -> Result<Accepted, PeerError> {
        let url = endpoint(api_url, "failsafe");
        let mut headers = HeaderMap::new();
        if let Some(span) = plea.span
            && let Ok(value) = failsafe::header(span).parse()
        {
            headers.insert(failsafe::PROMISE_HEADER, value);
        }
        let body = failsafe::body(plea);
        let (reply, headers) = self
            .client()
            .send_with(Method::POST, &url, Some(&body), headers, patience)
            .await
            .map_err(|error| PeerError::Unreachable(error.to_string()))?;
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let (span, lsn) = (
            header(failsafe::PROMISE_HEADER),
            header(failsafe::LSN_HEADER),
        );
        failsafe::accepted(reply.code, &reply.text, span, lsn).ok_or_else(|| {
            // A page of HTML says no more than its code.
            let page = reply.text.starts_with('<');
            let text = if page { "" } else { reply.text.trim() };
            PeerError::NotUsable(format!("{url} answers {} {text}", reply.code))
        })
    }

    async fn is_alive(&self, api_url: &str, patience: Duration) -> bool {
        self.get(&endpoint(api_url, "liveness"), patience)
            .await
            .is_ok()
    }

    async fn tell_coordinator(
        &self,
        api_url: &str,
        event: &CitusEvent,
        patience: Duration,
    ) -> Result<(), PeerError> {
        let url = endpoint(api_url, "citus");
        let body = citus::body(event);
        let reply = self
            .client()
            .send(Method::POST, &url, Some(&body), patience)
            .await
            .map_err(|error| PeerError::Unreachable(error.to_string()))?;
        match reply.code {
            200 => Ok(()),
            code => {
                let text = reply.text.trim();
                Err(PeerError::NotUsable(format!("{url} answers {code} {text}")))
            }
        }
    }

    fn configure(&self, settings: &Settings) {
        let Settings { changing, .. } = settings;
        match RestClient::of_agent(&changing.ctl, &changing.restapi) {
            Ok(client) => *self.client.write().unwrap_or_else(PoisonError::into_inner) = client,
            Err(error) => {
                tracing::warn!("the client of the other members stays as it was: {error}");
            }
        }
    }
}
