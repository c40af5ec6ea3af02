//! Listening, connections, and taking new settings over.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pgherd_ports::{Desk, Shown};
use pgherd_settings::{HostPort, Restapi, Settings};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;
use tracing::{debug, info, warn};

use crate::access::Caller;
use crate::app::App;
use crate::manner::Manner;
use crate::places::{Place, Places};
use crate::routes;
use crate::tls::{self, TlsError};

/// The least listening queue: load balancers come in bursts.
const QUEUE_MIN: u32 = 128;
/// The head of a request must have come within this; an idle connection is closed after it.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(30);
/// A TLS handshake must be done within this.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// A client that takes nothing of its answer for so long is let go.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(15);
/// Requests that run when the server stops are given this long.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// Why the server can not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is not to be had.
    #[error(
        "listen on {address} for the REST API; free the address, or set restapi.listen to one of this host"
    )]
    Bind {
        /// The address as it was set.
        address: HostPort,
        /// What the system said.
        source: io::Error,
    },
    /// TLS can not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no thread to be had for it.
    #[error("start the thread of the REST API")]
    Thread(#[source] io::Error),
}

/// A server that listens. Nothing is answered before [`Server::run`].
#[derive(Debug)]
pub struct Server {
    settings: Arc<Settings>,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

/// Listens and answers until `shutdown` is there. Before the first turn has shown something, every check
/// answers 503.
///
/// # Errors
/// When the address is not to be had or TLS can not be set up.
pub async fn serve(
    settings: Arc<Settings>,
    desk: Desk,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    Server::bind(settings).await?.run(desk, shutdown).await;
    Ok(())
}

impl Server {
    /// Takes the address of `restapi.listen`.
    ///
    /// # Errors
    /// When the address is not to be had or TLS can not be set up.
    pub async fn bind(settings: Arc<Settings>) -> Result<Self, ServeError> {
        let restapi = &settings.changing.restapi;
        let tls = tls::config(restapi)?;
        let listener = listen(restapi).await?;
        Ok(Self {
            settings,
            listener,
            tls,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `shutdown` is there; then gives running requests a moment.
    pub async fn run(self, desk: Desk, shutdown: impl Future<Output = ()> + Send) {
        let Self {
            settings,
            mut listener,
            mut tls,
        } = self;
        let manner = Manner::new(&settings.changing.restapi).await;
        let mut shown = desk.shown.clone();
        let app = Arc::new(App::new(desk, Arc::clone(&settings), manner));
        let router = routes::router(Arc::clone(&app));
        let (leave, leaving) = watch::channel(false);
        let places = Places::new();
        let mut connections = JoinSet::new();
        let mut in_force = settings;
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&listener, &places) => {
                    if let Some((stream, from, place)) = accepted {
                        let connection = Connection { router: router.clone(), from, place };
                        connections.spawn(connection.run(stream, tls.clone(), leaving.clone()));
                    }
                }
                Some(_) = connections.join_next() => {}
                () = changed(&mut shown) => {
                    let now = app.settings_now();
                    if !Arc::ptr_eq(&now, &in_force) {
                        take_over(&app, &in_force, &now, &mut listener, &mut tls).await;
                        in_force = now;
                    }
                }
            }
        }
        drop(listener);
        // every connection hears it; the receivers live as long as they do
        leave.send_replace(true);
        let all_done = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(LEAVE_MAX, all_done).await.is_err() {
            debug!("close connections whose requests still run");
        }
    }
}

/// One connection.
struct Connection {
    router: Router,
    from: SocketAddr,
    place: Place,
}

impl Connection {
    async fn run(
        self,
        stream: TimeoutStream<TcpStream>,
        tls: Option<Arc<ServerConfig>>,
        leaving: watch::Receiver<bool>,
    ) {
        let address = self.from.ip().to_canonical();
        let Some(tls) = tls else {
            let caller = Caller {
                address,
                has_certificate: false,
            };
            return self.answer(Box::pin(stream), caller, leaving).await;
        };
        match tokio::time::timeout(
            HANDSHAKE_MAX,
            TlsAcceptor::from(tls).accept(Box::pin(stream)),
        )
        .await
        {
            Ok(Ok(stream)) => {
                let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                self.answer(
                    stream,
                    Caller {
                        address,
                        has_certificate,
                    },
                    leaving,
                )
                .await;
            }
            Ok(Err(error)) => debug!(from = %address, %error, "shake hands over TLS"),
            Err(_) => debug!(from = %address, "shake hands over TLS: not done in time"),
        }
    }

    async fn answer<S>(self, stream: S, caller: Caller, mut leaving: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let router = &self.router;
        let service = service_fn(move |mut request: Request<Incoming>| {
            one_slash(&mut request);
            request.extensions_mut().insert(caller);
            router.clone().call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WAIT_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = left(&mut leaving) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(from = %self.from, %error, "serve a connection");
        }
        drop(self.place);
    }
}

/// Leading slashes count as one.
fn one_slash<B>(request: &mut Request<B>) {
    let uri = request.uri();
    let path = uri.path().trim_start_matches('/');
    if uri.path().len() <= path.len() + 1 {
        return;
    }
    let query = uri
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    if let Ok(uri) = Uri::try_from(format!("/{path}{query}")) {
        *request.uri_mut() = uri;
    }
}

/// The next connection, when there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Places,
) -> Option<(TimeoutStream<TcpStream>, SocketAddr, Place)> {
    let room = places.room().await?;
    match listener.accept().await {
        Ok((stream, from)) => {
            let Some(place) = places.take(from.ip().to_canonical(), room) else {
                debug!(%from, "turn away a connection: too many of this address");
                return None;
            };
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%from, %error, "set TCP_NODELAY");
            }
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(WRITE_WAIT_MAX));
            Some((stream, from, place))
        }
        Err(error) => {
            // out of file descriptors, mostly; a connection that ends gives one back
            warn!(%error, "accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Returns when a turn has shown something; never, when no turn will come any more.
async fn changed(shown: &mut watch::Receiver<Option<Arc<Shown>>>) {
    if shown.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns when the server is to stop.
async fn left(leaving: &mut watch::Receiver<bool>) {
    // an error means that the server is gone, which is the same
    drop(leaving.wait_for(|leaving| *leaving).await);
}

/// Takes changed settings over. What can not be is reported, and the old stays (contract §2.7).
async fn take_over(
    app: &App,
    old: &Settings,
    new: &Settings,
    listener: &mut TcpListener,
    tls: &mut Option<Arc<ServerConfig>>,
) {
    let (old, new) = (&old.changing.restapi, &new.changing.restapi);
    app.manner.store(Arc::new(Manner::new(new).await));
    // the file may hold a new certificate under the same name
    match tls::config(new) {
        Ok(config) => *tls = config,
        Err(error) => warn!(error = %chain(&error), "keep the old TLS settings of the REST API"),
    }
    if old.listen != new.listen {
        match listen(new).await {
            Ok(fresh) => {
                info!(address = %new.listen, "listen on another address for the REST API");
                *listener = fresh;
            }
            Err(error) => warn!(error = %chain(&error), "keep the old address of the REST API"),
        }
    }
}

/// Listens on the first address of the host that can be had; `*` is every interface, IPv4 and IPv6.
async fn listen(restapi: &Restapi) -> Result<TcpListener, ServeError> {
    let HostPort { host, port } = &restapi.listen;
    let failed = |source| ServeError::Bind {
        address: restapi.listen.clone(),
        source,
    };
    let addresses: Vec<SocketAddr> = match host.as_str() {
        "" | "*" => ["::", "0.0.0.0"]
            .iter()
            .filter_map(|all| Some(SocketAddr::new(all.parse().ok()?, *port)))
            .collect(),
        host => tokio::net::lookup_host((host, *port))
            .await
            .map_err(failed)?
            .collect(),
    };
    let mut refusal = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match listen_on(address, restapi.request_queue_size.max(QUEUE_MIN)) {
            Ok(listener) => return Ok(listener),
            Err(error) => refusal = error,
        }
    }
    Err(failed(refusal))
}

fn listen_on(address: SocketAddr, queue: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(queue)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
