//! Quorum mode on the leader (contract §6.4 to §6.6): `/sync` and synchronous_standby_names follow the standbys that
//! stream, one write at a time, by the arithmetic of `quorum`. The way from quorum mode back to on-mode too.

use std::time::Duration;

use pgherd_domain::documents::SyncDoc;
use pgherd_domain::{Action, LiveSeen, MemberName, Reason, SyncMode};

use crate::quorum::{self, InForce, Names, Step, Votes, Waits};
use crate::sync_names::{exact_setting, quorum_setting, waits_of};
use crate::sync_standby::SETTLED;
use crate::sync_zones::all_of;
use crate::turn::Turn;

/// So long a new leader waits for the members to stream from it before it lets go of them.
const CONNECTING: Duration = Duration::from_secs(2);

impl Turn<'_> {
    /// `/sync` before a promotion: I have won the votes, so I have every commit, and nothing is acknowledged yet. The
    /// former voters and leader go on voting. They need no fewer votes than before, since some may lack old commits.
    pub(crate) fn votes_for_promotion(&self, former: &SyncDoc) -> SyncDoc {
        let me = &self.spec.me;
        let voters: Names = former
            .standbys
            .iter()
            .chain(&former.leader)
            .filter(|name| !name.same_as(me.as_str()))
            .cloned()
            .collect();
        // A group that held a former voter more can do without one.
        let quorum = former.quorum.saturating_add(u64::from(!former.names(me)));
        let count = self.spec.synchronous_node_count.max(1);
        let enough = u64::try_from(voters.len().saturating_sub(count)).unwrap_or(u64::MAX);
        SyncDoc {
            leader: Some(me.clone()),
            quorum: quorum.max(enough),
            standbys: voters,
        }
    }

    /// synchronous_standby_names before a promotion, with `/sync` in my name (contract §6.5).
    pub(crate) fn names_for_promotion(&self, sync: Option<&SyncDoc>) -> String {
        let strict = self.spec.synchronous_mode_strict;
        let sync = sync.cloned().unwrap_or_default();
        if self.spec.synchronous_mode != SyncMode::Quorum {
            return exact_setting(&self.zones_for_promotion(all_of(&sync)), strict);
        }
        let waits = least_waits(&votes_of(&sync, &self.spec.me), strict);
        quorum_setting(&self.zones_for_promotion(waits), strict)
    }

    /// One step of the upkeep in quorum mode, and of the way from there to on-mode.
    pub(crate) fn keep_quorum(&mut self, sync: &SyncDoc, live: &LiveSeen) {
        let now = self.in_force(sync, live);
        let goal = self.quorum_goal(live, &now);
        let strict = self.spec.synchronous_mode_strict;
        let step = if strict && goal.names.is_empty() {
            hold(&now)
        } else {
            quorum::step(&now, &goal)
        };
        match step {
            Some(Step::Votes(votes)) => self.write_votes(votes),
            Some(Step::Waits(waits)) => self.order_waits(&waits, live),
            None if now.waits == goal || (strict && goal.names.is_empty()) => {
                // The same by another form, as after a change of the mode.
                let same = now.waits.clone();
                self.order_waits(&same, live);
                let exact = now.waits.names.len().saturating_sub(now.waits.count);
                if now.votes.quorum != exact || now.votes.voters != now.waits.names {
                    self.wake_in(SETTLED);
                }
            }
            None => {
                // What was ordered last has not come about, and need not: it may have been held back. The setting as it is settles that.
                if self.memory.ordered_names.is_some() {
                    self.order_waits(&now.waits, live);
                }
                self.wake_in(SETTLED);
            }
        }
    }

    fn in_force(&self, sync: &SyncDoc, live: &LiveSeen) -> InForce {
        let waits = waits_of(&live.synchronous_standby_names);
        let from = self.memory.sync_names.as_ref().and_then(|names| names.from);
        let settled = from.is_some() && self.memory.ordered_names.is_none();
        let has_all = |name: &&MemberName| {
            settled
                && live.senders_to(name).any(|sender| {
                    matches!(sender.sync_state.as_str(), "quorum" | "sync") && sender.flush >= from
                })
        };
        InForce {
            votes: votes_of(sync, &self.spec.me),
            confirmed: waits.names.iter().filter(has_all).cloned().collect(),
            waits,
            settled,
        }
    }

    /// Whom commits are to wait for.
    fn quorum_goal(&mut self, live: &LiveSeen, now: &InForce) -> Waits {
        let mut names = self.pick_standbys(live, &now.votes.voters);
        if self.spec.synchronous_mode != SyncMode::Quorum {
            let count = names.len();
            return self.see_to_zones(Waits { count, names }, &now.waits.names, live);
        }
        let until = self.seen.now.plus(CONNECTING);
        let until = *self.memory.connecting_until.get_or_insert(until);
        if self.now() < until {
            let expected = now.waits.names.iter().filter(|name| self.may_connect(name));
            names.extend(expected.cloned());
            self.wake_at(until);
        }
        let count = self
            .spec
            .synchronous_node_count
            .clamp(1, names.len().max(1));
        let count = count.min(names.len());
        self.see_to_zones(Waits { count, names }, &now.waits.names, live)
    }

    /// A member that runs and may be synchronous: it will stream in a moment.
    pub(crate) fn may_connect(&self, name: &MemberName) -> bool {
        let member = self.view().and_then(|view| view.members.get(name));
        member.is_some_and(|member| {
            let tags = member.tags();
            member.is_running() && !tags.nosync && !tags.nostream
        })
    }

    fn write_votes(&mut self, votes: Votes) {
        let view = self.view();
        let expected = view.and_then(|view| view.sync.as_ref().map(|sync| sync.revision));
        self.say(Reason::Sync(format!(
            "Setting leader to {}, quorum to {} of {} ({})",
            self.spec.me,
            votes.quorum,
            votes.voters.len(),
            listed(&votes.voters)
        )));
        let doc = SyncDoc {
            leader: Some(self.spec.me.clone()),
            quorum: u64::try_from(votes.quorum).unwrap_or(u64::MAX),
            standbys: votes.voters,
        };
        self.actions.push(Action::WriteSync { doc, expected });
        self.wake_in(Duration::from_millis(100));
    }

    /// Sets synchronous_standby_names, unless it says that already and nothing else was ordered that may come yet.
    fn order_waits(&mut self, waits: &Waits, live: &LiveSeen) {
        let strict = self.spec.synchronous_mode_strict;
        let wanted = match self.spec.synchronous_mode {
            SyncMode::Quorum => quorum_setting(waits, strict),
            SyncMode::On | SyncMode::Off => exact_setting(waits, strict),
        };
        if live.synchronous_standby_names == wanted && self.memory.ordered_names.is_none() {
            return;
        }
        if strict && waits.names.is_empty() {
            self.say(Reason::Sync(
                "No active replication connections from Patroni members and \
                 synchronous_mode_strict is requested. Commits will be delayed."
                    .into(),
            ));
        }
        self.say(Reason::Sync(format!(
            "Setting synchronous replication to {} of {} ({})",
            waits.count,
            waits.names.len(),
            listed(&waits.names)
        )));
        self.order_names(wanted);
    }
}

fn listed(names: &Names) -> String {
    let names: Vec<&str> = names.iter().map(MemberName::as_str).collect();
    names.join(", ")
}

/// Strict mode with nobody to wait for: commits go on waiting for who votes, as long as `/sync` stands for that.
fn hold(now: &InForce) -> Option<Step> {
    if !now.votes.overlaps(&now.waits) {
        return Some(Step::Votes(Votes::NONE));
    }
    let waits = least_waits(&now.votes, true);
    (!waits.names.is_empty() && waits != now.waits).then_some(Step::Waits(waits))
}

/// As few as `/sync` allows.
fn least_waits(votes: &Votes, strict: bool) -> Waits {
    let count = votes.voters.len().saturating_sub(votes.quorum);
    let count = count.max(usize::from(strict)).min(votes.voters.len());
    let names = votes.voters.clone();
    Waits { count, names }
}

fn votes_of(sync: &SyncDoc, me: &MemberName) -> Votes {
    let others = sync.standbys.iter();
    Votes {
        quorum: usize::try_from(sync.quorum).unwrap_or(usize::MAX / 2),
        voters: others
            .filter(|name| !name.same_as(me.as_str()))
            .cloned()
            .collect(),
    }
}
