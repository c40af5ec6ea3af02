//! The peers port over HTTP.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use pgherd_api::peer;
use pgherd_domain::PeerStatus;
use pgherd_ports::{PeerError, Peers};
use pgherd_settings::{Ctl, Restapi, Settings};

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

    async fn get(&self, url: &str, patience: Duration) -> Result<Reply, SendError> {
        let client = self
            .client
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        client.send(Method::GET, url, None, patience).await
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

    async fn is_alive(&self, api_url: &str, patience: Duration) -> bool {
        self.get(&endpoint(api_url, "liveness"), patience)
            .await
            .is_ok()
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
