//! What answers requests: documents, health checks and orders (contract §16.1).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::{Body, HttpBody as _};
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use pgherd_api::failsafe::PROMISE_HEADER;
use pgherd_ports::Desk;
use pgherd_settings::Settings;

use crate::access::{self, Caller};
use crate::checks::{self, Rendered, shown};
use crate::manner::Manner;
use crate::orders::Order;
use crate::reads::SharedReads;
use crate::reply::Reply;
use crate::{orders, reads};

/// No body of a request is longer.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A body must have come within this.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Whatever is read and is no health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Document {
    Patroni,
    Liveness,
    Readiness,
    Metrics,
    Cluster,
    History,
    Config,
    Failsafe,
}

impl Document {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Patroni,
        Self::Liveness,
        Self::Readiness,
        Self::Metrics,
        Self::Cluster,
        Self::History,
        Self::Config,
        Self::Failsafe,
    ];

    /// What it is called in a path.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Patroni => "patroni",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::Metrics => "metrics",
            Self::Cluster => "cluster",
            Self::History => "history",
            Self::Config => "config",
            Self::Failsafe => "failsafe",
        }
    }
}

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

    /// One of the documents.
    pub(crate) async fn document(&self, document: Document, head: &Parts) -> Reply {
        let (desk, query) = (&self.desk, head.uri.query().unwrap_or_default());
        match document {
            Document::Patroni => {
                if head.method == Method::GET {
                    reads::look_again(desk, age_allowed(&head.headers)).await;
                }
                checks::document(desk, &self.rendered)
            }
            Document::Liveness => checks::liveness(desk),
            Document::Readiness => checks::readiness(desk, query),
            Document::Metrics => checks::metrics(desk),
            Document::Cluster => {
                reads::cluster(desk, &self.shared, &self.settings.fixed.scope).await
            }
            Document::History => reads::history(desk),
            Document::Config => reads::config(desk),
            Document::Failsafe => reads::failsafe(desk),
        }
    }

    /// A health check: what any other path is.
    pub(crate) fn check(&self, head: &Parts) -> Reply {
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        if head.method == Method::GET {
            checks::check(&self.desk, &self.rendered, path, query)
        } else {
            checks::check_status(&self.desk, path, query)
        }
    }

    /// Carries an order out, when whoever sent it may.
    pub(crate) async fn order(
        &self,
        order: Order,
        caller: Caller,
        manner: &Manner,
        head: &Parts,
        body: Body,
    ) -> Reply {
        let headers = &head.headers;
        let shown = shown(&self.desk);
        let view = shown
            .as_ref()
            .and_then(|shown| Some(&*shown.cluster.as_ref()?.0));
        let restricted = order.is_restricted(manner);
        if let Err(refusal) = access::check(caller, headers, manner, view, restricted).await {
            tracing::info!(?order, from = %caller.address, code = %refusal.code, "refuse a request");
            return refusal;
        }
        let span = headers.get(PROMISE_HEADER).cloned();
        let body = match whole(headers, body).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let letter = orders::Letter {
            body: body.as_deref(),
            span: span.as_ref().and_then(|span| span.to_str().ok()),
        };
        let reply = orders::carry_out(self, order, letter).await;
        if order == Order::Failsafe && reply.code.is_success() {
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

/// The whole body; `None` when the request does not say that it has one.
async fn whole(headers: &HeaderMap, body: Body) -> Result<Option<Bytes>, Reply> {
    if !has_body(headers) {
        return Ok(None);
    }
    let upper = body.size_hint().upper();
    if upper.is_some_and(|bytes| usize::try_from(bytes).is_ok_and(|bytes| bytes > BODY_BYTES_MAX)) {
        return Err(Reply::page(413));
    }
    let read = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_WAIT_MAX, read).await {
        Ok(Ok(body)) => Ok(Some(body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Reply::page(413)),
        // broken off, or chunks that are none
        Ok(Err(_)) => Err(Reply::page(400)),
        Err(_) => Err(Reply::page(408)),
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}
