//! Keeping the session alive, and moving to another one when ttl changes (contract §4.6).

use pgherd_domain::MemberName;
use pgherd_ports::{DcsError, Key, Renewal};

use crate::fault::Fault;
use crate::kv::Entry;
use crate::pace::Pace;
use crate::session::Session;
use crate::store::{Store, leading};
use crate::txn::{Came, Step};

impl Store {
    /// Reads who holds the leader key and then renews the session once. The order matters: a server that was cut off, or
    /// frozen, and does not know yet that it leads no more would take a renewal that its successor never hears of. The
    /// read is one that only a leader with a quorum behind it answers, and whoever is elected after that begins to count
    /// the session anew. So the session lives for a whole ttl from the moment before the read, whatever the server is
    /// that took the renewal.
    pub(crate) async fn renew(&self) -> Result<Renewal, DcsError> {
        let pace = self.renewal();
        self.follow_ttl(pace).await?;
        let session = self.sessions.current();
        let mine = session.as_ref();
        let (holder, alive) = self
            .http
            .ask(pace, |_| async move {
                let holder = self.entry(&Key::Leader, pace).await?;
                let alive = match mine {
                    Some(session) => self.renew_session(&session.id, pace).await?,
                    None => false,
                };
                Ok((holder, alive))
            })
            .await?;
        if !alive && let Some(session) = &session {
            self.sessions.forget(&session.id);
        }
        let me = self.me.as_ref().map(MemberName::as_str);
        let claim = me.zip(session.as_ref().filter(|_| alive));
        Ok(Renewal {
            alive,
            leading: leading(holder.as_ref(), claim),
        })
    }

    /// When ttl has changed: a new session, the keys moved onto it, the old one ended. While it is not known whether the
    /// keys have moved the renewal counts as unknown.
    async fn follow_ttl(&self, pace: Pace) -> Result<(), DcsError> {
        let Some(current) = self.sessions.current() else {
            self.sessions.set_next(None);
            return Ok(());
        };
        let ttl = self.sessions.ttl();
        if current.ttl == ttl && self.sessions.next().is_none() {
            return Ok(());
        }
        // Writes that rely on the session come first; the next renewal is soon.
        let Ok(_nobody_else) = self.sessions.in_use.try_write() else {
            return Ok(());
        };
        let next = match self.sessions.next() {
            Some(next) => next,
            None => match self.make_session(ttl, pace).await {
                Ok(next) => next,
                // Nothing has moved yet: the current session serves on.
                Err(error) => {
                    tracing::warn!(%error, "cannot get a session with the new ttl; keep the old one");
                    return Ok(());
                }
            },
        };
        self.sessions.set_next(Some(next.clone()));
        let (from, to) = (&current, &next);
        let moved = self.http.ask(pace, |_| self.move_keys(from, to, pace));
        if !moved.await? {
            self.sessions.set_next(None);
            return Ok(());
        }
        if let Some(former) = self.sessions.succeed()
            && let Err(error) = self.end_session(&former.id, pace).await
        {
            tracing::debug!(%error, "cannot end the former session; it ends by itself");
        }
        Ok(())
    }

    /// Moves the leader key and the member key from one session to the other, in one step. `false`: the new one is gone.
    async fn move_keys(&self, from: &Session, to: &Session, pace: Pace) -> Result<bool, Fault> {
        let Some(me) = &self.me else {
            return Ok(true);
        };
        let mut held: Vec<Entry> = Vec::new();
        for key in [Key::Leader, Key::Member(me.clone())] {
            let there = self.entry(&key, pace).await?;
            held.extend(there.filter(|entry| entry.session == from.id));
        }
        if held.is_empty() {
            return Ok(true);
        }
        let steps: Vec<Step<'_>> = held
            .iter()
            .flat_map(|entry| {
                let (key, value) = (entry.key.as_str(), entry.value.as_str());
                [
                    Step::At {
                        key,
                        revision: entry.revision,
                    },
                    Step::Unlock {
                        key,
                        value,
                        session: &from.id,
                    },
                    Step::Lock {
                        key,
                        value,
                        session: &to.id,
                    },
                ]
            })
            .collect();
        match self.transact(&steps, pace).await? {
            Came::Done(_) => Ok(true),
            Came::SessionGone => Ok(false),
            Came::Failed(_) | Came::Delayed => Err(Fault::answered(
                "the keys changed while they were to move to a session with the new ttl",
            )),
        }
    }
}
