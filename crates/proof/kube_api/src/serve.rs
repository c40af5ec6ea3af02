//! Connections, and what a test says of requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::reply;
use crate::state::State;

type Rule = Box<dyn Fn(&str, &str) -> Verdict + Send + Sync>;

/// How it is to be served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0: any that is free.
    pub listen: SocketAddr,
    /// With TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The token that every request must carry.
    pub token: Option<String>,
    /// How often a watch that asks for them gets bookmarks.
    pub bookmarks: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            token: None,
            bookmarks: Duration::from_secs(1),
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out and answered.
    Serve,
    /// It is refused with this status.
    Refuse(u16),
    /// The same, with the header `Retry-After`.
    RefuseForNow(u16),
    /// Nothing happens, and no answer comes.
    Ignore,
    /// It is carried out, and no answer comes.
    LoseAnswer,
    /// It is carried out after this time, whether or not somebody still waits for it.
    Delay(Duration),
}

/// A running API. It ends with this value.
#[derive(Debug)]
pub struct KubeApi {
    shared: Arc<Shared>,
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

pub(crate) struct Shared {
    pub(crate) state: Arc<State>,
    pub(crate) options: Options,
    pub(crate) token: Mutex<Option<String>>,
    pub(crate) rule: Mutex<Option<Rule>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl KubeApi {
    /// Starts it.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(options: Options) -> Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Arc::new(State::new()),
            token: Mutex::new(options.token.clone()),
            options,
            rule: Mutex::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            address,
            _accepting: accepting,
        })
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.shared.options.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.address)
    }

    /// What becomes of each request from now on, by its method and its path.
    pub fn rule(&self, rule: impl Fn(&str, &str) -> Verdict + Send + Sync + 'static) {
        let mut now = self
            .shared
            .rule
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *now = Some(Box::new(rule));
    }

    /// The token that every request must carry from now on.
    pub fn set_token(&self, token: &str) {
        let mut now = self
            .shared
            .token
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *now = Some(token.to_owned());
    }

    /// An object as it is.
    #[must_use]
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let place = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        self.shared.state.lock().objects.get(&place).cloned()
    }

    /// Makes an object, as a controller of Kubernetes would.
    ///
    /// # Errors
    /// When it exists, or is none.
    pub fn create(&self, kind: &str, namespace: &str, object: Value) -> Result<Value> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.unwrap_or_default().to_owned();
        let place = (kind.to_owned(), namespace.to_owned(), name);
        let made = self.shared.state.create(place, object);
        made.map_err(|refusal| anyhow!("{refusal:?}"))
    }

    /// Patches an object past everybody.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) -> Result<Value> {
        let place = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        let patched = self.shared.state.patch(&place, patch);
        patched.map_err(|refusal| anyhow!("{refusal:?}"))
    }

    /// Forgets all changes so far: who watches from before is told that its version is too old.
    pub fn forget_changes(&self) {
        let mut inner = self.shared.state.lock();
        while !inner.changes.is_empty() {
            inner.forget_one();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut serving = JoinSet::new();
    let acceptor = shared.options.tls.clone().map(TlsAcceptor::from);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // Those that have ended.
        while serving.try_join_next().is_some() {}
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        serving.spawn(async move {
            match acceptor {
                None => serve(stream, shared).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(|request| reply::to(Arc::clone(&shared), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that went away is no matter.
    connection.await.ok();
}
