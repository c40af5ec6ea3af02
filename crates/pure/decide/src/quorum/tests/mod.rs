//! The arithmetic against a naive second implementation, and all states that it can reach.

mod naive;
mod reachable;

use pgherd_domain::MemberName;

use super::{InForce, Names, Step, Votes, Waits, step};

/// Names from the letters of a text.
fn names(letters: &str) -> Names {
    let name = |letter: char| MemberName::new(&letter.to_string()).unwrap();
    letters.chars().map(name).collect()
}

fn votes(quorum: usize, voters: &str) -> Votes {
    let voters = names(voters);
    Votes { quorum, voters }
}

fn waits(count: usize, letters: &str) -> Waits {
    let names = names(letters);
    Waits { count, names }
}

/// The writes from what is in force to the goal, when everybody that is waited for catches up at once.
fn way(mut votes: Votes, mut waits: Waits, goal: &Waits) -> Vec<String> {
    let mut way = Vec::new();
    while way.len() < 9 {
        let now = InForce {
            votes: votes.clone(),
            confirmed: waits.names.clone(),
            waits: waits.clone(),
            settled: true,
        };
        let text = |names: &Names| names.iter().map(MemberName::as_str).collect::<String>();
        match step(&now, goal) {
            None => break,
            Some(Step::Votes(next)) => {
                way.push(format!("/sync {} of {}", next.quorum, text(&next.voters)));
                votes = next;
            }
            Some(Step::Waits(next)) => {
                way.push(format!("wait {} of {}", next.count, text(&next.names)));
                waits = next;
            }
        }
    }
    way
}

#[test]
fn the_first_standbys_are_waited_for_before_they_vote() {
    assert_eq!(
        way(Votes::NONE, waits(0, ""), &waits(1, "bc")),
        ["wait 1 of bc", "/sync 1 of bc"]
    );
}

#[test]
fn a_standby_comes_and_nobody_who_could_lead_is_barred_meanwhile() {
    assert_eq!(
        way(votes(1, "bc"), waits(1, "bc"), &waits(1, "bcd")),
        ["/sync 2 of bcd", "wait 1 of bcd"]
    );
}

#[test]
fn a_standby_goes() {
    assert_eq!(
        way(votes(1, "bc"), waits(1, "bc"), &waits(1, "b")),
        ["wait 1 of b", "/sync 0 of b"]
    );
    assert_eq!(
        way(votes(1, "bcd"), waits(2, "bcd"), &waits(1, "b")),
        ["/sync 1 of b", "wait 1 of b", "/sync 0 of b"]
    );
}

#[test]
fn all_standbys_go() {
    assert_eq!(
        way(votes(1, "bc"), waits(1, "bc"), &waits(0, "")),
        ["/sync 0 of ", "wait 0 of "]
    );
}

#[test]
fn all_standbys_are_replaced_and_commits_wait_all_the_time() {
    assert_eq!(
        way(votes(1, "bc"), waits(1, "bc"), &waits(1, "de")),
        ["/sync 0 of ", "wait 1 of de", "/sync 1 of de"]
    );
}

#[test]
fn more_are_waited_for_before_fewer_votes_are_needed() {
    assert_eq!(
        way(votes(1, "bc"), waits(1, "bc"), &waits(2, "bc")),
        ["wait 2 of bc", "/sync 0 of bc"]
    );
}

#[test]
fn more_votes_are_needed_before_fewer_are_waited_for() {
    assert_eq!(
        way(votes(0, "bc"), waits(2, "bc"), &waits(1, "bc")),
        ["/sync 1 of bc", "wait 1 of bc"]
    );
}

#[test]
fn a_setting_that_does_not_fit_sync_leaves_the_leader_only() {
    for wrong in [waits(0, ""), waits(1, "bcd"), waits(1, "d")] {
        let way = way(votes(0, "bc"), wrong, &waits(1, "bc"));
        assert_eq!(way.first().unwrap(), "/sync 0 of ");
    }
}
