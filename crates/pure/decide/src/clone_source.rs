//! Whom to copy (contract §8.1): a member tagged `clonefrom`, else the leader; of several the one that is copied least.

use pgherd_domain::documents::MemberDoc;
use pgherd_domain::{MemberName, PgRole, Upstream};

use crate::turn::Turn;

impl Turn<'_> {
    /// Whom to copy, and whether that is the leader. A member tagged `clonefrom` that runs is preferred. While
    /// somebody copies the leader already, a replica that streams takes the next one, because every copy reads all data
    /// from the server that also serves the writes. Of equals it is the one whose name follows mine, so that not
    /// everybody copies the same.
    pub(crate) fn clone_source(&self, from_leader: bool) -> Option<(Upstream, bool)> {
        let view = self.view()?;
        let leader = view.leader_name()?;
        let member = view.leader_member()?;
        let ready =
            member.role == Some(PgRole::Primary) || member.role == Some(PgRole::StandbyLeader);
        if !from_leader {
            let tagged = self.least_copied(|name, member| {
                name != leader && member.is_running() && member.tags().clonefrom
            });
            if let Some((name, member)) = tagged {
                return Some((self.upstream_of(name, member)?, false));
            }
            let busy = self.copies_of(leader);
            let spare = self.least_copied(|name, other| {
                let streams = other.replication_state.as_deref() == Some("streaming");
                let current = other.timeline.is_some() && other.timeline == member.timeline;
                name != leader && other.is_running() && streams && current && !other.tags().nostream
            });
            if let Some((name, spare)) = spare.filter(|(name, _)| self.copies_of(name) < busy)
                && ready
            {
                return Some((self.upstream_of(name, spare)?, false));
            }
        }
        ready.then(|| Some((self.upstream_of(leader, member)?, true)))?
    }

    /// Of the other members that fit the one that fewest copy.
    fn least_copied(
        &self,
        fits: impl Fn(&MemberName, &MemberDoc) -> bool,
    ) -> Option<(&MemberName, &MemberDoc)> {
        let fitting = self
            .view()?
            .members
            .iter()
            .filter(|(name, member)| **name != self.spec.me && fits(name, member));
        fitting.min_by_key(|(name, _)| (self.copies_of(name), **name < self.spec.me, *name))
    }

    /// How many members copy `name` now.
    fn copies_of(&self, name: &MemberName) -> usize {
        let members = self.view().map(|view| &view.members);
        let others = members.into_iter().flatten();
        others
            .filter(|(other, member)| {
                **other != self.spec.me && member.copies.as_deref() == Some(name.as_str())
            })
            .count()
    }
}
