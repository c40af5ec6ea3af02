//! Another ttl: a session keeps the time it began with, so the keys move to a new one in one transaction.
//!
//! ZooKeeper would let a session be taken up with another time; but whoever leads ZooKeeper next counts it with the
//! time of its beginning, and a lease that was believed longer would end too soon.

use pgherd_domain::MemberName;
use pgherd_ports::{DcsError, Key};

use crate::answer::{Outcome, barrier, data, node, outcome};
use crate::ensemble::Exchange;
use crate::leader::{ROUNDS_MAX, term_of};
use crate::lease::Lease;
use crate::link::{Answer, Link};
use crate::login::Session;
use crate::pace::Pace;
use crate::reign::Reign;
use crate::request::{ANY_VERSION, Node, Op, Request};
use crate::store::{Standing, Store};

impl Store {
    /// When ttl has changed: another session, and the keys on it. While it is not known whether the keys have moved
    /// the renewal counts as unknown.
    pub(crate) async fn follow_ttl(
        &self,
        lease: &mut Lease,
        pace: &mut Pace,
    ) -> Result<(), DcsError> {
        let Some(current) = lease.session else {
            return Ok(());
        };
        if lease.next.is_none() {
            if current.asked == self.ttl() {
                return Ok(());
            }
            match self.begin_session(pace).await {
                Ok((link, session)) => lease.next = Some((session, Some(link))),
                // Nothing has moved yet: the current one serves on.
                Err(error) => {
                    tracing::warn!(%error, "cannot begin a session with the new ttl; keep the old one");
                    return Ok(());
                }
            }
            self.note_sessions(lease.sessions());
        }
        for _ in 0..ROUNDS_MAX {
            if self.move_keys(lease, current, pace).await? {
                return Ok(());
            }
        }
        Err(DcsError::Answered(format!(
            "the keys changed between {ROUNDS_MAX} attempts to move them to a new session; try again"
        )))
    }

    /// `true`: nothing hangs on the former session any more, and the next one is mine.
    async fn move_keys(
        &self,
        lease: &mut Lease,
        current: Session,
        pace: &mut Pace,
    ) -> Result<bool, DcsError> {
        let next = lease.next.as_mut().map(|(next, link)| (*next, link.take()));
        let (Some((next, link)), Some(me)) = (next, &self.me) else {
            return Ok(true);
        };
        let Some(mut link) = self.up_again(next, link, pace).await? else {
            // It ended before anything hung on it, or with all that did: the next renewal begins another.
            lease.next = None;
            self.note_sessions(lease.sessions());
            return Ok(true);
        };
        let look = [
            barrier(),
            data(self.paths.leader()),
            data(self.paths.term()),
            data(self.paths.key(&Key::Member(me.clone()))),
            data(self.paths.heir(me)),
        ];
        let found = match self
            .ensemble
            .exchange(link, &look, pace, next.asked)
            .await?
        {
            Exchange::Answered(good, found) => {
                link = good;
                found
            }
            Exchange::SessionGone | Exchange::Failed => return Ok(false),
        };
        let name = lease.new_reign(next.id);
        let (ops, reigns) = self.moving(&found, current, me, &name)?;
        if !ops.is_empty() {
            if reigns {
                self.stand(Standing::Unsure);
            }
            let asked = [Request::Multi(ops)];
            let done = match self
                .ensemble
                .exchange(link, &asked, pace, next.asked)
                .await?
            {
                Exchange::Answered(good, done) => {
                    link = good;
                    done
                }
                Exchange::SessionGone | Exchange::Failed => return Ok(false),
            };
            match outcome(done.first())? {
                Outcome::Failed { .. } => return Ok(false),
                Outcome::Done(stats) if reigns => self.stand(Standing::Leading(Reign {
                    owner: next.id,
                    name,
                    term: term_of(&stats),
                })),
                Outcome::Done(_) => {}
            }
        }
        self.succeed(lease, next, link).await;
        Ok(true)
    }

    /// What puts the keys that hang on `current` onto the session that asks; `true`: the leader key is among them.
    fn moving(
        &self,
        found: &[Answer],
        current: Session,
        me: &MemberName,
        reign: &str,
    ) -> Result<(Vec<Op>, bool), DcsError> {
        let (leader, term) = (node(found.get(1))?, node(found.get(2))?);
        let on_current = |node: &&Node| node.stat.owner == current.id;
        let mut ops = Vec::new();
        let member = self.paths.key(&Key::Member(me.clone()));
        for (path, at) in [(self.paths.heir(me), 4), (member, 3)] {
            if let Some(node) = node(found.get(at))?.filter(on_current) {
                ops.extend(moved(&path, &node.value));
            }
        }
        match (leader.filter(on_current), Reign::of(leader, term)) {
            (Some(_), Some(old)) => {
                ops.extend(old.end(&self.paths));
                ops.extend(Reign::begin(&self.paths, me.as_str(), reign));
                Ok((ops, true))
            }
            // Written by hand: it is not carried over, and ends with the former session.
            (Some(_) | None, _) => Ok((ops, false)),
        }
    }

    /// The link of the next session, made if needed; `None`: the session has ended.
    async fn up_again(
        &self,
        next: Session,
        link: Option<Link>,
        pace: &mut Pace,
    ) -> Result<Option<Link>, DcsError> {
        if link.is_some() {
            return Ok(link);
        }
        let open = self.ensemble.open(next, pace).await?;
        Ok(open.ok().map(|(link, _)| link))
    }

    /// The next session is mine; the former one is closed, or ends by itself.
    async fn succeed(&self, lease: &mut Lease, next: Session, link: Link) {
        let former = lease.link.replace(link);
        lease.session = Some(next);
        lease.next = None;
        self.note_sessions(lease.sessions());
        if let Some(former) = former {
            let mut pace = self.renewal();
            let closing = [Request::Close];
            let closed = self
                .ensemble
                .exchange(former, &closing, &mut pace, next.asked);
            if let Err(error) = closed.await {
                tracing::debug!(%error, "cannot close the former session; it ends by itself");
            }
        }
    }
}

/// The same node, on the session that asks.
fn moved(path: &str, value: &str) -> [Op; 3] {
    [
        Op::Delete {
            path: path.to_owned(),
            version: ANY_VERSION,
        },
        Op::Create {
            path: path.to_owned(),
            value: value.to_owned(),
            ephemeral: true,
        },
        // As everywhere: no key of ours stays at version 0, which Patroni takes for none (contract §4.6).
        Op::Set {
            path: path.to_owned(),
            value: value.to_owned(),
            version: 0,
        },
    ]
}
