//! Keeping the session alive, and proving who leads (contract §4.6).
//!
//! A renewal of a leader is one transaction on a new connection. ZooKeeper's leader counts the session anew when the
//! connection is made, and the transaction behind it passes a majority: so it was the leader indeed, and whoever
//! leads ZooKeeper next counts the session from a later moment. The lease that is believed begins before both.

use pgherd_ports::{DcsError, Leading, Renewal};

use crate::answer::{Outcome, barrier, data, node, of_others, outcome};
use crate::lease::Lease;
use crate::pace::Pace;
use crate::reign::Reign;
use crate::request::Request;
use crate::store::{Standing, Store};

impl Store {
    /// Renews once.
    pub(crate) async fn renew(&self) -> Result<Renewal, DcsError> {
        let mut pace = self.renewal();
        let mut lease = self.lease(&pace).await?;
        self.follow_ttl(&mut lease, &mut pace).await?;
        let standing = self.standing();
        let first = match &standing {
            Standing::Leading(reign) => Request::Multi(reign.proof(&self.paths)),
            Standing::Not | Standing::Unsure => barrier(),
        };
        let asked = [first, data(self.paths.leader()), data(self.paths.term())];
        let anew = standing != Standing::Not;
        let Some(found) = self.on_lease(&mut lease, &asked, anew, &mut pace).await? else {
            return self.without_lease(&mut lease, &mut pace).await;
        };
        if matches!(standing, Standing::Leading(_))
            && matches!(outcome(found.first())?, Outcome::Done(_))
        {
            return Ok(alive(Leading::Me));
        }
        let (leader, term) = (node(found.get(1))?, node(found.get(2))?);
        let Some(mine) = leader.filter(|leader| self.is_mine(leader.stat.owner)) else {
            self.stand(Standing::Not);
            return Ok(alive(of_others(leader)));
        };
        // It hangs on my session, though what I knew of it does not prove it: an answer was lost, or it was handed
        // to somebody who did not take it.
        match Reign::of(leader, term) {
            Some(reign) => {
                self.rename(&mut lease, &reign, &mut pace).await?;
                Ok(alive(Leading::Me))
            }
            None => {
                let term = term.map(|term| term.stat);
                self.drop_key(&mut lease, mine.stat, term, &mut pace)
                    .await?;
                Ok(alive(Leading::Nobody))
            }
        }
    }

    /// What is said when there is no session.
    async fn without_lease(&self, lease: &mut Lease, pace: &mut Pace) -> Result<Renewal, DcsError> {
        if lease.session.is_some() {
            return Err(DcsError::Answered(
                "the session has ended, and another is about to succeed it; try again".into(),
            ));
        }
        let found = self
            .ask(&[barrier(), data(self.paths.leader())], pace)
            .await?;
        Ok(Renewal {
            alive: false,
            leading: of_others(node(found.get(1))?),
        })
    }
}

const fn alive(leading: Leading) -> Renewal {
    Renewal {
        alive: true,
        leading,
    }
}
