//! One request and its answer: who may ask, what a test lets go wrong, and HTTP around it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::route::{self, Asked, Reply, status};
use crate::serve::{Shared, Verdict};
use crate::state::Refusal;
use crate::watching;

/// Events that wait for a slow reader of a watch.
const EVENTS_WAITING_MAX: usize = 64;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers a request.
pub(crate) async fn to(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        let value = head.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let token = shared
        .token
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    if token.is_some_and(|token| header("authorization") != format!("Bearer {token}")) {
        return Ok(object(
            401,
            &status(&Refusal(401, "Unauthorized", "Unauthorized".into())),
            false,
        ));
    }
    let asked = Asked {
        method: head.method.to_string(),
        path: decoded(head.uri.path()),
        query: query(head.uri.query().unwrap_or_default()),
        content: header("content-type"),
        body: body
            .collect()
            .await
            .map_or_else(|_| Vec::new(), |body| body.to_bytes().to_vec()),
    };
    let verdict = {
        let rule = shared.rule.lock().unwrap_or_else(PoisonError::into_inner);
        rule.as_ref()
            .map_or(Verdict::Serve, |rule| rule(&asked.method, &asked.path))
    };
    Ok(decided(&shared, asked, verdict).await)
}

/// Does with a request what is to become of it.
async fn decided(shared: &Shared, asked: Asked, verdict: Verdict) -> Response<Body> {
    match verdict {
        Verdict::Serve => served(shared, &asked),
        Verdict::Refuse(code) | Verdict::RefuseForNow(code) => {
            let refusal = status(&Refusal(code, "Refused", "by a rule of the test".into()));
            object(code, &refusal, matches!(verdict, Verdict::RefuseForNow(_)))
        }
        Verdict::Ignore => std::future::pending().await,
        Verdict::LoseAnswer => {
            route::answer(&shared.state, &asked);
            std::future::pending().await
        }
        Verdict::Delay(span) => {
            // Also when the client goes away meanwhile, for the request is on its way.
            let state = Arc::clone(&shared.state);
            let late = tokio::task::spawn(async move {
                tokio::time::sleep(span).await;
                route::answer(&state, &asked)
            });
            match late.await {
                Ok(Reply::Object(code, value)) => object(code, &value, false),
                Ok(Reply::Watch(_)) | Err(_) => object(500, &Value::Null, false),
            }
        }
    }
}

fn served(shared: &Shared, asked: &Asked) -> Response<Body> {
    match route::answer(&shared.state, asked) {
        Reply::Object(code, value) => object(code, &value, false),
        Reply::Watch(watch) => {
            let (to, events) = mpsc::channel(EVENTS_WAITING_MAX);
            let state = Arc::clone(&shared.state);
            tokio::task::spawn(watching::stream(state, watch, shared.options.bookmarks, to));
            let events = stream::unfold(events, async |mut events: mpsc::Receiver<Bytes>| {
                let event = events.recv().await?;
                Some((event, events))
            });
            let frames = events.map(|event| Ok(Frame::data(event)));
            respond(200, StreamBody::new(frames).boxed_unsync(), false)
        }
    }
}

fn object(code: u16, value: &Value, asks_for_another: bool) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string()));
    respond(code, body.boxed_unsync(), asks_for_another)
}

fn respond(code: u16, body: Body, asks_for_another: bool) -> Response<Body> {
    let mut builder = Response::builder()
        .status(code)
        .header("Content-Type", "application/json");
    if asks_for_another {
        builder = builder.header("Retry-After", "1");
    }
    let built = builder.body(body);
    built.unwrap_or_else(|_| Response::new(Full::new(Bytes::new()).boxed_unsync()))
}

fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// A part of a URL as it is meant.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = String::from_utf8_lossy(&digits).into_owned();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
