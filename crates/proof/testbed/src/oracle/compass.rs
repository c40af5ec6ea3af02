//! Who leads: one answer shared by all clients, asked for only while somebody wants to connect.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Endpoint;
use crate::http;

/// An answer this fresh is good enough for the next client too.
const FRESH: Duration = Duration::from_millis(10);
/// A host that is gone must not keep the others' answers waiting.
const ASK: Duration = Duration::from_millis(300);

/// When it was given, and who leads.
type Answer = (Instant, Option<Endpoint>);

/// Points at the server to write to.
#[derive(Debug, Clone)]
pub(crate) struct Compass {
    servers: Arc<[Endpoint]>,
    fixed: bool,
    last: Arc<Mutex<Option<Answer>>>,
}

impl Compass {
    /// Always points at `server`.
    pub(crate) fn fixed(server: Endpoint) -> Self {
        Self {
            servers: [server].into(),
            fixed: true,
            last: Arc::default(),
        }
    }

    /// Points at the first of `servers` whose `/primary` says 200.
    pub(crate) fn leader(servers: Vec<Endpoint>) -> Self {
        Self {
            servers: servers.into(),
            fixed: false,
            last: Arc::default(),
        }
    }

    /// The server to write to now.
    pub(crate) async fn point(&self) -> Result<Endpoint> {
        if self.fixed {
            return self
                .servers
                .first()
                .cloned()
                .context("a compass without servers");
        }
        let mut last = self.last.lock().await;
        let answer = match &*last {
            Some((at, answer)) if at.elapsed() < FRESH => answer.clone(),
            _ => {
                let answer = self.ask().await;
                *last = Some((Instant::now(), answer.clone()));
                answer
            }
        };
        drop(last);
        answer.context("nobody leads")
    }

    async fn ask(&self) -> Option<Endpoint> {
        let mut answers: FuturesUnordered<_> = self
            .servers
            .iter()
            .filter_map(|server| server.rest.map(|rest| (server, rest)))
            .map(|(server, rest)| async move {
                let reply = http::request("GET", rest, "/primary", None, ASK).await;
                reply
                    .is_ok_and(|reply| reply.status == 200)
                    .then_some(server)
            })
            .collect();
        while let Some(answer) = answers.next().await {
            if let Some(server) = answer {
                return Some(server.clone());
            }
        }
        None
    }
}
