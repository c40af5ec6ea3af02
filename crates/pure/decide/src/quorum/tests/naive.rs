//! The formula against what it stands for: every group that could vote somebody in, every group that could have
//! acknowledged a commit.

use super::super::{Votes, Waits};
use super::{Names, names};

/// All sets of these letters.
fn subsets(of: &Names) -> Vec<Names> {
    let mut all = vec![Names::new()];
    for name in of {
        let with: Vec<Names> = all
            .iter()
            .map(|set| set.iter().chain([name]).cloned().collect())
            .collect();
        all.extend(with);
    }
    all
}

/// `a` leads. Whether every group of voters that lets somebody lead meets every group that has a commit.
fn always_meet(votes: &Votes, waits: &Waits) -> bool {
    let leader = names("a");
    let electors: Names = votes.voters.union(&leader).cloned().collect();
    let electing = subsets(&electors)
        .into_iter()
        .filter(|group| group.len() == votes.quorum + 1);
    let holding: Vec<Names> = subsets(&waits.names)
        .into_iter()
        .filter(|group| group.len() == waits.count)
        .map(|group| group.union(&leader).cloned().collect())
        .collect();
    electing
        .into_iter()
        .all(|group| holding.iter().all(|has| !group.is_disjoint(has)))
}

#[test]
fn where_the_formula_holds_the_groups_meet_and_where_it_does_not_they_miss() {
    let all = subsets(&names("bcde"));
    let mut looked_at = 0;
    for voters in &all {
        for sync in &all {
            for quorum in 0..=voters.len() {
                for count in 0..=sync.len() {
                    let votes = Votes {
                        quorum,
                        voters: voters.clone(),
                    };
                    let waits = Waits {
                        count,
                        names: sync.clone(),
                    };
                    let meet = always_meet(&votes, &waits);
                    let holds = votes.overlaps(&waits);
                    // With as many votes needed as there are voters the leader's is among them.
                    let nobody_without_the_leader = quorum >= voters.len();
                    assert!(meet || !holds, "{votes:?} {waits:?}");
                    assert!(
                        !meet || holds || nobody_without_the_leader,
                        "{votes:?} {waits:?}"
                    );
                    looked_at += 1;
                }
            }
        }
    }
    assert_eq!(looked_at, 2304);
}
