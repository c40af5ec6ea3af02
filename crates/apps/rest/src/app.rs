//! Who answers what: by method and the first segment of the path (contract §16.1).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response};
use pgherd_api::failsafe::PROMISE_HEADER;
use pgherd_ports::Desk;
use pgherd_settings::Settings;

use crate::access::{self, Caller};
use crate::checks::{self, Rendered, shown};
use crate::manner::Manner;
use crate::reads::SharedReads;
use crate::reply::Reply;
use crate::{orders, reads};

/// No body of a request is longer.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A body must have come within this.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// What every request needs.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) desk: Desk,
    /// The settings at the start, until a turn shows newer ones.
    pub(crate) settings: Arc<Settings>,
    /// How to answer; replaced when settings change.
    pub(crate) manner: ArcSwap<Manner>,
    rendered: Rendered,
    shared: SharedReads,
}

impl App {
    pub(crate) fn new(desk: Desk, settings: Arc<Settings>, manner: Manner) -> Self {
        Self {
            desk,
            settings,
            manner: ArcSwap::from_pointee(manner),
            rendered: Rendered::default(),
            shared: SharedReads::default(),
        }
    }

    /// The settings in force.
    pub(crate) fn settings_now(&self) -> Arc<Settings> {
        shown(&self.desk).map_or_else(
            || Arc::clone(&self.settings),
            |shown| Arc::clone(&shown.settings),
        )
    }

    /// Answers one request.
    pub(crate) async fn answer(
        &self,
        caller: Caller,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let manner = self.manner.load_full();
        let reply = match *request.method() {
            Method::GET => {
                if first_segment(request.uri().path()) == "patroni" {
                    reads::look_again(&self.desk, age_allowed(request.headers())).await;
                }
                self.read(request.uri().path(), request.uri().query()).await
            }
            Method::HEAD | Method::OPTIONS => {
                self.status(request.uri().path(), request.uri().query())
                    .await
            }
            _ => self.order(caller, &manner, request).await,
        };
        reply.into_response(&manner)
    }

    async fn read(&self, path: &str, query: Option<&str>) -> Reply {
        let (desk, query) = (&self.desk, query.unwrap_or_default());
        match first_segment(path) {
            "patroni" => checks::document(desk, &self.rendered),
            "liveness" => checks::liveness(desk),
            "readiness" => checks::readiness(desk, query),
            "metrics" => checks::metrics(desk),
            "cluster" => reads::cluster(desk, &self.shared, &self.settings.fixed.scope).await,
            "history" => reads::history(desk),
            "config" => reads::config(desk),
            "failsafe" => reads::failsafe(desk),
            _ => checks::check(desk, &self.rendered, path, query),
        }
    }

    async fn status(&self, path: &str, query: Option<&str>) -> Reply {
        match first_segment(path) {
            "patroni" | "liveness" | "readiness" | "metrics" | "cluster" | "history" | "config"
            | "failsafe" => self.read(path, query).await.without_body(),
            _ => checks::check_status(&self.desk, path, query.unwrap_or_default()),
        }
    }

    async fn order(&self, caller: Caller, manner: &Manner, request: Request<Incoming>) -> Reply {
        let Some(order) = orders::Order::of(request.method(), first_segment(request.uri().path()))
        else {
            return Reply::page(501);
        };
        let shown = shown(&self.desk);
        let view = shown
            .as_ref()
            .and_then(|shown| Some(&*shown.cluster.as_ref()?.0));
        let restricted = order.is_restricted(manner);
        let headers = request.headers();
        if let Err(refusal) = access::check(caller, headers, manner, view, restricted).await {
            tracing::info!(?order, from = %caller.address, code = %refusal.code, "refuse a request");
            return refusal;
        }
        let span = headers.get(PROMISE_HEADER).cloned();
        let body = match body(request).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let letter = orders::Letter {
            body: body.as_deref(),
            span: span.as_ref().and_then(|span| span.to_str().ok()),
        };
        let reply = orders::carry_out(self, order, letter).await;
        if order == orders::Order::Failsafe && reply.code.is_success() {
            // Asked several times in each ttl of an outage: what comes of it is in the line of each turn.
            tracing::debug!(from = %caller.address, "promise not to race");
        } else {
            tracing::info!(?order, from = %caller.address, code = %reply.code, "answer a request");
        }
        reply
    }
}

/// How old the status document may be: members that judge candidates by it need the moment.
fn age_allowed(headers: &HeaderMap) -> Duration {
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    if agent.is_some_and(|agent| agent.starts_with("Patroni/")) {
        Duration::from_millis(5)
    } else {
        Duration::from_secs(1)
    }
}

fn first_segment(path: &str) -> &str {
    path.trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default()
}

/// The whole body; `None` when the request does not say that it has one.
async fn body(request: Request<Incoming>) -> Result<Option<Bytes>, Reply> {
    if !has_body(request.headers()) {
        return Ok(None);
    }
    let upper = request.body().size_hint().upper();
    if upper.is_some_and(|bytes| usize::try_from(bytes).is_ok_and(|bytes| bytes > BODY_BYTES_MAX)) {
        return Err(Reply::page(413));
    }
    let read = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_WAIT_MAX, read).await {
        Ok(Ok(body)) => Ok(Some(body.to_bytes())),
        Ok(Err(_)) => Err(Reply::page(413)),
        Err(_) => Err(Reply::page(408)),
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}
