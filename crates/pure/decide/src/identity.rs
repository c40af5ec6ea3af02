//! Whose data are these? The data directory's identity beside the cluster's (contract §1.5, §5.1, step 10).

use std::time::Duration;

use pgherd_domain::{Action, ControlData, PgRole, Reason};

use crate::turn::Turn;

impl Turn<'_> {
    /// Compares identities (contract §5.1, step 10). `true` when the turn ends here.
    pub(crate) fn other_cluster(&mut self, control: &ControlData) -> bool {
        let Some(view) = self.view() else { return true };
        match view.system_id() {
            Some(cluster) if cluster != control.system_id => {
                let first = self.memory.unidentified_since.take().is_some();
                if self.spec.pause {
                    return self.other_cluster_in_pause(cluster, &control.system_id);
                }
                self.leave_other_cluster(cluster.to_owned(), control.system_id.clone(), first);
                true
            }
            None if view.leader.is_none() && !self.spec.pause => self.adopt(control),
            Some(_) | None => {
                self.memory.unidentified_since = None;
                false
            }
        }
    }

    /// The agent ends: an operator has to say which of the two this member is to be. What runs as a
    /// primary of the other cluster under this one's name is stopped before, or clients would take it for this
    /// cluster's; but nothing is done to a server that a new agent finds, which may have the wrong settings.
    fn leave_other_cluster(&mut self, cluster: String, mine: String, first: bool) {
        let me = self.spec.me.clone();
        let mismatch = Reason::SystemIdMismatch { me, cluster, mine };
        if self.key_says_me() && self.seen.lease.is_mine(self.now()) {
            return self.release_when_stopped(mismatch);
        }
        if !first && self.pg().runs_as_primary() {
            self.stop_now("stopping PostgreSQL: its data directory is another cluster's");
            return self.say(mismatch);
        }
        let because = Some(format!(
            "{mismatch}. The data directory was left as it is. If this member is to join this cluster, move its data directory away and \
             it is copied anew; else correct scope or the addresses of the DCS"
        ));
        self.say(mismatch);
        self.actions.push(Action::Exit { because });
    }

    /// `initialize` is not valid and nobody leads: a server that is there gives the cluster its identity,
    /// but never a running replica (contract §1.5, §5.14 rule 7, §8.4).
    fn adopt(&mut self, control: &ControlData) -> bool {
        let Some(view) = self.view() else { return true };
        let first = self.memory.unidentified_since.take().is_some();
        let replica = self.pg().is_running() && !self.pg().runs_as_primary();
        // In a standby cluster everybody is one.
        let standby = self.spec.standby.is_some();
        if replica && first && !standby {
            let because = "No initialize key in DCS and PostgreSQL is running as replica, aborting start. \
                           Please first start Patroni on the node running as primary";
            self.say(Reason::Says(because));
            self.actions.push(Action::Exit {
                because: Some(because.to_owned()),
            });
            return true;
        }
        let running_primary = self.live().is_some_and(|live| !live.in_recovery);
        let others_run = view
            .members
            .iter()
            .any(|(name, member)| *name != self.spec.me && member.role == Some(PgRole::Primary));
        let stopped_primary =
            !self.pg().is_running() && control.state.was_primary() && !self.pg().standby_signal;
        let running_standby = standby && self.live().is_some_and(|live| live.in_recovery);
        if running_primary || running_standby || (stopped_primary && !others_run) {
            self.actions.push(Action::WriteInitialize {
                system_id: control.system_id.clone(),
                expected: view
                    .initialize
                    .as_ref()
                    .map(|initialize| initialize.revision),
            });
            self.wake_in(Duration::from_millis(500));
        }
        false
    }
}
