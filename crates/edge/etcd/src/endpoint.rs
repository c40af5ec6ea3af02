//! One endpoint: its connection, made when first needed, and what is known of its health.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::connect::Connect;
use crate::fault::Fault;

/// One etcd member, or a proxy in front of some.
pub struct Endpoint<C: Connect> {
    url: String,
    login: Arc<C>,
    state: Mutex<State<C::Client>>,
    /// Held while logging in, so that many callers log in once.
    connecting: tokio::sync::Mutex<()>,
}

struct State<T> {
    client: Option<T>,
    /// Counts connections, so that a late complaint about an old one does not hit its successor.
    number: u64,
    heard: Option<Instant>,
    avoid_until: Option<Instant>,
}

impl<C: Connect> Endpoint<C> {
    pub(crate) fn new(url: String, login: Arc<C>) -> Self {
        Self {
            url,
            login,
            state: Mutex::new(State {
                client: None,
                number: 0,
                heard: None,
                avoid_until: None,
            }),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// `scheme://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs one attempt. Credentials that are refused get one more try after a new login.
    ///
    /// # Errors
    /// What the attempt met, or why there is no connection.
    pub async fn run<T, F, Fut>(&self, attempt: F) -> Result<T, Fault>
    where
        F: Fn(C::Client) -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        let (client, number) = self.client().await?;
        let mut result = attempt(client).await;
        if matches!(result, Err(Fault::Denied(_))) && self.login.logs_in() {
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
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn client(&self) -> Result<(C::Client, u64), Fault> {
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
    pub fn hang_up(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.client = None;
        }
    }

    /// Drops the connection, whichever it is.
    pub(crate) fn let_go(&self) {
        self.state().client = None;
    }

    /// Drops the connection if nothing was heard over it since `since`: it may lead into a black hole.
    pub fn hang_up_if_silent(&self, since: Instant) {
        let mut state = self.state();
        if state.heard.is_none_or(|heard| heard < since) {
            state.client = None;
        }
    }

    /// Asks this endpoint after the others until then.
    pub fn avoid_until(&self, until: Instant) {
        self.state().avoid_until = Some(until);
    }

    /// It answered: no reason to avoid it.
    pub fn forgive(&self) {
        self.state().avoid_until = None;
    }

    /// Whether it is to be asked after the others.
    pub(crate) fn is_avoided(&self, now: Instant) -> bool {
        self.state().avoid_until.is_some_and(|until| now < until)
    }

    fn ready(&self) -> Option<(C::Client, u64)> {
        let state = self.state();
        Some((state.client.clone()?, state.number))
    }

    fn state(&self) -> MutexGuard<'_, State<C::Client>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Connect> fmt::Debug for Endpoint<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
