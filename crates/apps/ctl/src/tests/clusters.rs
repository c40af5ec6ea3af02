//! Commands about a cluster as a whole: its removal, and whether it follows another one.

use std::sync::Arc;

use pgherd_domain::{LeaderKey, PgRole, PgState, Versioned};
use serde_json::json;

use super::fake::{Member, NOBODY, Store, name, run, view};

const AWARE: &str =
    "You are about to remove all information in DCS for demo, please type: \"Yes I am aware\": ";
const LEADER: &str =
    "This cluster currently is healthy. Please specify the leader name to continue: ";

#[tokio::test]
async fn removing_takes_three_answers_to_the_letter() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    for (input, why) in [
        ("other\n", "Cluster names specified do not match"),
        ("demo\nyes\n", "You did not exactly type \"Yes I am aware\""),
        (
            "demo\nYes I am aware\nb\n",
            "You did not specify the current leader of the cluster",
        ),
    ] {
        let ran = run(&store, "remove demo", input).await;
        assert_eq!((ran.ok, ran.err), (false, format!("Error: {why}\n")));
        assert_eq!(store.view().members.len(), 3);
    }
    let ran = run(&store, "remove demo", "demo\nYes I am aware\na\n").await;
    assert!(ran.ok, "{ran:?}");
    let asked = format!("Please confirm the cluster name to remove: {AWARE}{LEADER}");
    assert_eq!(ran.words(), asked);
    assert!(store.view().members.is_empty() && store.view().leader.is_none());
}

#[tokio::test]
async fn a_cluster_without_a_leader_is_removed_after_two_answers() {
    let mut dead = view(NOBODY, NOBODY, NOBODY);
    dead.leader = None;
    let store = Store::new(dead);
    let ran = run(&store, "remove demo", "demo\nYes I am aware\n").await;
    assert!(ran.ok && store.view().members.is_empty(), "{ran:?}");
}

/// Makes the leader what the cluster is to become, once it has been asked.
fn obey(store: &Arc<Store>, leader: &Arc<Member>, role: PgRole) {
    let (store, leader) = (Arc::clone(store), Arc::clone(leader));
    tokio::spawn(async move {
        while leader.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        store.change(|view| {
            view.leader = Some(LeaderKey {
                name: name("b"),
                revision: 9,
                on_my_lease: false,
            });
            view.members.get_mut(&name("b")).unwrap().role = Some(role);
            view.members.get_mut(&name("a")).unwrap().state = Some(PgState::Stopped);
        });
        store.read_again().await;
        store.change(|view| {
            view.members.get_mut(&name("a")).unwrap().state = Some(PgState::Running);
        });
    });
}

#[tokio::test]
async fn demoting_writes_the_section_and_waits_for_leader_and_former_leader() {
    let a = Arc::new(Member::start(&[(200, "{}")]).await);
    let store = Store::new(view(&a.api_url, NOBODY, NOBODY));
    obey(&store, &a, PgRole::StandbyLeader);
    let line = "demote-cluster --force --host h --port 5433 --primary-slot-name s";
    let ran = run(&store, line, "").await;
    assert!(ran.ok, "{ran:?}");
    let body = r#"{"standby_cluster":{"host":"h","port":5433,"primary_slot_name":"s"}}"#;
    assert_eq!(a.asked(), [format!("PATCH /config {body}")]);
    let words = ran.words();
    assert!(
        words.contains(
            "cluster is unlocked: False, leader role: standby_leader, leader state: running, \
             previous leader state: 'stopped'"
        ),
        "{words}"
    );
    assert!(
        words.ends_with("cluster is successfully demoted"),
        "{words}"
    );
}

#[tokio::test]
async fn what_is_so_already_or_can_not_be_is_refused() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let refused = [
        (
            "demote-cluster --force",
            "At least --host, --port or --restore-command should be specified",
        ),
        (
            "promote-cluster --force",
            "Cluster is already in the required state",
        ),
    ];
    for (line, why) in refused {
        let ran = run(&store, line, "").await;
        assert_eq!((ran.ok, ran.err), (false, format!("Error: {why}\n")));
    }
    let ran = run(&store, "demote-cluster --host h", "n\n").await;
    assert!(
        !ran.ok && ran.err == "Error: Aborted cluster demotion\n",
        "{ran:?}"
    );

    store.change(|view| {
        view.config = Some(Versioned {
            value: json!({"standby_cluster": {"host": "h"}}),
            revision: 51,
        });
    });
    let ran = run(&store, "demote-cluster --host i --force", "").await;
    assert_eq!(ran.err, "Error: Cluster is already in the required state\n");
    store.change(|view| view.leader = None);
    let ran = run(&store, "promote-cluster --force", "").await;
    assert_eq!(
        ran.err,
        "Error: Cluster has no leader, promotion is not possible\n"
    );
}

#[tokio::test]
async fn a_cluster_is_not_made_a_standby_of_itself() {
    let a = Member::start(&[]).await;
    let ours = view(&a.api_url, NOBODY, NOBODY);
    let (host, port) = ours.members[&name("b")].address().unwrap();
    let store = Store::new(ours);
    let ran = run(
        &store,
        &format!("demote-cluster --host {host} --port {port} --force"),
        "",
    )
    .await;
    let wrong = "Error: standby_cluster would point to this cluster itself";
    assert!(ran.err.starts_with(wrong), "{ran:?}");
    assert!(a.asked().is_empty(), "{:?}", a.asked());
    let edit = format!(
        "edit-config --force -s standby_cluster.host=x,{host} -s standby_cluster.port={port}"
    );
    let ran = run(&store, &edit, "").await;
    assert!(ran.err.starts_with(wrong), "{ran:?}");
}
