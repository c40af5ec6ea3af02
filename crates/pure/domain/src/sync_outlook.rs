//! What is wrong with who could be a synchronous standby, told before anything fails.

use std::fmt;

use crate::{ClusterView, SyncMode, ZonePolicy};

/// What is asked of the synchronous standbys.
#[derive(Debug, Clone, Copy)]
pub struct SyncOutlook<'a> {
    /// `synchronous_mode`
    pub mode: SyncMode,
    /// `synchronous_node_count`
    pub node_count: usize,
    /// In how many zones a commit must be acknowledged.
    pub zones: Option<&'a ZonePolicy>,
}

/// One warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncWarning {
    /// More synchronous nodes are asked for than there are members that may be synchronous.
    TooFew {
        /// `synchronous_node_count`
        wanted: usize,
        /// How many may be.
        able: usize,
    },
    /// Nobody beside the leader may both be synchronous and lead: when the leader is lost nobody takes over.
    NoSuccessor,
    /// More zones are asked for than members of the cluster stand in.
    TooFewZones {
        /// `pgherd.synchronous_zones.at_least`
        wanted: usize,
        /// In how many zones there are members, the leader's own counted.
        found: usize,
    },
    /// Members that have no zone count in none.
    WithoutZone {
        /// How many.
        members: usize,
    },
}

impl fmt::Display for SyncWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { wanted, able } => write!(
                f,
                "synchronous_node_count is {wanted}, and {able} other members may be synchronous: commits wait for no \
                 more than those; add members, take the tag nosync off, or lower the count"
            ),
            Self::NoSuccessor => f.write_str(
                "every other member is tagged nosync or nofailover: when the leader is lost nobody may take over; \
                 take one of the tags off",
            ),
            Self::TooFewZones { wanted, found } => write!(
                f,
                "pgherd.synchronous_zones.at_least is {wanted}, and members that may be synchronous stand in {found} \
                 zones: commits wait, or go on with fewer after degrade_after; add a member in another zone, or lower \
                 at_least"
            ),
            Self::WithoutZone { members } => write!(
                f,
                "{members} members lack the tag that names their zone (pgherd.synchronous_zones.label) and count in \
                 none; set it in their own files"
            ),
        }
    }
}

/// How many other members may be synchronous, and how many of those may lead, by their tags.
fn able(view: &ClusterView) -> (usize, usize) {
    let leader = view.leader_name();
    let others = view
        .members
        .iter()
        .filter(|(name, _)| Some(*name) != leader)
        .map(|(_, member)| member.tags())
        .filter(|tags| !tags.nosync && !tags.nostream);
    others.fold((0, 0), |(able, leading), tags| {
        (able + 1, leading + usize::from(!tags.nofailover))
    })
}

/// What to warn of while somebody leads. A cluster of one member has nobody, and is warned of that.
pub fn sync_warnings(view: &ClusterView, asked: &SyncOutlook<'_>) -> Vec<SyncWarning> {
    let mut warnings = Vec::new();
    if asked.mode == SyncMode::Off || view.leader.is_none() {
        return warnings;
    }
    let (able, leading) = able(view);
    let wanted = asked.node_count.max(1);
    if able < wanted {
        warnings.push(SyncWarning::TooFew { wanted, able });
    }
    if leading == 0 && view.members.len() > 1 {
        warnings.push(SyncWarning::NoSuccessor);
    }
    if let Some(policy) = asked.zones {
        let (zones, members) = policy.outlook(view);
        let (wanted, found) = (policy.at_least, zones.len());
        if found < wanted {
            warnings.push(SyncWarning::TooFewZones { wanted, found });
        }
        if members > 0 {
            warnings.push(SyncWarning::WithoutZone { members });
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::MemberDoc;
    use crate::{LeaderKey, MemberName};

    /// `a` leads; the others have these tags.
    fn cluster(others: &[(&str, &str)]) -> ClusterView {
        let mut view = ClusterView {
            leader: Some(LeaderKey {
                name: MemberName::new("a").unwrap(),
                revision: 1,
                on_my_lease: true,
            }),
            ..ClusterView::default()
        };
        for (name, tag) in others.iter().chain(&[("a", "")]) {
            let mut doc = MemberDoc::default();
            if !tag.is_empty() {
                doc.tags.insert((*tag).to_owned(), true.into());
            }
            view.members.insert(MemberName::new(name).unwrap(), doc);
        }
        view
    }

    fn warnings(view: &ClusterView, mode: SyncMode, node_count: usize) -> Vec<SyncWarning> {
        let asked = SyncOutlook {
            mode,
            node_count,
            zones: None,
        };
        sync_warnings(view, &asked)
    }

    #[test]
    fn members_stand_in_too_few_zones_or_in_none() {
        let policy = ZonePolicy {
            label: "zone".into(),
            at_least: 3,
            degrade_after: None,
        };
        let mut view = cluster(&[("b", ""), ("c", ""), ("d", "nosync")]);
        for (name, zone) in [("a", "east"), ("b", "west"), ("d", "north")] {
            let member = view.members.get_mut(&MemberName::new(name).unwrap());
            member.unwrap().tags.insert("zone".into(), zone.into());
        }
        let asked = SyncOutlook {
            mode: SyncMode::On,
            node_count: 1,
            zones: Some(&policy),
        };
        let few = SyncWarning::TooFewZones {
            wanted: 3,
            found: 2,
        };
        let without = SyncWarning::WithoutZone { members: 1 };
        assert_eq!(sync_warnings(&view, &asked), [few, without]);
    }

    #[test]
    fn more_are_asked_for_than_there_are() {
        let view = cluster(&[("b", ""), ("c", "nosync")]);
        assert_eq!(warnings(&view, SyncMode::On, 1), []);
        let few = SyncWarning::TooFew { wanted: 2, able: 1 };
        assert_eq!(warnings(&view, SyncMode::Quorum, 2), [few]);
        assert_eq!(warnings(&view, SyncMode::Off, 2), []);
    }

    #[test]
    fn everybody_is_tagged() {
        let view = cluster(&[("b", "nofailover"), ("c", "nosync")]);
        let warned = warnings(&view, SyncMode::On, 1);
        assert_eq!(warned, [SyncWarning::NoSuccessor]);
        assert!(warned[0].to_string().contains("nobody may take over"));
    }
}
