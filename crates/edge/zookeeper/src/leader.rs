//! The leader key: taking it and giving it up (contract §4.6).

use pgherd_domain::MemberName;
use pgherd_ports::{Acquisition, DcsError};

use crate::answer::{Outcome, barrier, data, node, outcome};
use crate::lease::Lease;
use crate::login::Session;
use crate::pace::Pace;
use crate::reign::Reign;
use crate::request::{Op, Request, Stat};
use crate::store::{Standing, Store};

/// How often the session may turn out to be gone, or the key to change, within one operation.
pub(crate) const ROUNDS_MAX: usize = 4;

impl Store {
    /// Creates the leader key on my session. A key with my name on the session of a former life is taken over, if it
    /// was pgherd that wrote it; one that Patroni wrote before it was killed ends by itself, for nothing proves in a
    /// transaction that it is still that one.
    pub(crate) async fn acquire_leader(&self) -> Result<Acquisition, DcsError> {
        let mut pace = self.operation();
        let mut lease = self.lease(&pace).await?;
        for _ in 0..ROUNDS_MAX {
            let session = self.my_session(&mut lease, &mut pace).await?;
            let me = self.me.as_ref().map_or("", MemberName::as_str);
            let look = [
                barrier(),
                data(self.paths.leader()),
                data(self.paths.term()),
            ];
            let Some(found) = self.on_lease(&mut lease, &look, false, &mut pace).await? else {
                continue;
            };
            let (leader, term) = (node(found.get(1))?, node(found.get(2))?);
            if term.is_none() {
                self.ensure_parents(&mut pace).await?;
                continue;
            }
            let reign = Reign::of(leader, term);
            let ops = match (leader, reign) {
                (None, _) => Vec::new(),
                (Some(leader), Some(reign)) if leader.stat.owner == session.id => {
                    if self.standing() != Standing::Leading(reign.clone()) {
                        self.rename(&mut lease, &reign, &mut pace).await?;
                    }
                    return Ok(Acquisition::Mine);
                }
                (Some(leader), Some(reign)) if leader.value == me => reign.end(&self.paths),
                (Some(leader), None) if leader.stat.owner == session.id => {
                    let (leader, term) = (leader.stat, term.map(|term| term.stat));
                    self.drop_key(&mut lease, leader, term, &mut pace).await?;
                    continue;
                }
                (Some(_), Some(_) | None) => return Ok(Acquisition::Taken),
            };
            if self.take(&mut lease, session, ops, &mut pace).await? {
                return Ok(Acquisition::Mine);
            }
        }
        Err(DcsError::Answered(format!(
            "the session or the leader key changed between {ROUNDS_MAX} attempts; try again"
        )))
    }

    /// Creates the key on `session`, after `first`. `false`: something had changed, or the session has ended.
    pub(crate) async fn take(
        &self,
        lease: &mut Lease,
        session: Session,
        first: Vec<Op>,
        pace: &mut Pace,
    ) -> Result<bool, DcsError> {
        let me = self.me.as_ref().map_or("", MemberName::as_str);
        let name = lease.new_reign(session.id);
        let mut ops = first;
        ops.extend(Reign::begin(&self.paths, me, &name));
        self.stand(Standing::Unsure);
        let asked = [Request::Multi(ops)];
        let Some(answers) = self.on_lease(lease, &asked, false, pace).await? else {
            return Ok(false);
        };
        Ok(match outcome(answers.first())? {
            Outcome::Done(stats) => {
                self.stand(Standing::Leading(Reign {
                    owner: session.id,
                    name,
                    term: term_of(&stats),
                }));
                true
            }
            // An earlier attempt whose answer was lost may have done it: the next look tells.
            Outcome::Failed { .. } => {
                if !pace.repeated {
                    self.stand(Standing::Not);
                }
                false
            }
        })
    }

    /// Gives a reign of mine another name, on a new connection, and by that proves that the key is mine. It also
    /// makes void what may still be under way for the old one.
    pub(crate) async fn rename(
        &self,
        lease: &mut Lease,
        reign: &Reign,
        pace: &mut Pace,
    ) -> Result<(), DcsError> {
        let name = lease.new_reign(reign.owner);
        self.stand(Standing::Unsure);
        let asked = [Request::Multi(reign.rename(&self.paths, &name))];
        let changed = || DcsError::Answered("the leader key changed meanwhile; try again".into());
        let answers = self.on_lease(lease, &asked, true, pace).await?;
        let answers = answers.ok_or_else(changed)?;
        match outcome(answers.first())? {
            Outcome::Done(stats) => {
                self.stand(Standing::Leading(Reign {
                    owner: reign.owner,
                    name,
                    term: term_of(&stats),
                }));
                Ok(())
            }
            Outcome::Failed { .. } => Err(changed()),
        }
    }

    /// Deletes a leader key that hangs on my session but is not as I wrote it: somebody has written it by hand.
    pub(crate) async fn drop_key(
        &self,
        lease: &mut Lease,
        leader: Stat,
        term: Option<Stat>,
        pace: &mut Pace,
    ) -> Result<(), DcsError> {
        tracing::warn!("the leader key was changed by hand; delete it");
        self.stand(Standing::Unsure);
        let same_term = term.map(|term| Op::Check {
            path: self.paths.term(),
            version: term.version,
        });
        let delete = Op::Delete {
            path: self.paths.leader(),
            version: leader.version,
        };
        let asked = [Request::Multi(
            same_term.into_iter().chain([delete]).collect(),
        )];
        if let Some(answers) = self.on_lease(lease, &asked, false, pace).await? {
            outcome(answers.first())?;
            self.stand(Standing::Not);
        }
        Ok(())
    }

    /// Deletes the leader key if it holds my name.
    pub(crate) async fn release_leader(&self) -> Result<bool, DcsError> {
        let Some(me) = &self.me else {
            return Ok(false);
        };
        let mut pace = self.operation();
        let mut perhaps = false;
        for _ in 0..ROUNDS_MAX {
            let look = [
                barrier(),
                data(self.paths.leader()),
                data(self.paths.term()),
            ];
            let found = self.ask(&look, &mut pace).await?;
            let (leader, term) = (node(found.get(1))?, node(found.get(2))?);
            let reign = Reign::of(leader, term);
            let mine = leader.is_some_and(|leader| leader.value == me.as_str());
            let Some(reign) = reign.filter(|_| mine) else {
                if !mine {
                    self.stand(Standing::Not);
                }
                return Ok(perhaps && !mine);
            };
            self.stand(Standing::Unsure);
            pace.repeated = false;
            let asked = [Request::Multi(reign.end(&self.paths))];
            let answers = self.ask(&asked, &mut pace).await?;
            if let Outcome::Done(_) = outcome(answers.first())? {
                self.stand(Standing::Not);
                return Ok(true);
            }
            perhaps |= pace.repeated;
        }
        Err(DcsError::Answered(format!(
            "the leader key changed between {ROUNDS_MAX} attempts; try again"
        )))
    }

    /// Ends my session; all that hangs on it is gone.
    pub(crate) async fn leave(&self) -> Result<(), DcsError> {
        let mut pace = self.operation();
        let mut lease = self.lease(&pace).await?;
        // Two while one succeeds the other.
        for _ in 0..2 {
            if lease.session.is_none() {
                break;
            }
            let closing = [Request::Close];
            if self
                .on_lease(&mut lease, &closing, false, &mut pace)
                .await?
                .is_some()
            {
                self.session_ended(&mut lease);
            }
        }
        self.stand(Standing::Not);
        Ok(())
    }
}

/// The version of the term out of a transaction that set it last of all that it set.
pub(crate) fn term_of(stats: &[Option<Stat>]) -> i32 {
    let last = stats.iter().rev().find_map(|stat| *stat);
    last.map_or(-2, |stat| stat.version)
}
