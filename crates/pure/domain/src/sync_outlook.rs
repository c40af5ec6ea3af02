//! What is wrong with who could be a synchronous standby, told before anything fails.

use std::fmt;

use crate::{ClusterView, SyncMode};

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
pub fn sync_warnings(view: &ClusterView, mode: SyncMode, node_count: usize) -> Vec<SyncWarning> {
    let mut warnings = Vec::new();
    if mode == SyncMode::Off || view.leader.is_none() {
        return warnings;
    }
    let (able, leading) = able(view);
    let wanted = node_count.max(1);
    if able < wanted {
        warnings.push(SyncWarning::TooFew { wanted, able });
    }
    if leading == 0 && view.members.len() > 1 {
        warnings.push(SyncWarning::NoSuccessor);
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

    #[test]
    fn more_are_asked_for_than_there_are() {
        let view = cluster(&[("b", ""), ("c", "nosync")]);
        assert_eq!(sync_warnings(&view, SyncMode::On, 1), []);
        let few = SyncWarning::TooFew { wanted: 2, able: 1 };
        assert_eq!(sync_warnings(&view, SyncMode::Quorum, 2), [few]);
        assert_eq!(sync_warnings(&view, SyncMode::Off, 2), []);
    }

    #[test]
    fn everybody_is_tagged() {
        let view = cluster(&[("b", "nofailover"), ("c", "nosync")]);
        let warnings = sync_warnings(&view, SyncMode::On, 1);
        assert_eq!(warnings, [SyncWarning::NoSuccessor]);
        assert!(warnings[0].to_string().contains("nobody may take over"));
    }
}
