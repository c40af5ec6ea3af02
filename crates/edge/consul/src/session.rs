//! This member's lease: a session of Consul's, one for the process; the member key and the leader key hang on it.
//!
//! Consul counts a session's TTL twice: it ends when it was not renewed for that long, and whoever is elected among its
//! servers begins to count anew. So a session with half of ttl is a lease of ttl, and never a shorter one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgherd_ports::DcsError;
use serde::Deserialize;
use serde_json::Value;

use crate::fault::Fault;
use crate::pace::Pace;
use crate::store::Store;
use crate::wish::{MULTIPLIER, half, least, wish};

/// A session that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Consul's name for it.
    pub(crate) id: String,
    /// The ttl that was asked for.
    pub(crate) ttl: Duration,
}

/// What is known of this member's session.
#[derive(Debug)]
pub(crate) struct Sessions {
    state: Mutex<State>,
    /// Held while a session is made, so that there is one.
    making: tokio::sync::Mutex<()>,
    /// Read while a write relies on the session, written while keys move to another one.
    pub(crate) in_use: tokio::sync::RwLock<()>,
}

#[derive(Debug, Clone)]
struct State {
    ttl: Duration,
    current: Option<Session>,
    /// Made to succeed the current one; keys may hang on either.
    next: Option<Session>,
}

impl Sessions {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                ttl,
                current: None,
                next: None,
            }),
            making: tokio::sync::Mutex::default(),
            in_use: tokio::sync::RwLock::default(),
        }
    }

    /// The ttl of leases from now on.
    pub(crate) fn ttl(&self) -> Duration {
        self.state().ttl
    }

    /// Sets it.
    pub(crate) fn set_ttl(&self, ttl: Duration) {
        self.state().ttl = ttl;
    }

    /// The session, as far as is known.
    pub(crate) fn current(&self) -> Option<Session> {
        self.state().current.clone()
    }

    /// The session that is about to succeed it.
    pub(crate) fn next(&self) -> Option<Session> {
        self.state().next.clone()
    }

    /// Notes the successor, or that there is none.
    pub(crate) fn set_next(&self, next: Option<Session>) {
        self.state().next = next;
    }

    /// The keys have moved: the successor is the session. Gives the former one.
    pub(crate) fn succeed(&self) -> Option<Session> {
        let mut state = self.state();
        let next = state.next.take()?;
        state.current.replace(next)
    }

    /// This session is known to be gone.
    pub(crate) fn forget(&self, id: &str) {
        let mut state = self.state();
        state.current.take_if(|session| session.id == id);
        state.next.take_if(|session| session.id == id);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Deserialize)]
struct Made {
    #[serde(rename = "ID")]
    id: String,
}

impl Store {
    /// My session, made now if there is none. `true`: it was made by this very call.
    pub(crate) async fn ensure_session(&self, pace: Pace) -> Result<(Session, bool), DcsError> {
        if let Some(session) = self.sessions.current() {
            return Ok((session, false));
        }
        let _one_at_a_time = self.sessions.making.lock().await;
        if let Some(session) = self.sessions.current() {
            return Ok((session, false));
        }
        let session = self.make_session(self.sessions.ttl(), pace).await?;
        self.sessions.state().current = Some(session.clone());
        Ok((session, true))
    }

    /// Makes a session. One whose answer was lost ends by itself; nothing hangs on it.
    pub(crate) async fn make_session(
        &self,
        ttl: Duration,
        pace: Pace,
    ) -> Result<Session, DcsError> {
        let wanted = half(ttl);
        let id = self
            .http
            .ask(pace, |_| async move {
                match self.try_session(ttl, wanted, pace).await {
                    Err(fault) => match least(fault.text()).filter(|least| *least > wanted) {
                        Some(least) => {
                            tracing::warn!(
                                "Consul takes no session of {wanted:?} (`session_ttl_min` of its servers is {least:?}): the \
                                 lease of this member ends {:?} after its last renewal, not ttl ({ttl:?})",
                                least.saturating_mul(MULTIPLIER),
                            );
                            self.try_session(ttl, least, pace).await
                        }
                        None => Err(fault),
                    },
                    made => made,
                }
            })
            .await?;
        Ok(Session { id, ttl })
    }

    async fn try_session(
        &self,
        ttl: Duration,
        session_ttl: Duration,
        pace: Pace,
    ) -> Result<String, Fault> {
        let body = wish(&self.session_name, &self.checks, ttl, session_ttl);
        let answer = self
            .http
            .put("session/create", Some(body), pace.again)
            .await?;
        match answer.status {
            200 => Ok(answer.json::<Made>()?.id),
            _ => match least(&answer.text()) {
                Some(_) => Err(Fault::Final(answer.text())),
                None => Err(answer.fault()),
            },
        }
    }

    /// Renews a session once. `false`: it does not exist any more.
    pub(crate) async fn renew_session(&self, id: &str, pace: Pace) -> Result<bool, Fault> {
        let path = format!("session/renew/{id}");
        let answer = self.http.put(&path, None, pace.again).await?;
        match answer.status {
            200 => Ok(true),
            404 => self.confirm_gone(id, pace).await.map(|()| false),
            _ => Err(answer.fault()),
        }
    }

    /// A server that has just been elected may not know a session yet that was made before: only a consistent read
    /// proves that it is gone.
    async fn confirm_gone(&self, id: &str, pace: Pace) -> Result<(), Fault> {
        let path = format!("session/info/{id}");
        let answer = self.http.get(&path, "consistent", pace.again).await?;
        match answer.status {
            200 => match answer.json::<Option<Vec<Value>>>()? {
                Some(found) if !found.is_empty() => Err(Fault::answered(
                    "it does not know the session, although its servers do",
                )),
                Some(_) | None => Ok(()),
            },
            404 => Ok(()),
            _ => Err(answer.fault()),
        }
    }

    /// Ends a session, and with it all keys on it.
    pub(crate) async fn end_session(&self, id: &str, pace: Pace) -> Result<(), DcsError> {
        let path = format!("session/destroy/{id}");
        let path = path.as_str();
        self.http
            .ask(pace, |_| async move {
                let answer = self.http.put(path, None, pace.again).await?;
                match answer.status {
                    200 | 404 => Ok(()),
                    _ => Err(answer.fault()),
                }
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    #[test]
    fn a_forgotten_session_is_not_confused_with_its_successor() {
        let sessions = Sessions::new(TTL);
        let session = |id: &str| Session {
            id: id.to_owned(),
            ttl: TTL,
        };
        sessions.set_next(Some(session("1")));
        assert_eq!(sessions.succeed(), None);
        sessions.set_next(Some(session("2")));
        assert_eq!(sessions.succeed(), Some(session("1")));
        sessions.forget("1");
        assert_eq!(sessions.current(), Some(session("2")));
        sessions.forget("2");
        assert_eq!(sessions.current(), None);
    }
}
