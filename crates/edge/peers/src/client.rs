//! One HTTP request to a member, with a deadline and a limit on the answer.

use std::error::Error;
use std::time::Duration;

use pgherd_api::COMPATIBLE_VERSION;
use pgherd_settings::{ClientLogin, Ctl, Restapi};
pub use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::trust::{SetupError, Trust};

/// No answer of a member is longer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// An idle connection is kept this long.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// A client for members' REST APIs. Holds its connections: make one and keep it.
#[derive(Debug, Clone)]
pub struct RestClient {
    http: reqwest::Client,
    login: Option<ClientLogin>,
}

/// What a member answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub code: u16,
    /// The body as text.
    pub text: String,
}

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nobody answers there. The request was not taken in.
    #[error("{0}")]
    Unreachable(String),
    /// The connection stood, and no whole answer came in time. The request may have been taken in.
    #[error("{0}")]
    Unanswered(String),
}

/// A client for services that are no members: certificates are checked as the host's own store wants it.
///
/// # Errors
/// When that store can not be used.
pub fn public_client() -> Result<reqwest::Client, SetupError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(Trust::Full(None).config(&Ctl::default())?)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(SetupError::Http)
}

impl RestClient {
    /// The client of an agent that asks its peers.
    ///
    /// # Errors
    /// When certificates can not be used.
    pub fn of_agent(ctl: &Ctl, restapi: &Restapi) -> Result<Self, SetupError> {
        let ctl = with_fallbacks(ctl, restapi);
        Self::new(&Trust::of_agent(&ctl), &ctl)
    }

    /// The client of an operator.
    ///
    /// # Errors
    /// When certificates can not be used.
    pub fn of_operator(ctl: &Ctl, restapi: &Restapi) -> Result<Self, SetupError> {
        let ctl = with_fallbacks(ctl, restapi);
        Self::new(&Trust::of_operator(&ctl), &ctl)
    }

    fn new(trust: &Trust, ctl: &Ctl) -> Result<Self, SetupError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(trust.config(ctl)?)
            .user_agent(format!("Patroni/{COMPATIBLE_VERSION} pgherd/{}", env!("CARGO_PKG_VERSION")))
            // members are reached directly, whatever the environment says of proxies
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_MAX)
            .build()
            .map_err(SetupError::Http)?;
        Ok(Self {
            http,
            login: ctl.authentication.clone(),
        })
    }

    /// Sends one request and waits for the whole answer, for `patience` at most.
    ///
    /// # Errors
    /// When nobody answers, or not in time.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Reply, SendError> {
        let headers = HeaderMap::new();
        let answer = self.send_with(method, url, body, headers, patience).await?;
        Ok(answer.0)
    }

    /// The same with headers, there and back.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn send_with(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        headers: HeaderMap,
        patience: Duration,
    ) -> Result<(Reply, HeaderMap), SendError> {
        let mut request = self
            .http
            .request(method.clone(), url)
            .headers(headers)
            .timeout(patience);
        if let (Some(login), false) = (&self.login, method.is_safe()) {
            request = request.basic_auth(&login.username, Some(login.password.reveal()));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|error| told(url, &error))?;
        let code = response.status().as_u16();
        let headers = response.headers().clone();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| told(url, &error))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(SendError::Unanswered(format!(
                    "{url}: the answer is longer than {ANSWER_BYTES_MAX} bytes"
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok((Reply { code, text }, headers))
    }
}

/// The URL of another endpoint of the member behind `api_url`.
pub fn endpoint(api_url: &str, path: &str) -> String {
    let (scheme, rest) = api_url.split_once("://").unwrap_or(("http", api_url));
    let authority = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{authority}/{path}")
}

/// `ctl` with what it takes over from `restapi` (contract §2.4).
fn with_fallbacks(ctl: &Ctl, restapi: &Restapi) -> Ctl {
    let mut ctl = ctl.clone();
    ctl.authentication = ctl
        .authentication
        .or_else(|| restapi.authentication.clone());
    ctl.cacert = ctl.cacert.or_else(|| restapi.cafile.clone());
    ctl
}

/// The innermost reason is what helps: `Connection refused`, an invalid certificate.
fn told(url: &str, error: &reqwest::Error) -> SendError {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_connect() {
        SendError::Unreachable(format!("{url}: {innermost}"))
    } else if error.is_timeout() {
        SendError::Unanswered(format!("{url}: no answer in time"))
    } else {
        SendError::Unanswered(format!("{url}: {innermost}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_replaces_the_path_of_the_published_url() {
        for (api_url, url) in [
            (
                "http://10.0.0.1:8008/patroni",
                "http://10.0.0.1:8008/switchover",
            ),
            (
                "https://[::1]:8008/patroni",
                "https://[::1]:8008/switchover",
            ),
            ("https://node1", "https://node1/switchover"),
        ] {
            assert_eq!(endpoint(api_url, "switchover"), url);
        }
    }
}
