//! One endpoint: its connection, made when first needed, and what is known of its health.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use etcd_client::Client;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::tls::Login;

/// One etcd member, or a proxy in front of some.
pub(crate) struct Endpoint {
    url: String,
    login: Arc<Login>,
    state: Mutex<State>,
    /// Held while logging in, so that many callers log in once.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    client: Option<Client>,
    /// Counts connections, so that a late complaint about an old one does not hit its successor.
    number: u64,
    heard: Option<Instant>,
    avoid_until: Option<Instant>,
}

impl Endpoint {
    pub(crate) fn new(url: String, login: Arc<Login>) -> Self {
        Self {
            url,
            login,
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// `scheme://host:port`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs one attempt. Credentials that are refused get one more try after a new login.
    pub(crate) async fn run<T, F, Fut>(&self, attempt: F) -> Result<T, Fault>
    where
        F: Fn(Client) -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        let (client, number) = self.client().await?;
        let mut result = attempt(client).await;
        if matches!(result, Err(Fault::Denied(_))) && self.login.user.is_some() {
            self.hang_up(number);
            let (client, _) = self.client().await?;
            result = attempt(client).await;
        }
        match &result {
            Err(Fault::Passing {
                answered: false, ..
            }) => self.hang_up(number),
            Ok(_)
            | Err(Fault::Passing { .. } | Fault::Denied(_) | Fault::LeaseGone | Fault::Final(_)) => {
                self.state().heard = Some(Instant::now());
            }
        }
        result
    }

    /// The client, with its number; made now if there is none.
    pub(crate) async fn client(&self) -> Result<(Client, u64), Fault> {
        if let Some(ready) = self.ready() {
            return Ok(ready);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(ready) = self.ready() {
            return Ok(ready);
        }
        let client = self.login.connect(&self.url).await?;
        let mut state = self.state();
        state.number += 1;
        state.client = Some(client.clone());
        Ok((client, state.number))
    }

    /// Drops the connection if it is still the one with this number.
    pub(crate) fn hang_up(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.client = None;
        }
    }

    /// Drops the connection if nothing was heard over it since `since`: it may lead into a black hole.
    pub(crate) fn hang_up_if_silent(&self, since: Instant) {
        let mut state = self.state();
        if state.heard.is_none_or(|heard| heard < since) {
            state.client = None;
        }
    }

    /// Asks this endpoint after the others until then.
    pub(crate) fn avoid_until(&self, until: Instant) {
        self.state().avoid_until = Some(until);
    }

    /// It answered: no reason to avoid it.
    pub(crate) fn forgive(&self) {
        self.state().avoid_until = None;
    }

    /// Whether it is to be asked after the others.
    pub(crate) fn is_avoided(&self, now: Instant) -> bool {
        self.state().avoid_until.is_some_and(|until| now < until)
    }

    fn ready(&self) -> Option<(Client, u64)> {
        let state = self.state();
        Some((state.client.clone()?, state.number))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
