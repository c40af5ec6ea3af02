//! The session that this member's keys hang on.
//!
//! Nothing keeps it alive but the port's calls: a lease that nobody renews ends.

use pgherd_ports::DcsError;
use tokio::sync::MutexGuard;
use tokio::time::timeout_at;

use crate::ensemble::{Exchange, Gone};
use crate::link::{Answer, Link};
use crate::login::Session;
use crate::pace::Pace;
use crate::reign::Reign;
use crate::request::Request;
use crate::store::{Standing, Store};

/// My session, and the connection that serves it.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    pub(crate) session: Option<Session>,
    pub(crate) link: Option<Link>,
    /// Begun to succeed it, when ttl changes; keys may hang on either.
    pub(crate) next: Option<(Session, Option<Link>)>,
    reigns: u32,
}

impl Lease {
    /// A name for a reign on `session` that was never used.
    pub(crate) fn new_reign(&mut self, session: i64) -> String {
        self.reigns = self.reigns.wrapping_add(1);
        Reign::name(session, self.reigns)
    }
}

impl Store {
    /// The lease, as soon as nobody else uses it.
    pub(crate) async fn lease(&self, pace: &Pace) -> Result<MutexGuard<'_, Lease>, DcsError> {
        timeout_at(pace.deadline(), self.lease.lock())
            .await
            .map_err(|_| pace.over())
    }

    /// My session; one begins if there is none.
    pub(crate) async fn my_session(
        &self,
        lease: &mut Lease,
        pace: &mut Pace,
    ) -> Result<Session, DcsError> {
        if let Some(session) = lease.session {
            return Ok(session);
        }
        if self.me.is_none() {
            return Err(DcsError::Answered(
                "this client has no lease, for it is not a member".into(),
            ));
        }
        let (link, session) = self.begin_session(pace).await?;
        lease.session = Some(session);
        lease.link = Some(link);
        self.note_sessions(vec![session]);
        Ok(session)
    }

    /// Begins a session with the ttl of now.
    pub(crate) async fn begin_session(&self, pace: &mut Pace) -> Result<(Link, Session), DcsError> {
        loop {
            match self.ensemble.open(Session::new(self.ttl()), pace).await? {
                Ok((link, session)) => {
                    tell(session);
                    return Ok((link, session));
                }
                Err(Gone) => pace.failed("ZooKeeper", "it begins no session", false)?,
            }
        }
    }

    /// Asks on my session; `None`: it has ended. `anew`: on a new connection, by which ZooKeeper's leader counts the
    /// session from now on, whichever server it is made to. Requests alone do not reach it: a follower that was
    /// sent them tells it only later that the session lives, and not at all when it is cut off in between.
    pub(crate) async fn on_lease(
        &self,
        lease: &mut Lease,
        requests: &[Request],
        anew: bool,
        pace: &mut Pace,
    ) -> Result<Option<Vec<Answer>>, DcsError> {
        let Some(session) = lease.session else {
            return Ok(None);
        };
        if anew {
            lease.link = None;
        }
        loop {
            let link = match lease.link.take() {
                Some(link) => link,
                None => match self.ensemble.open(session, pace).await? {
                    Ok((link, again)) => {
                        lease.session = Some(again);
                        self.note_sessions(lease.sessions());
                        link
                    }
                    Err(Gone) => break,
                },
            };
            let exchange = self.ensemble.exchange(link, requests, pace, session.asked);
            match exchange.await? {
                Exchange::Answered(link, answers) => {
                    lease.link = Some(link);
                    return Ok(Some(answers));
                }
                Exchange::SessionGone => break,
                Exchange::Failed => {}
            }
        }
        self.session_ended(lease);
        Ok(None)
    }

    /// My session is known to be gone, and with it all that hung on it.
    pub(crate) fn session_ended(&self, lease: &mut Lease) {
        lease.link = None;
        lease.session = None;
        let next = lease.next.take();
        if let Some((session, link)) = next {
            lease.session = Some(session);
            lease.link = link;
            self.stand(Standing::Unsure);
        } else {
            self.stand(Standing::Not);
        }
        self.note_sessions(lease.sessions());
    }
}

impl Lease {
    /// All sessions that keys of mine may hang on.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        let next = self.next.as_ref().map(|(session, _)| *session);
        self.session.into_iter().chain(next).collect()
    }
}

/// Says when a server grants another time than asked.
fn tell(session: Session) {
    let (asked, lives) = (session.asked, session.lives);
    if lives < asked {
        tracing::warn!(
            "ZooKeeper lets a session live {lives:?} at most, and ttl is {asked:?}: the lease is counted with {lives:?}; \
             raise maxSessionTimeout on all servers or lower ttl"
        );
    } else if lives > asked.mul_f64(1.01) {
        tracing::warn!(
            "ZooKeeper lets a session live {lives:?} at least, and ttl is {asked:?}: a failover takes that much longer; \
             lower minSessionTimeout on all servers or raise ttl"
        );
    }
}
