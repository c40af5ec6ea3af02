//! One look at the world: every source on its own, all in parallel, each with its deadline.

use std::time::Duration;

use pgherd_decide::{demote_budget, serves_until};
use pgherd_domain::{FailsafeSeen, Observation, Request, RequestId, Standing, WorkKind};
use pgherd_ports::{Asked, DcsError};

use crate::Agent;
use crate::act::needs_the_lease;

/// A look at the server that is older than this is taken again when a work has ended since.
const OLD: Duration = Duration::from_millis(50);

impl Agent {
    /// Looks at everything that one turn may look at.
    pub(crate) async fn observe(&mut self) -> Observation {
        let (worked, began) = (self.worker.works(), self.ports.clock.now());
        let (dcs, mut postgres) = tokio::join!(self.load_cluster(), self.ports.postgres.observe());
        let work = self.worker.seen();
        let took = self.ports.clock.now().since(began);
        if worked && work.running.is_none() && took > OLD {
            // It ended while the DCS was read: a server that has come up since would be taken for one that is down.
            postgres = self.ports.postgres.observe().await;
        }
        let now = self.ports.clock.now();
        let wall = self.ports.clock.wall();
        let fact = std::mem::replace(&mut self.dcs, super::agent::nothing_seen());
        self.dcs = match dcs {
            Ok(view) => {
                self.read_began = Some(began);
                self.last_read = Some((std::sync::Arc::new(view.clone()), now, wall));
                pgherd_domain::Fact::seen(view, now)
            }
            Err(error) => {
                let knows = self.last_read.is_some() || postgres.runs_as_primary();
                self.locked_out = locked_out(&error).filter(|_| !knows);
                fact.failed(error.to_string(), now)
            }
        };
        if !postgres.runs_as_primary() {
            self.board.loss_is_settled();
        }
        self.votes
            .note_busy(work.kind().is_some_and(|kind| kind != WorkKind::Checkpoint));
        let lease = self.board.seen();
        let making_a_primary = work
            .running
            .as_ref()
            .is_some_and(|(work, _, _)| needs_the_lease(work));
        if lease.standing == Standing::NotHeld && !postgres.runs_as_primary() && !making_a_primary {
            self.promises.sit();
        }
        let failsafe = FailsafeSeen {
            promised: self.promises.binding(now),
            confirmed: self.board.led_by_promises(),
            accepted: self.board.accepted(),
            slots: self.promises.told(now),
        };
        let (peers, upstream) = self.inquiries.seen();
        Observation {
            now,
            wall,
            dcs: self.dcs.clone(),
            lease,
            postgres,
            peers,
            upstream,
            work,
            failsafe,
            unfenced: self.ports.fence.trouble(),
            watchdog: self.ports.watchdog.seen(),
            voted: self.votes.since(self.read_began),
            effects: std::mem::take(&mut self.effects),
            requests: self.take_requests(),
            shutdown: *self.shutdown.borrow(),
        }
    }

    /// Reads the cluster. While a lease is held the read may not take longer than the lease lets it:
    /// then it counts as unanswered, and the turn decides without it.
    async fn load_cluster(&self) -> Result<pgherd_domain::ClusterView, DcsError> {
        let clock = &self.ports.clock;
        let lease = self.board.seen();
        let now = clock.now();
        let watchdog = self.ports.watchdog.seen();
        let budget = demote_budget(watchdog.span_of(self.spec.ttl));
        let limit = match (lease.standing, serves_until(&lease, &watchdog)) {
            (Standing::Held, Some(until)) => until.minus(budget),
            (_, _) => now.plus(self.spec.retry_timeout),
        };
        // Even with little left it gets a moment: the answer may be what saves the lease.
        let limit = limit.max(now.plus(self.spec.ttl / 20));
        tokio::select! {
            biased;
            view = self.ports.dcs.load() => view,
            () = clock.sleep_until(limit) => {
                let waited = limit.since(now);
                Err(DcsError::TimedOut(waited, "the read of the cluster".to_owned()))
            }
        }
    }

    fn take_requests(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        while let Ok(Asked { operation, reply }) = self.requests.try_recv() {
            let id = RequestId(self.next_request);
            self.next_request += 1;
            self.replies.insert(id, reply);
            requests.push(Request { id, operation });
        }
        requests
    }
}

/// What etcd says of a user or a password that it does not know. Waiting does not heal that; a user who may not read
/// these keys is another matter.
fn locked_out(error: &DcsError) -> Option<String> {
    match error {
        DcsError::Denied(why) if why.contains("authentication failed") => Some(why.clone()),
        DcsError::Denied(_)
        | DcsError::TimedOut(..)
        | DcsError::Unreachable(_)
        | DcsError::Answered(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wrong_user_or_password_is_hopeless() {
        let wrong = "e1: etcdserver: authentication failed, invalid user ID or password";
        assert_eq!(
            locked_out(&DcsError::Denied(wrong.to_owned())),
            Some(wrong.to_owned())
        );
        let barred = DcsError::Denied("e1: etcdserver: permission denied".to_owned());
        assert_eq!(locked_out(&barred), None);
        assert_eq!(locked_out(&DcsError::Unreachable(wrong.to_owned())), None);
    }
}
