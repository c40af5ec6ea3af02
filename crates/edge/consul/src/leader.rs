//! The leader key: taking it, giving it up, handing it over (contract §4.6).

use pgherd_domain::MemberName;
use pgherd_ports::{Acquisition, DcsError, HandOver, Key};

use crate::ask::Attempt;
use crate::fault::Fault;
use crate::kv::Entry;
use crate::pace::Pace;
use crate::session::Session;
use crate::store::Store;
use crate::txn::{Came, Step};

/// How often the session may turn out to be gone, or the key to change, within one acquisition.
const ROUNDS_MAX: usize = 5;

/// What came of one attempt to take the key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Taking {
    Mine,
    Taken,
    /// It holds my name on a session of a former life.
    FormerLife(Entry),
    /// It went away meanwhile, or Consul keeps it back for a moment.
    Again,
    SessionGone,
}

impl Store {
    /// Creates the leader key on my session. A key with my name on another session is taken over: that was this member
    /// before it restarted.
    pub(crate) async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        let pace = self.operation();
        let _session_stays = self.sessions.in_use.read().await;
        let mut former = None;
        let mut delayed = 0;
        for _ in 0..ROUNDS_MAX {
            let (me, session, fresh) = self.my_session(pace).await?;
            let (session, former_) = (&session, &former);
            let take = |_| self.take(me, session, fresh, former_.as_ref(), pace);
            match self.http.ask(pace, take).await? {
                Taking::Mine => return Ok(Acquisition::Mine),
                Taking::Taken => return Ok(Acquisition::Taken),
                Taking::FormerLife(entry) => former = Some(entry),
                Taking::Again => {
                    (former, delayed) = (None, delayed + 1);
                    // The delay of a session without checks is a millisecond.
                    tokio::time::sleep(crate::pace::pause(self.sessions.ttl()) / 10).await;
                }
                Taking::SessionGone => self.sessions.forget(&session.id),
            }
        }
        let why = match delayed {
            ROUNDS_MAX => {
                "Consul keeps the leader key back because a session that held it has ended"
            }
            _ => "the session or the leader key changed between several attempts",
        };
        Err(DcsError::Answered(format!(
            "{}: {why}; try again",
            self.http.url()
        )))
    }

    /// One transaction for the key, and before it a renewal: who takes the key must have a whole ttl.
    async fn take(
        &self,
        me: &str,
        session: &Session,
        fresh: bool,
        former: Option<&Entry>,
        pace: Pace,
    ) -> Result<Taking, Fault> {
        if !fresh && !self.renew_session(&session.id, pace).await? {
            return Ok(Taking::SessionGone);
        }
        let key = self.prefix.key(&Key::Leader);
        let key = key.as_str();
        let at = |revision| Step::At { key, revision };
        let lock = Step::Lock {
            key,
            value: me,
            session: &session.id,
        };
        let steps = match former {
            None => vec![at(0), lock],
            Some(former) if former.session.is_empty() => vec![at(former.revision), lock],
            Some(former) => {
                let unlock = Step::Unlock {
                    key,
                    value: me,
                    session: &former.session,
                };
                vec![at(former.revision), unlock, lock]
            }
        };
        match self.transact(&steps, pace).await? {
            Came::Done(_) => return Ok(Taking::Mine),
            Came::SessionGone => return Ok(Taking::SessionGone),
            Came::Delayed => return Ok(Taking::Again),
            Came::Failed(_) => {}
        }
        Ok(match self.entry(&Key::Leader, pace).await? {
            Some(holder) if holder.is(me, session) => Taking::Mine,
            Some(holder) if holder.value == me => Taking::FormerLife(holder),
            Some(_) => Taking::Taken,
            None => Taking::Again,
        })
    }

    /// Deletes the leader key if it holds my name.
    pub(crate) async fn release_leader(&self) -> Result<bool, DcsError> {
        let Some(me) = &self.me else {
            return Ok(false);
        };
        let _session_stays = self.sessions.in_use.read().await;
        let pace = self.operation();
        self.http
            .ask(pace, |attempt| self.release(me.as_str(), attempt, pace))
            .await
    }

    async fn release(&self, me: &str, attempt: Attempt, pace: Pace) -> Result<bool, Fault> {
        let key = self.prefix.key(&Key::Leader);
        let key = key.as_str();
        let Some(holder) = self.entry(&Key::Leader, pace).await? else {
            // An earlier attempt of ours may have deleted it.
            return Ok(attempt.is_repeated());
        };
        if holder.value != me {
            return Ok(false);
        }
        let at = Step::At {
            key,
            revision: holder.revision,
        };
        match self.transact(&[at, Step::Delete { key }], pace).await? {
            Came::Done(_) => Ok(true),
            Came::Failed(_) | Came::SessionGone | Came::Delayed => Err(Fault::answered(format!(
                "`{key}` changed while it was to be released"
            ))),
        }
    }

    /// Puts `to` into the leader key on its own session, if the key is mine.
    pub(crate) async fn hand_over(&self, to: &MemberName) -> Result<HandOver, DcsError> {
        let pace = self.operation();
        let _session_stays = self.sessions.in_use.read().await;
        let Some((me, mine)) = self.claim()? else {
            return Ok(HandOver::NotMine);
        };
        let member = Key::Member(to.clone());
        let theirs = self.http.ask(pace, |_| self.entry(&member, pace)).await?;
        let theirs = theirs.map(|entry| entry.session);
        let Some(theirs) = theirs.filter(|session| !session.is_empty()) else {
            return Ok(HandOver::NoLease);
        };
        let leader = self.prefix.key(&Key::Leader);
        let member = self.prefix.key(&member);
        let steps = [
            Step::HeldBy {
                key: &leader,
                session: &mine.id,
            },
            Step::HeldBy {
                key: &member,
                session: &theirs,
            },
            Step::Unlock {
                key: &leader,
                value: me,
                session: &mine.id,
            },
            Step::Lock {
                key: &leader,
                value: to.as_str(),
                session: &theirs,
            },
        ];
        let (steps, mine, theirs) = (&steps, &mine, theirs.as_str());
        self.http
            .ask(pace, |attempt| async move {
                match self.transact(steps, pace).await? {
                    Came::Done(_) => return Ok(HandOver::Done),
                    Came::SessionGone => return Ok(HandOver::NoLease),
                    Came::Failed(_) | Came::Delayed => {}
                }
                Ok(match self.entry(&Key::Leader, pace).await? {
                    Some(holder) if holder.is(me, mine) => HandOver::NoLease,
                    Some(holder)
                        if attempt.is_repeated()
                            && holder.value == to.as_str()
                            && holder.session == theirs =>
                    {
                        HandOver::Done
                    }
                    Some(_) | None => HandOver::NotMine,
                })
            })
            .await
    }

    /// Takes my member key and, if it is mine, the leader key away, and ends the session. The keys go first: those that
    /// a session takes along when it ends are kept from others for a while.
    pub(crate) async fn leave(&self) -> Result<(), DcsError> {
        let Some(me) = &self.me else {
            return Ok(());
        };
        self.said.send_replace(None);
        let (keys, service) = tokio::join!(self.give_up_keys(me), self.deregister());
        if let Err(error) = service {
            tracing::warn!(
                "the service stays in Consul's catalog until its check has failed: {error}"
            );
        }
        keys
    }

    async fn give_up_keys(&self, me: &MemberName) -> Result<(), DcsError> {
        let pace = self.operation();
        self.http
            .ask(pace, |attempt| self.release(me.as_str(), attempt, pace))
            .await?;
        let member = self.prefix.key(&Key::Member(me.clone()));
        let gone = [Step::Delete { key: &member }];
        let gone = gone.as_slice();
        self.http.ask(pace, |_| self.transact(gone, pace)).await?;
        let sessions = [self.sessions.current(), self.sessions.next()];
        for session in sessions.into_iter().flatten() {
            self.end_session(&session.id, pace).await?;
            self.sessions.forget(&session.id);
        }
        Ok(())
    }
}
