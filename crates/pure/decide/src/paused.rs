//! Pause: nothing is started, stopped, promoted or demoted by itself (contract §13). What an operator orders is brought
//! to its end.

use pgherd_domain::{Action, MemberName, Notice, PgRole, Reason, Veto};

use crate::following::is_streaming_from;
use crate::turn::Turn;

impl Turn<'_> {
    /// PostgreSQL does not run.
    pub(crate) fn recover_paused(&mut self, leading: bool) {
        if leading {
            self.say(Reason::Says(
                "removed leader lock because postgres is not running",
            ));
            self.actions.push(Action::ReleaseLeader { optime: None });
            return;
        }
        // What an operator ordered is brought to its end: it was stopped for that, or copied.
        let copied = self.memory.copy_is_untried;
        let rested = self.memory.backoff.left(self.now()).is_zero();
        match self.other_leader() {
            Some(leader) if rested && (copied || self.memory.stepped_down) => {
                self.recover_follower(&leader);
            }
            None if rested && copied => self.start_leaderless(),
            Some(_) | None => self.say(Reason::Says("postgres is not running")),
        }
    }

    /// In pause only a server that runs as a primary takes the key, or the one an operator named.
    pub(crate) fn race_paused(&self) -> Vec<Veto> {
        let own = self.own_vetoes();
        if own.contains(&Veto::OtherCluster) {
            return vec![Veto::OtherCluster];
        }
        let order = self
            .view()
            .and_then(|view| view.failover.as_ref())
            .map(|failover| &failover.value)
            .filter(|order| {
                order.scheduled_at.is_none() && order.member.as_ref() == Some(&self.spec.me)
            });
        let named = order.is_some_and(|order| {
            !self.spec.tags.nofailover && (!order.is_switchover() || self.sync_veto().is_none())
        });
        if self.pg().runs_as_primary() || named {
            Vec::new()
        } else {
            vec![Veto::Paused]
        }
    }

    /// In pause nobody steps down, and whoever is to lead says an operator.
    pub(crate) fn stay_as_it_is(&mut self, vetoes: &[Veto]) {
        self.memory.round = None;
        self.say(if self.pg().runs_as_primary() {
            Reason::Says("continue to run as primary without lock")
        } else {
            let me = self.spec.me.clone();
            Reason::Idle { me }
        });
        for veto in vetoes {
            self.say(Reason::NotRacing(veto.clone()));
        }
    }

    /// The data directory is another cluster's. `true` when the turn ends here.
    pub(crate) fn other_cluster_in_pause(&mut self, cluster: &str, mine: &str) -> bool {
        self.notice(Notice::warn(format!(
            "the data directory belongs to another cluster ({cluster} != {mine}): this agent ends when the cluster is resumed, \
             unless the former directory is back by then, or this member was reinitialized"
        )));
        let leads = self.key_says_me();
        if leads {
            let line = "released leader key voluntarily due to the system ID mismatch";
            self.say(Reason::Says(line));
            self.actions.push(Action::ReleaseLeader { optime: None });
        }
        leads
    }

    /// The cluster was resumed, and the last leader has not heard of it as far as anybody knows: nothing fences a primary
    /// whose agent died, froze or was cut off in pause. While it sends this replica WAL it runs; if the host is lost,
    /// `wal_receiver_timeout` ends the connection. A standby cluster has nobody who accepts writes.
    pub(crate) fn unfenced_primary(&mut self) -> Option<Veto> {
        let peer = self.primary_left_by_a_pause()?;
        self.notice(Notice::warn(format!(
            "{peer} had not heard of the end of the pause when its agent was last seen, and its PostgreSQL still sends WAL: nobody is \
             promoted beside it. Start the agent of {peer} and it leads again, or stop PostgreSQL there and somebody else takes \
             over. A failover to a named candidate is carried out all the same: stop that PostgreSQL before, or there are two primaries"
        )));
        Some(Veto::PrimaryAlive { peer })
    }

    fn primary_left_by_a_pause(&self) -> Option<MemberName> {
        let leader = self.memory.last_leader.as_ref()?;
        let member = self.memory.last_members.get(leader)?;
        let upstream = self.upstream_of(leader, member)?;
        let runs = is_streaming_from(self.live()?, &upstream);
        // Its agent is there and has heard: a primary takes the key itself, or stops.
        let shown = self.view()?.members.get(leader);
        let over = shown.is_some_and(|it| !it.pause && it.role != Some(PgRole::Primary));
        (member.pause && runs && !over && !self.is_standby_cluster()).then(|| leader.clone())
    }
}
