//! Quorum commit: which step leads from what is in force to what is wanted, so that at every moment, and after a
//! crash between any two writes, whoever may lead has every acknowledged commit (contract §6.4). Arithmetic only.
//!
//! A commit is acknowledged when the leader and `count` (N) of the names in `synchronous_standby_names` (S) have
//! it. A voter of `/sync` (V) may lead when `quorum` (Q) other voters are not ahead of it; the leader that `/sync`
//! names counts as a voter. The two groups share a member when |V ∪ S| ≤ Q + N (leader not counted; with it on
//! both sides |V ∪ S| ≤ Q + N + 1). Without voters only the leader may lead, and it has everything.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use pgherd_domain::MemberName;

/// Names of standbys; the leader is never among them.
pub(crate) type Names = BTreeSet<MemberName>;

/// What `/sync` says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Votes {
    /// How many other voters a voter needs to lead.
    pub quorum: usize,
    /// Who votes, beside the leader.
    pub voters: Names,
}

/// What `synchronous_standby_names` says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Waits {
    /// How many of the names a commit waits for.
    pub count: usize,
    /// Who counts.
    pub names: Names,
}

/// What is in force.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    /// `/sync`
    pub votes: Votes,
    /// `synchronous_standby_names`
    pub waits: Waits,
    /// Every session knows of the setting.
    pub settled: bool,
    /// Who certainly has every commit that did not wait by the setting as it is now. Empty until it has settled.
    pub confirmed: Names,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Write `/sync`.
    Votes(Votes),
    /// Change `synchronous_standby_names`.
    Waits(Waits),
}

impl Votes {
    /// Only the leader may lead.
    pub(crate) const NONE: Self = Self {
        quorum: 0,
        voters: Names::new(),
    };

    /// Whether nobody of this can win votes without meeting somebody that has a commit which waited by `waits`.
    pub(crate) fn overlaps(&self, waits: &Waits) -> bool {
        self.voters.is_empty()
            || self.voters.union(&waits.names).count() <= self.quorum + waits.count
    }

    /// Whether this asks for no less than `before` did, so that it holds for whatever that held for.
    fn is_stricter_than(&self, before: &Self) -> bool {
        self.voters.is_subset(&before.voters) && self.quorum >= before.quorum
    }

    /// Whether this takes nobody's word who may lack an older commit: at most `quorum` voters do.
    fn is_proven(&self, now: &InForce) -> bool {
        let lacking = |names: &Names| names.difference(&now.confirmed).count();
        let new: Names = self.voters.difference(&now.votes.voters).cloned().collect();
        let at_most = lacking(&self.voters).min(now.votes.quorum + lacking(&new));
        self.voters.is_empty() || at_most <= self.quorum
    }
}

impl Waits {
    /// The first stage on the way from `self` to `goal`: who is lost goes before anybody new comes. When all are
    /// lost there is no such stage: commits would wait for nobody in between.
    fn stage(&self, goal: &Self) -> Self {
        let stay: Names = self.names.intersection(&goal.names).cloned().collect();
        if self.names.is_subset(&goal.names) || stay.is_empty() {
            return goal.clone();
        }
        let count = goal.count.min(stay.len());
        let names = stay;
        Self { count, names }
    }

    /// `/sync` that fits exactly, once all are confirmed.
    fn votes(&self) -> Votes {
        Votes {
            quorum: self.names.len().saturating_sub(self.count),
            voters: self.names.clone(),
        }
    }
}

/// The next write on the way to commits that wait for `goal`; `None` when there is nothing to do, or not yet.
pub(crate) fn step(now: &InForce, goal: &Waits) -> Option<Step> {
    if !now.votes.overlaps(&now.waits) {
        // Somebody changed the one or the other: nobody but the leader can be trusted.
        return Some(Step::Votes(Votes::NONE));
    }
    let stage = now.waits.stage(goal);
    if stage == now.waits {
        return fit_votes(now).map(Step::Votes);
    }
    if now.votes.overlaps(&stage) {
        return Some(Step::Waits(stage));
    }
    let wide = stage.votes();
    if wide.overlaps(&now.waits) {
        if wide.is_stricter_than(&now.votes) || (now.settled && wide.is_proven(now)) {
            return Some(Step::Votes(wide));
        }
        if !now.settled {
            return None;
        }
    }
    Some(Step::Votes(between(now, &stage)))
}

/// `/sync` that holds for the setting as it is and for the next: who goes goes, and who stays needs more votes.
fn between(now: &InForce, next: &Waits) -> Votes {
    let voters: Names = now
        .votes
        .voters
        .intersection(&next.names)
        .cloned()
        .collect();
    if voters.is_empty() {
        return Votes::NONE;
    }
    let needed = |waits: &Waits| {
        let all = voters.union(&waits.names).count();
        all.saturating_sub(waits.count)
    };
    let quorum = now.votes.quorum.max(needed(&now.waits)).max(needed(next));
    Votes { quorum, voters }
}

/// `/sync` for the setting in force: as few votes as it allows, and as those need who are not confirmed yet.
fn fit_votes(now: &InForce) -> Option<Votes> {
    if !now.settled {
        return None;
    }
    let exact = now.waits.votes();
    let lacking = |names: &Names| names.difference(&now.confirmed).count();
    let new: Names = exact
        .voters
        .difference(&now.votes.voters)
        .cloned()
        .collect();
    let unproven = lacking(&exact.voters).min(now.votes.quorum + lacking(&new));
    let quorum = exact.quorum.max(unproven);
    let voters = exact.voters;
    // With as many votes needed as there are voters nobody could lead: that is worth no write.
    if !voters.is_empty() && quorum >= voters.len() {
        return None;
    }
    let votes = Votes { quorum, voters };
    (votes != now.votes).then_some(votes)
}
