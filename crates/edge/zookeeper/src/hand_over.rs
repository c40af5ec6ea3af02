//! Handing the leader key over, without a moment in which nobody holds it.
//!
//! A node can not be put on another session, so the successor makes it: the leader writes the name of its reign into
//! the successor's `heir` node, and the successor, who watches that, deletes the key and creates its own in one
//! transaction, which holds only while the key is that reign's. A leader that waits in vain gives its reign another
//! name, and with that the offer is void; until it knows that this was done, it does not take the key for its own.
//! Members that are Patroni's have no such node: to them the key is released.

use std::time::Duration;

use pgherd_domain::MemberName;
use pgherd_ports::{DcsError, HandOver};
use tokio::time::{Instant, sleep};

use crate::answer::{Outcome, barrier, data, node, outcome};
use crate::leader::ROUNDS_MAX;
use crate::pace::Pace;
use crate::reign::Reign;
use crate::request::{Op, Request};
use crate::store::{Standing, Store};

/// How long a successor is waited for: it is asked by a watch, and needs two transactions.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the leader looks meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// Who holds the key after an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Me,
    Successor,
    Another,
}

impl Store {
    /// Hands the key over to `to`, if it is mine and `to` is there and takes it.
    pub(crate) async fn hand_over(&self, to: &MemberName) -> Result<HandOver, DcsError> {
        let mut pace = self.operation();
        let Some(reign) = self.claim(&pace).await? else {
            return Ok(HandOver::NotMine);
        };
        let door = self.paths.heir(to);
        for _ in 0..ROUNDS_MAX {
            let found = self
                .ask(&[barrier(), data(door.clone())], &mut pace)
                .await?;
            let Some(there) = node(found.get(1))? else {
                return Ok(HandOver::NoLease);
            };
            let mut ops = reign.proof(&self.paths);
            ops.push(Op::Set {
                path: door.clone(),
                value: reign.name.clone(),
                version: there.stat.version,
            });
            self.stand(Standing::Unsure);
            let answers = self.ask(&[Request::Multi(ops)], &mut pace).await?;
            return match outcome(answers.first())? {
                Outcome::Done(_) => self.offered(to, &reign, &mut pace).await,
                // The door changed. When an earlier attempt did it, the offer stands.
                Outcome::Failed { at: 3, .. } if pace.repeated => {
                    self.offered(to, &reign, &mut pace).await
                }
                Outcome::Failed { at: 3, .. } => continue,
                // A successor that was offered it by an earlier attempt may have it already.
                Outcome::Failed { .. } => match self.holder(to, &reign, &mut pace).await? {
                    Holder::Successor if pace.repeated => {
                        self.stand(Standing::Not);
                        Ok(HandOver::Done)
                    }
                    Holder::Me | Holder::Successor | Holder::Another => Ok(HandOver::NotMine),
                },
            };
        }
        Err(DcsError::Answered(format!(
            "`{door}` changed between {ROUNDS_MAX} attempts; try again"
        )))
    }

    /// Waits for the successor, and takes the offer back when it does not come.
    async fn offered(
        &self,
        to: &MemberName,
        reign: &Reign,
        pace: &mut Pace,
    ) -> Result<HandOver, DcsError> {
        let begun = Instant::now();
        let patience = PATIENCE.min((pace.deadline() - begun) / 2);
        loop {
            let taken = match self.holder(to, reign, pace).await? {
                Holder::Successor => HandOver::Done,
                Holder::Another => HandOver::NotMine,
                Holder::Me if begun.elapsed() < patience => {
                    sleep(PAUSE).await;
                    continue;
                }
                Holder::Me => break,
            };
            self.stand(Standing::Not);
            return Ok(taken);
        }
        let mut lease = self.lease(pace).await?;
        match self.rename(&mut lease, reign, pace).await {
            Ok(()) => Ok(HandOver::NoLease),
            // It may have come at the last moment.
            Err(error) => match self.holder(to, reign, pace).await? {
                Holder::Successor => {
                    self.stand(Standing::Not);
                    Ok(HandOver::Done)
                }
                Holder::Me | Holder::Another => Err(error),
            },
        }
    }

    async fn holder(
        &self,
        to: &MemberName,
        reign: &Reign,
        pace: &mut Pace,
    ) -> Result<Holder, DcsError> {
        let found = self
            .ask(&[barrier(), data(self.paths.leader())], pace)
            .await?;
        Ok(match node(found.get(1))? {
            Some(leader) if leader.stat.owner == reign.owner => Holder::Me,
            Some(leader) if leader.value == to.as_str() => Holder::Successor,
            Some(_) | None => Holder::Another,
        })
    }

    /// Takes the key that somebody offers to me, if it is still that reign's. `false`: there is no such offer.
    pub(crate) async fn take_over(&self, me: &MemberName) -> Result<bool, DcsError> {
        let mut pace = self.operation();
        let mut lease = self.lease(&pace).await?;
        let look = [
            barrier(),
            data(self.paths.leader()),
            data(self.paths.term()),
            data(self.paths.heir(me)),
        ];
        let Some(found) = self.on_lease(&mut lease, &look, false, &mut pace).await? else {
            return Ok(false);
        };
        let Some(session) = lease.session else {
            return Ok(false);
        };
        let reign = Reign::of(node(found.get(1))?, node(found.get(2))?);
        let (Some(reign), Some(door)) = (reign, node(found.get(3))?) else {
            return Ok(false);
        };
        let offered = door.value == reign.name && door.stat.owner == session.id;
        if !offered || reign.owner == session.id {
            return Ok(false);
        }
        let mut ops = vec![Op::Set {
            path: self.paths.heir(me),
            value: String::new(),
            version: door.stat.version,
        }];
        ops.extend(reign.end(&self.paths));
        self.take(&mut lease, session, ops, &mut pace).await
    }
}
