//! This member's lease: a session of Consul's, one for the process; the member key and the leader key hang on it.
//!
//! Consul counts a session's TTL twice: it ends when it was not renewed for that long, and whoever is elected among its
//! servers begins to count anew. So a session with half of ttl is a lease of ttl, and never a shorter one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgherd_ports::DcsError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::pace::Pace;
use crate::store::Store;

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

/// How many times Consul counts a session's TTL before it ends it.
const MULTIPLIER: u32 = 2;
/// The longest time for which Consul keeps a key back after its session has ended.
const LOCK_DELAY_MAX: Duration = Duration::from_secs(60);
/// Consul takes 0 for its own default, 15 s.
const LOCK_DELAY_MIN: Duration = Duration::from_millis(1);

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
                                least * MULTIPLIER,
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

/// What a session is asked to be. A check may end it at any moment, also while this member, cut off, still counts on its
/// lease: then Consul keeps the key from everybody until the lease has run out here as well. Where it can not, for it does
/// so for a minute at most, the session has no checks.
fn wish(name: &str, checks: &[String], ttl: Duration, session_ttl: Duration) -> Value {
    let (checks, delay) = match checks {
        [] => (checks, LOCK_DELAY_MIN),
        _ if ttl <= LOCK_DELAY_MAX => (checks, ttl),
        _ => {
            tracing::warn!(
                "`consul.checks` are left out while ttl is more than {LOCK_DELAY_MAX:?}: a session that a check ends early \
                 would let another member lead beside this one"
            );
            (&[][..], LOCK_DELAY_MIN)
        }
    };
    json!({
        "Name": name,
        "Checks": checks,
        "LockDelay": written(delay),
        "Behavior": "delete",
        "TTL": written(session_ttl),
    })
}

/// Half of ttl, rounded up, for the lease must not end before we believe it does.
fn half(ttl: Duration) -> Duration {
    let millis = u64::try_from(ttl.as_nanos().div_ceil(1_000_000 * u128::from(MULTIPLIER)));
    Duration::from_millis(millis.unwrap_or(u64::MAX).max(1))
}

/// A time as Consul reads it.
fn written(span: Duration) -> String {
    match span.subsec_nanos() {
        0 => format!("{}s", span.as_secs()),
        _ => format!("{}ms", span.as_nanos().div_ceil(1_000_000)),
    }
}

/// The shortest TTL that Consul takes, out of its refusal of a shorter one.
fn least(text: &str) -> Option<Duration> {
    let range = text.strip_prefix("Invalid Session TTL")?;
    let (least, _) = range.split_once('[')?.1.split_once('=')?;
    let mut rest = least;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let (number, unit) = rest.split_at(digits);
        let letters = unit.find(|one: char| one.is_ascii_digit());
        let (unit, tail) = unit.split_at(letters.unwrap_or(unit.len()));
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        sum += Duration::try_from_secs_f64(number * seconds).ok()?;
        rest = tail;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    #[test]
    fn a_lease_is_never_shorter_than_believed() {
        for millis in [1, 3, 2_501, 20_000, 30_000, 33_333] {
            let ttl = Duration::from_millis(millis);
            let session = half(ttl);
            assert!(session * MULTIPLIER >= ttl, "{ttl:?}");
            assert!(
                session * MULTIPLIER <= ttl + Duration::from_millis(2),
                "{ttl:?}"
            );
        }
        assert_eq!(written(half(TTL)), "15s");
        assert_eq!(written(half(Duration::from_secs(5))), "2500ms");
    }

    #[test]
    fn a_refusal_names_the_shortest_session() {
        let refusal = |range| {
            least(&format!(
                "Invalid Session TTL '1', must be between [{range}]"
            ))
        };
        assert_eq!(refusal("10s=24h0m0s"), Some(Duration::from_secs(10)));
        assert_eq!(refusal("1m30s=24h0m0s"), Some(Duration::from_secs(90)));
        assert_eq!(refusal("1.5s=24h0m0s"), Some(Duration::from_millis(1500)));
        assert_eq!(refusal("500ms=24h0m0s"), Some(Duration::from_millis(500)));
        assert_eq!(refusal("soon=24h0m0s"), None);
        assert_eq!(least("No cluster leader"), None);
    }

    #[test]
    fn where_a_check_may_end_the_session_early_the_key_is_kept_back_until_the_lease_is_over() {
        let delay = |checks: &[String], ttl| {
            let wish = wish("demo-a", checks, ttl, half(ttl));
            let checks = wish.get("Checks").and_then(Value::as_array).map(Vec::len);
            (checks, wish.get("LockDelay").cloned())
        };
        let serf = ["serfHealth".to_owned()];
        assert_eq!(delay(&[], TTL), (Some(0), Some("1ms".into())));
        assert_eq!(delay(&serf, TTL), (Some(1), Some("30s".into())));
        assert_eq!(delay(&serf, TTL * 3), (Some(0), Some("1ms".into())));
    }

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
