//! One request over HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pgherd_etcd::shared::{Fault, User};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap};
use reqwest::{Method, Response, Url};
use tokio::time::{Instant, timeout};

use crate::answer::{NO_SUCH_API, Said, meaning};
use crate::clocks::Clocks;

/// No answer is longer: a prefix holds a few documents.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// A client of one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: Arc<Url>,
    user: Arc<User>,
    clocks: Arc<Clocks>,
}

/// Parameters of a request, before they are encoded.
pub(crate) type Parameters<'a> = [(&'a str, &'a str)];

impl Client {
    pub(crate) fn new(
        http: reqwest::Client,
        url: &str,
        user: Arc<User>,
        clocks: Arc<Clocks>,
    ) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
        Ok(Self {
            http,
            url: Arc::new(url),
            user,
            clocks,
        })
    }

    /// How far other servers' clocks may be ahead of this one's.
    pub(crate) fn others_ahead(&self) -> Duration {
        self.clocks.ahead_of(self.url.as_str())
    }

    /// Asks for a key or below it.
    pub(crate) async fn read(&self, key: &str, parameters: &Parameters<'_>) -> Result<Said, Fault> {
        said(self.send(Method::GET, &keys(key), parameters).await?).await
    }

    /// Writes a key.
    pub(crate) async fn write(
        &self,
        key: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Said, Fault> {
        said(self.send(Method::PUT, &keys(key), parameters).await?).await
    }

    /// Deletes a key.
    pub(crate) async fn remove(
        &self,
        key: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Said, Fault> {
        said(self.send(Method::DELETE, &keys(key), parameters).await?).await
    }

    /// Opens a read that is answered when something happens: the head of the answer comes at once.
    pub(crate) async fn wait(
        &self,
        key: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Response, Fault> {
        self.send(Method::GET, &keys(key), parameters).await
    }

    /// Whether the server has this API, by its answer for any key.
    pub(crate) async fn offers(&self, key: &str) -> Result<bool, Fault> {
        match self.read(key, &[]).await {
            Err(Fault::Passing { why, .. }) if why == NO_SUCH_API => Ok(false),
            // Whoever asks for a user has something that it is for.
            Ok(_) | Err(Fault::Denied(_)) => Ok(true),
            Err(fault) => Err(fault),
        }
    }

    /// Any other question.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Bytes), Fault> {
        let path: Vec<&str> = path.split('/').collect();
        let answer = self.send(Method::GET, &path, &[]).await?;
        Ok((answer.status().as_u16(), body(answer).await?))
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        parameters: &Parameters<'_>,
    ) -> Result<Response, Fault> {
        let mut url = Url::clone(&self.url);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.query_pairs_mut().extend_pairs(parameters);
        let query = url.query().filter(|query| !query.is_empty());
        let form = query.filter(|_| method == Method::PUT).map(str::to_owned);
        if form.is_some() || query.is_none() {
            url.set_query(None);
        }
        let mut request = self.http.request(method, url);
        if let Some(form) = form {
            let kind = "application/x-www-form-urlencoded";
            request = request.header(CONTENT_TYPE, kind).body(form);
        }
        if let Some((user, password)) = self.user.now() {
            request = request.basic_auth(user, Some(password.reveal()));
        }
        let sent = Instant::now();
        let answer = request.send().await.map_err(|error| silence(&error))?;
        if let Some(date) = header(answer.headers(), DATE.as_str()) {
            let heard = Instant::now();
            self.clocks.heard(self.url.as_str(), date, sent, heard);
        }
        Ok(answer)
    }
}

/// The path of a key, in parts; slashes around it do not matter.
fn keys(key: &str) -> Vec<&str> {
    let parts = key.split('/').filter(|part| !part.is_empty());
    ["v2", "keys"].into_iter().chain(parts).collect()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The store's index when it answered; 0: it does not say.
pub(crate) fn index(headers: &HeaderMap) -> u64 {
    let index = header(headers, "X-Etcd-Index").and_then(|index| index.parse().ok());
    index.unwrap_or(0)
}

/// Reads the whole answer.
async fn body(mut response: Response) -> Result<Bytes, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| silence(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let why = format!("its answer is longer than {ANSWER_BYTES_MAX} bytes");
            return Err(Fault::Final(why));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// What an answer means.
pub(crate) async fn said(response: Response) -> Result<Said, Fault> {
    let (status, index) = (response.status().as_u16(), index(response.headers()));
    meaning(status, index, &body(response).await?)
}

/// The same, for a read that may be kept waiting: `None` when nothing came for so long.
pub(crate) async fn said_within(
    response: Response,
    patience: Duration,
) -> Result<Option<Said>, Fault> {
    match timeout(patience, said(response)).await {
        Ok(said) => said.map(Some),
        Err(_) => Ok(None),
    }
}

/// The innermost cause is what helps: `Connection refused`, an invalid certificate.
fn silence(error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        return Fault::silent("no answer".to_owned());
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Fault::silent(innermost.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_apart_at_its_slashes() {
        assert_eq!(
            keys("/service/my db/leader"),
            ["v2", "keys", "service", "my db", "leader"]
        );
    }
}
