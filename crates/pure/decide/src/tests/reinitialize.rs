//! A replica is made anew on request (contract §5.13).

use pgherd_domain::{
    Action, Answer, ControlState, Operation, PgRole, PgState, Refusal, StopMode, Work,
};

use super::build::{member, name, upstream};
use super::requests::{answers, leader, refused, reinitialize, replica};
use crate::memory::Divergence;

#[test]
fn a_replica_is_made_anew_from_the_leader() {
    let mut world = replica().request(reinitialize(false));
    let decision = world.turn();
    assert_eq!(
        answers(&decision),
        [Answer::Done("reinitialize started".into())]
    );
    assert!(matches!(
        decision.begins(),
        Some(Work::Stop {
            mode: StopMode::Immediate,
            ..
        })
    ));
    let mut world = world.stopped(ControlState::InArchiveRecovery, 1);
    let decision = world.turn();
    let source = upstream("a");
    assert_eq!(
        decision.begins(),
        Some(&Work::Clone {
            source,
            basebackup_only: false
        })
    );
    assert_eq!(decision.state, PgState::CreatingReplica);
    let source = upstream("a");
    let mut world = world.ended(
        Work::Clone {
            source,
            basebackup_only: false,
        },
        Ok(()),
    );
    assert!(matches!(world.turn().begins(), Some(Work::Start { .. })));
}

#[test]
fn from_the_leader_means_a_base_backup_of_it_and_no_other_method() {
    let from_leader = Operation::Reinitialize {
        force: false,
        from_leader: true,
    };
    let mut world = replica().request(from_leader);
    world.turn();
    let decision = world.stopped(ControlState::InArchiveRecovery, 1).decide();
    let (source, basebackup_only) = (upstream("a"), true);
    let copy = Work::Clone {
        source,
        basebackup_only,
    };
    assert_eq!(decision.begins(), Some(&copy));
}

#[test]
fn a_directory_that_is_no_cluster_is_made_anew_when_it_is_asked_for() {
    let mut world = member("b").leader("a").other("a", PgRole::Primary, 1);
    world.seen.postgres.data = pgherd_domain::DataDirectory::Invalid {
        why: "no pg_control".into(),
    };
    let mut world = world.request(reinitialize(false));
    assert!(matches!(world.turn().begins(), Some(Work::Clone { .. })));
}

#[test]
fn a_leader_is_not_made_anew() {
    let decision = leader().request(reinitialize(true)).decide();
    assert_eq!(
        answers(&decision),
        refused(
            Refusal::Unavailable,
            "I am the leader, can not reinitialize"
        )
    );
}

#[test]
fn without_a_leader_nothing_is_made_anew() {
    let text = "Cluster has no leader, can not reinitialize";
    for world in [
        replica().view(|view| view.leader = None),
        replica().silent(),
    ] {
        let decision = world.request(reinitialize(true)).decide();
        assert_eq!(answers(&decision), refused(Refusal::Unavailable, text));
    }
}

#[test]
fn a_busy_replica_is_made_anew_with_force_only() {
    let source = upstream("a");
    let busy = || {
        replica()
            .stopped(ControlState::InArchiveRecovery, 1)
            .works(Work::Rewind {
                source: source.clone(),
            })
    };
    let refusal = busy().request(reinitialize(false)).decide();
    assert_eq!(
        answers(&refusal),
        refused(
            Refusal::Unavailable,
            "running pg_rewind already in progress"
        )
    );
    let forced = busy().request(reinitialize(true)).decide();
    assert!(forced.does(&Action::CancelWork));
    assert_eq!(
        answers(&forced),
        [Answer::Done("reinitialize started".into())]
    );
}

#[test]
fn a_copy_on_request_forgets_what_was_held_against_the_old_data() {
    let mut world = replica()
        .stopped(ControlState::InArchiveRecovery, 1)
        .memory(|memory| {
            memory.last_leader = Some(name("a"));
            memory.divergence = Divergence::Hopeless;
            memory.backoff.failed(super::build::NOW);
        })
        .request(reinitialize(false));
    assert!(matches!(world.turn().begins(), Some(Work::Clone { .. })));
}
