//! The connections to the API servers, and one request over them.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pgherd_settings::Kubernetes;
use reqwest::{Client, Method, Response};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::options::Surroundings;
use crate::pace::connecting;
use crate::place::{Login, Place, SERVICE_NAME};
use crate::tls;

/// No answer is longer: a list holds the pods of one cluster, or its few objects.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// An idle connection is kept this long.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// A token that Kubernetes replaces now and then, and the addresses of its servers, are looked at again after this.
const OLD: Duration = Duration::from_secs(60);

/// The API, however it is reached.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) settings: Kubernetes,
    around: Surroundings,
    pub(crate) ttl: Duration,
    idle: Duration,
    codes: watch::Sender<Vec<u16>>,
    /// Made when first needed and again after a silence: certificates may have been renewed, and a connection may lead
    /// into a black hole.
    line: tokio::sync::Mutex<Option<Line>>,
    /// Where it was found, for messages.
    found: Mutex<String>,
    /// This account may not read where the servers are, so it is not asked again.
    pub(crate) no_bypass: std::sync::atomic::AtomicBool,
}

/// Connections, and what goes with every request over them.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    place: Place,
    made: Instant,
    read: Instant,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Behind the address, encoded, with its parameters.
    pub(crate) path: &'a str,
    pub(crate) body: Option<&'a Value>,
    /// How long the whole answer may take.
    pub(crate) patience: Duration,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// It asks for another attempt.
    asks_for_another: bool,
    body: Vec<u8>,
}

impl Http {
    pub(crate) fn new(
        settings: Kubernetes,
        around: Surroundings,
        ttl: Duration,
        retry_timeout: Duration,
    ) -> Self {
        let codes = watch::Sender::new(settings.retriable_http_codes.clone());
        Self {
            settings,
            around,
            ttl,
            idle: (ttl / 3 + retry_timeout).max(Duration::from_secs(1)),
            codes,
            line: tokio::sync::Mutex::default(),
            found: Mutex::new("the API of Kubernetes".to_owned()),
            no_bypass: false.into(),
        }
    }

    /// Where it was found.
    pub(crate) fn url(&self) -> String {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }

    /// A reload counts from the next request on.
    pub(crate) fn set_codes(&self, codes: &[u16]) {
        self.codes.send_replace(codes.to_vec());
    }

    /// Drops all connections; the next request makes a new one.
    pub(crate) async fn hang_up(&self) {
        *self.line.lock().await = None;
    }

    /// Sends one request and reads the whole answer, whatever its status.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Answer, Fault> {
        let patience = request.patience;
        let read = async {
            let mut response = self.begin(request).await?;
            let status = response.status().as_u16();
            let asks = response.headers().contains_key("retry-after")
                || self.codes.borrow().contains(&status);
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
                asks_for_another: asks,
                body,
            })
        };
        let read = match tokio::time::timeout(patience, read).await {
            Ok(read) => read,
            Err(_) => Err(Fault::silent("no answer")),
        };
        match &read {
            Err(Fault::Passing {
                answered: false, ..
            }) => self.hang_up().await,
            Ok(answer) if answer.status == 401 => self.forget_token().await,
            Ok(_) | Err(_) => {}
        }
        read
    }

    /// Sends one request; the answer is read as it comes, for as long as it comes. Nothing ends it but its reader.
    pub(crate) async fn begin(&self, request: Request<'_>) -> Result<Response, Fault> {
        let line = self.line().await?;
        let kind = match request.method {
            Method::PATCH => "application/strategic-merge-patch+json",
            _ => "application/json",
        };
        let url = format!("{}{}", line.url, request.path);
        let mut sent = line
            .client
            .request(request.method, url)
            .header("Accept", "application/json");
        if let Some(token) = &line.token {
            sent = sent.bearer_auth(token);
        }
        if let Some(body) = request.body {
            sent = sent.header("Content-Type", kind).body(body.to_string());
        }
        sent.send().await.map_err(|error| silence(&error))
    }

    async fn forget_token(&self) {
        if let Some(line) = &mut *self.line.lock().await {
            line.read = line.read.checked_sub(OLD).unwrap_or(line.read);
            line.token = None;
        }
    }

    /// The connections as they are now, with a token that is not old.
    async fn line(&self) -> Result<Line, Fault> {
        let mut kept = self.line.lock().await;
        let now = Instant::now();
        let line = match kept.take() {
            Some(line) if !(self.bypasses(&line.place) && now - line.made >= OLD) => line,
            Some(_) | None => self.make_line(now).await?,
        };
        let line = match line.token.is_none() || now - line.read >= OLD {
            true => Line {
                token: line.place.token().map_err(Fault::silent)?,
                read: now,
                ..line
            },
            false => line,
        };
        *kept = Some(line.clone());
        Ok(line)
    }

    async fn make_line(&self, now: Instant) -> Result<Line, Fault> {
        let place = Place::find(&self.settings, &self.around).map_err(Fault::silent)?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = place.url.clone();
        let mut line = Line {
            client: self.client(&place, &[])?,
            url: place.url.clone(),
            token: place.token().map_err(Fault::silent)?,
            place,
            made: now,
            read: now,
        };
        if self.bypasses(&line.place)
            && let Some((port, addresses)) = self.servers(&line).await
        {
            line.client = self.client(&line.place, &addresses)?;
            line.url = format!("https://{SERVICE_NAME}:{port}");
        }
        Ok(line)
    }

    fn client(&self, place: &Place, servers: &[SocketAddr]) -> Result<Client, Fault> {
        let config = tls::config(place).map_err(Fault::silent)?;
        let mut builder = Client::builder()
            .tls_backend_preconfigured(config)
            // the server is reached directly, whatever the environment says of proxies
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connecting(self.ttl))
            .tcp_keepalive(self.idle)
            .tcp_user_timeout(self.ttl)
            .pool_max_idle_per_host(4)
            .pool_idle_timeout(IDLE_MAX);
        if !servers.is_empty() {
            builder = builder.resolve_to_addrs(SERVICE_NAME, servers);
        }
        builder.build().map_err(|error| Fault::silent(root(&error)))
    }
}

impl Place {
    fn token(&self) -> Result<Option<String>, String> {
        match &self.login {
            Login::None => Ok(None),
            Login::Token(token) => Ok(Some(token.clone())),
            Login::File(path) => fs_err::read_to_string(path)
                .map(|text| Some(text.trim().to_owned()))
                .map_err(|error| error.to_string()),
        }
    }
}

impl Answer {
    /// What an answer means that is none of those expected.
    pub(crate) fn fault(&self) -> Fault {
        let text = match serde_json::from_slice::<Value>(&self.body) {
            Ok(status) => status
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            Err(_) => String::from_utf8_lossy(self.body.get(..200).unwrap_or(&self.body)).into(),
        };
        Fault::of_answer(self.status, &text, self.asks_for_another)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Fault> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Fault::answered(format!("its answer is not JSON: {error}")))
    }
}

pub(crate) fn silence(error: &reqwest::Error) -> Fault {
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
