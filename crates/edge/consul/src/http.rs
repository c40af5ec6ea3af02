//! The connections to one agent, and one request over them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pgherd_settings::ConsulTls;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::access::Access;
use crate::fault::Fault;
use crate::tls;

/// No answer is longer: a prefix holds a few documents, each of half a megabyte at most.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// An idle connection is kept this long.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// One agent, or a load balancer in front of several.
#[derive(Debug)]
pub(crate) struct Http {
    url: String,
    tls: ConsulTls,
    connecting: Duration,
    pub(crate) access: Access,
    /// Made when first needed and again after a silence: certificates may have been renewed, and a connection may
    /// lead into a black hole.
    client: Mutex<Option<reqwest::Client>>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Behind `/v1/`, encoded.
    pub(crate) path: &'a str,
    /// Parameters, encoded.
    pub(crate) query: &'a str,
    pub(crate) body: Option<Value>,
    /// How long the whole answer may take.
    pub(crate) patience: Duration,
}

/// What the agent answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `X-Consul-Index`, where the answer has one.
    pub(crate) index: Option<u64>,
    pub(crate) body: Bytes,
}

impl Http {
    pub(crate) const fn new(
        url: String,
        tls: ConsulTls,
        connecting: Duration,
        access: Access,
    ) -> Self {
        Self {
            url,
            tls,
            connecting,
            access,
            client: Mutex::new(None),
        }
    }

    /// `scheme://host:port`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Reads.
    pub(crate) async fn get(
        &self,
        path: &str,
        query: &str,
        patience: Duration,
    ) -> Result<Answer, Fault> {
        self.send(Request {
            method: Method::GET,
            path,
            query,
            body: None,
            patience,
        })
        .await
    }

    /// Changes something.
    pub(crate) async fn put(
        &self,
        path: &str,
        body: Option<Value>,
        patience: Duration,
    ) -> Result<Answer, Fault> {
        self.send(Request {
            method: Method::PUT,
            path,
            query: "",
            body,
            patience,
        })
        .await
    }

    /// Sends one request and reads the whole answer, whatever its status.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Answer, Fault> {
        let client = self.client()?;
        let access = self.access.now();
        let mut query = request.query.to_owned();
        // What is asked of the agent itself is not for another datacenter.
        let dc = access.dc.filter(|_| !request.path.starts_with("agent/"));
        if let Some(dc) = &dc {
            let separator = if query.is_empty() { "" } else { "&" };
            query.push_str(&format!("{separator}dc={}", encoded(dc)));
        }
        let separator = if query.is_empty() { "" } else { "?" };
        let url = format!("{}/v1/{}{separator}{query}", self.url, request.path);
        let mut sent = client
            .request(request.method, url)
            .timeout(request.patience);
        if let Some(token) = &access.token {
            sent = sent.header("X-Consul-Token", token.reveal());
        }
        if let Some(body) = &request.body {
            sent = sent.json(body);
        }
        let read = self.read(sent).await;
        if matches!(
            read,
            Err(Fault::Passing {
                answered: false,
                ..
            })
        ) {
            self.hang_up();
        }
        read
    }

    async fn read(&self, request: reqwest::RequestBuilder) -> Result<Answer, Fault> {
        let mut response = request.send().await.map_err(|error| silence(&error))?;
        let status = response.status().as_u16();
        let index = index(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| silence(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let why = format!("its answer is longer than {ANSWER_BYTES_MAX} bytes");
                return Err(Fault::Final(why));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            index,
            body: body.into(),
        })
    }

    /// Drops all connections; the next request makes a new one.
    pub(crate) fn hang_up(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn client(&self) -> Result<reqwest::Client, Fault> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let config = match self.url.starts_with("https:") {
            true => tls::config(&self.tls),
            false => tls::none(),
        };
        let config = config.map_err(Fault::silent)?;
        let made = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            // the agent is reached directly, whatever the environment says of proxies
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connecting)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(IDLE_MAX)
            .build()
            .map_err(|error| Fault::silent(root(&error)))?;
        *client = Some(made.clone());
        Ok(made)
    }
}

impl Answer {
    /// The text of the body.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What an answer means that is none of those expected.
    pub(crate) fn fault(&self) -> Fault {
        Fault::of_answer(self.status, &self.text())
    }

    /// The body as JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Fault::answered(format!("its answer is not what Consul answers: {error}"))
        })
    }
}

fn index(headers: &HeaderMap) -> Option<u64> {
    headers.get("X-Consul-Index")?.to_str().ok()?.parse().ok()
}

fn silence(error: &reqwest::Error) -> Fault {
    Fault::silent(match error.is_timeout() {
        true => "no answer".to_owned(),
        false => root(error),
    })
}

/// The innermost cause is what helps: `Connection refused`, an invalid certificate.
fn root(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A part of a URL with everything encoded that is not plain; slashes stay, for keys have some.
pub(crate) fn encoded(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                url.push(char::from(byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_slashes_in_a_url() {
        assert_eq!(
            encoded("service/my db/members/a?b"),
            "service/my%20db/members/a%3Fb"
        );
        assert_eq!(encoded("ü"), "%C3%BC");
    }
}
