//! Conditional writes: the condition and the change are one transaction.

use pgherd_domain::Revision;
use pgherd_ports::{Condition, DcsError, Key, Written};

use crate::ask::Attempt;
use crate::fault::Fault;
use crate::pace::Pace;
use crate::session::Session;
use crate::store::Store;
use crate::txn::{Came, Step};

/// How often the key or the session may turn out to have changed within one write.
const ROUNDS_MAX: usize = 4;

/// What is done to a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    Put(&'a str),
    Delete,
}

/// What came of one round.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Round {
    Done(Revision),
    NotLeading,
    SessionGone,
    /// Consul keeps the key back for a moment.
    Delayed,
    /// The key is at another revision than expected, or held by another session.
    Moved {
        revision: Revision,
        held_by: String,
    },
}

/// One round: everything that its transaction is made of.
#[derive(Debug)]
struct Wish<'a> {
    key: &'a Key,
    full: &'a str,
    leader: &'a str,
    change: Change<'a>,
    expected: Revision,
    /// The session that the key is to hang on.
    session: Option<Session>,
    /// The session that it hangs on now, when that is another one.
    held_by: &'a str,
    /// My session, on which the leader key must hang.
    claim: Option<Session>,
}

impl Store {
    /// Writes or deletes a key if `when` holds. Without a condition on the revision it compares with the last one
    /// seen and tries again, so that a write that is late never overtakes its successor.
    pub(crate) async fn write(
        &self,
        key: &Key,
        change: Change<'_>,
        when: Condition,
    ) -> Result<Written, DcsError> {
        let pace = self.operation();
        let _session_stays = self.sessions.in_use.read().await;
        let (full, leader) = (self.prefix.key(key), self.prefix.key(&Key::Leader));
        let once = is_a_claim(key, when);
        if once
            && self
                .http
                .ask(pace, |_| self.entry(key, pace))
                .await?
                .is_some()
        {
            return Ok(Written::Refused);
        }
        let mut held_by = String::new();
        for _ in 0..ROUNDS_MAX {
            let session = match (key, change) {
                (Key::Member(_), Change::Put(_)) => Some(self.my_session(pace).await?.1),
                _ => None,
            };
            let claim = match when.leading {
                true => self.claim()?.map(|(_, session)| session),
                false => None,
            };
            if when.leading && claim.is_none() {
                return Ok(Written::Refused);
            }
            let wish = Wish {
                key,
                full: &full,
                leader: &leader,
                change,
                expected: when.revision.unwrap_or_else(|| self.known(&key.path())),
                session,
                held_by: &held_by,
                claim,
            };
            let pace = if once { pace.once() } else { pace };
            let wish_ = &wish;
            let asked = |attempt| self.round(wish_, attempt, pace);
            match self.http.ask(pace, asked).await? {
                Round::Done(revision) => {
                    self.note(key.path(), revision);
                    self.tell_service(key, change);
                    return Ok(Written::Done(revision));
                }
                Round::NotLeading => return Ok(Written::Refused),
                Round::SessionGone => {
                    if let Some(session) = &wish.session {
                        self.sessions.forget(&session.id);
                    }
                }
                Round::Delayed => tokio::time::sleep(pace.pause).await,
                Round::Moved {
                    revision,
                    held_by: by,
                } => {
                    self.note(key.path(), revision);
                    if when.revision.is_some_and(|wanted| wanted != revision) {
                        return Ok(Written::Refused);
                    }
                    held_by = by;
                }
            }
        }
        Err(DcsError::Answered(format!(
            "`{full}` or the session changed between {ROUNDS_MAX} attempts; try again"
        )))
    }

    /// What my member key says is what the service is registered by.
    fn tell_service(&self, key: &Key, change: Change<'_>) {
        if let (Key::Member(name), Change::Put(value)) = (key, change)
            && self.me.as_ref() == Some(name)
        {
            self.said.send_replace(Some(value.to_owned()));
        }
    }

    async fn round(&self, wish: &Wish<'_>, attempt: Attempt, pace: Pace) -> Result<Round, Fault> {
        let steps = wish.steps();
        match self.transact(&steps, pace).await? {
            Came::Done(revision) => {
                return Ok(Round::Done(match wish.change {
                    Change::Put(_) => revision,
                    Change::Delete => 0,
                }));
            }
            Came::SessionGone => return Ok(Round::SessionGone),
            Came::Delayed => return Ok(Round::Delayed),
            Came::Failed(0) if wish.claim.is_some() => return Ok(Round::NotLeading),
            Came::Failed(_) => {}
        }
        let there = self.entry(wish.key, pace).await?;
        Ok(match (wish.change, there) {
            (Change::Put(value), Some(there)) => {
                let session = wish.session.as_ref().map_or("", |session| &session.id);
                let held_by_it = there.session == session;
                if attempt.is_repeated() && there.value == value && held_by_it {
                    // An earlier attempt of ours brought it there.
                    return Ok(Round::Done(there.revision));
                }
                Round::Moved {
                    revision: there.revision,
                    held_by: match held_by_it {
                        true => String::new(),
                        false => there.session,
                    },
                }
            }
            (Change::Delete, Some(there)) => Round::Moved {
                revision: there.revision,
                held_by: String::new(),
            },
            (Change::Put(_), None) => Round::Moved {
                revision: 0,
                held_by: String::new(),
            },
            // Deleting what is not there is done at once.
            (Change::Delete, None) => Round::Done(0),
        })
    }
}

impl Wish<'_> {
    fn steps(&self) -> Vec<Step<'_>> {
        let key = self.full;
        let mut steps = Vec::new();
        if let Some(claim) = &self.claim {
            steps.push(Step::HeldBy {
                key: self.leader,
                session: &claim.id,
            });
        }
        steps.push(Step::At {
            key,
            revision: self.expected,
        });
        match (self.change, &self.session) {
            // What is not there is not deleted.
            (Change::Delete, _) if self.expected == 0 => {}
            (Change::Delete, _) => steps.push(Step::Delete { key }),
            (Change::Put(value), None) => steps.push(Step::Set {
                key,
                value,
                was_at: self.expected,
            }),
            (Change::Put(value), Some(session)) => {
                if !self.held_by.is_empty() {
                    steps.push(Step::Unlock {
                        key,
                        value,
                        session: self.held_by,
                    });
                }
                steps.push(Step::Lock {
                    key,
                    value,
                    session: &session.id,
                });
            }
        }
        steps
    }
}

/// Whether this creates `initialize`, by which one member claims the right to bootstrap. Two members write the same
/// value there, so a write whose answer was lost can not be recognised as ours: it is sent once, and when its outcome is
/// unknown that is said.
fn is_a_claim(key: &Key, when: Condition) -> bool {
    *key == Key::Initialize && when.revision == Some(0)
}
