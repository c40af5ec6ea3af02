//! `switchover` and `failover`: what is asked, sent and said.

use std::sync::Arc;

use pgherd_domain::Versioned;
use pgherd_domain::documents::SyncDoc;
use serde_json::json;

use super::fake::{Member, NOBODY, Ran, Store, name, run, view};

/// Runs against a leader with these answers.
async fn with_leader(
    answers: &[(u16, &str)],
    line: &str,
    input: &'static str,
) -> (Ran, Vec<String>, Arc<Store>) {
    let leader = Member::start(answers).await;
    let store = Store::new(view(&leader.api_url, NOBODY, NOBODY));
    let ran = run(&store, line, input).await;
    assert!(leader.is_done(), "{ran:?}");
    (ran, leader.asked(), store)
}

#[tokio::test]
async fn a_switchover_asks_for_what_is_not_given() {
    let done = [(200, "Successfully switched over to \"b\"")];
    let (ran, asked, _) = with_leader(&done, "switchover", "a\nb\n\ny\n").await;
    assert!(ran.ok, "{ran:?}");
    assert_eq!(
        asked,
        [r#"POST /switchover {"leader":"a","candidate":"b"}"#]
    );
    let words = ran.words();
    assert!(words.starts_with("Current cluster topology\nPrimary [a]: Candidate ['b', 'c'] []: When should the switchover take place (e.g. "), "{words}");
    assert!(words.contains(" )  [now]: Are you sure you want to switchover cluster demo, demoting current leader a? [y/N]: "), "{words}");
    assert!(
        words.ends_with(" Successfully switched over to \"b\""),
        "{words}"
    );
    assert_eq!(ran.out.matches("+ Cluster: demo").count(), 2);
}

#[tokio::test]
async fn force_asks_nothing_and_takes_the_defaults() {
    let planned = [(202, "Switchover scheduled")];
    let line = "switchover demo --force --scheduled 2999-01-01T10:00";
    let (ran, asked, _) = with_leader(&planned, line, "").await;
    assert!(ran.ok, "{ran:?}");
    assert_eq!(
        asked,
        [r#"POST /switchover {"leader":"a","scheduled_at":"2999-01-01T10:00:00+00:00"}"#]
    );
    let (_, asked, _) = with_leader(&[(200, "x")], "failover --candidate b --force", "").await;
    assert_eq!(asked, [r#"POST /failover {"candidate":"b"}"#]);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_code_and_is_no_error() {
    let refused = [(
        412,
        "switchover is not possible: no good candidates have been found",
    )];
    let (ran, _, _) = with_leader(&refused, "switchover --force", "").await;
    assert!(ran.ok, "{ran:?}");
    assert!(ran.out.ends_with(
        "Switchover failed, details: 412, switchover is not possible: no good candidates have been found\n"
    ), "{ran:?}");
    let unknown = [(
        503,
        "Failover status unknown after 20 seconds; operation may still be in progress",
    )];
    let (ran, _, _) = with_leader(&unknown, "failover --candidate b --force", "").await;
    assert!(
        ran.words()
            .contains("Failover result unknown, details: 503, Failover status unknown"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn old_servers_get_the_order_under_its_old_name() {
    let answers = [
        (501, "Server does not support this operation"),
        (200, "done"),
    ];
    let (ran, asked, _) = with_leader(&answers, "switchover --force --candidate b", "").await;
    assert!(ran.ok, "{ran:?}");
    assert_eq!(asked[1], r#"POST /failover {"leader":"a","candidate":"b"}"#);
}

#[tokio::test]
async fn without_rest_the_order_goes_into_the_dcs() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    let ran = run(&store, "switchover --force --candidate b", "").await;
    assert!(ran.ok, "{ran:?}");
    assert!(
        ran.words()
            .ends_with(" Could not switchover using Patroni api, falling back to DCS"),
        "{ran:?}"
    );
    assert_eq!(
        store.view().failover.unwrap().value.render(),
        r#"{"leader":"a","member":"b"}"#
    );

    store.overtake();
    let ran = run(&store, "failover --force --candidate c", "").await;
    assert_eq!(
        ran.err.lines().last(),
        Some("Error: somebody else has given an order meanwhile; look again")
    );
}

#[tokio::test]
async fn a_cluster_without_a_leader_is_failed_over_by_the_candidate() {
    let candidate = Member::start(&[(200, "Successfully failed over to \"b\"")]).await;
    let store = Store::new(view(NOBODY, &candidate.api_url, NOBODY));
    store.change(|view| view.leader = None);
    assert_eq!(
        run(&store, "switchover", "").await.err,
        "Error: This cluster has no leader\n"
    );
    let ran = run(&store, "failover --candidate b", "y\n").await;
    assert!(
        ran.words()
            .contains("Are you sure you want to failover cluster demo? [y/N]: "),
        "{ran:?}"
    );
    assert_eq!(candidate.asked(), [r#"POST /failover {"candidate":"b"}"#]);
}

#[tokio::test]
async fn what_can_not_be_is_refused_before_anything_is_sent() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    store.change(|view| {
        let doc = view.members.get_mut(&name("c")).unwrap();
        doc.tags = [("nofailover".to_owned(), json!(true))].into();
    });
    let stranger = "does not exist in cluster demo or is tagged as nofailover";
    for (line, input, error) in [
        ("switchover --leader z --force", "", "Member z is not the leader of cluster demo".to_owned()),
        ("switchover --candidate a --force", "", "Member a is already the leader of cluster demo".to_owned()),
        ("switchover --candidate z --force", "", format!("Member z {stranger}")),
        ("switchover", "\nc\n", format!("Member c {stranger}")),
        ("failover --force", "", "Failover could be performed only to a specific candidate".to_owned()),
        ("failover", "\n", "Failover could be performed only to a specific candidate".to_owned()),
        (
            "switchover --force --scheduled soon",
            "",
            "Unable to parse scheduled timestamp (soon). It should be in an unambiguous format (e.g. ISO 8601)".to_owned(),
        ),
        ("switchover", "\n\n\nn\n", "Aborting switchover".to_owned()),
        ("switchover", "\n\n2999-01-01T10:00\nn\n", "Aborting scheduled switchover".to_owned()),
        ("failover", "b\nn\n", "Aborting failover".to_owned()),
    ] {
        let ran = run(&store, line, input).await;
        assert_eq!((ran.ok, ran.err), (false, format!("Error: {error}\n")), "{line}");
    }
    let ran = run(&store, "switchover", "a\n").await;
    assert_eq!((ran.ok, ran.err.as_str()), (false, "Aborted!\n"));
    assert_eq!(store.view().failover, None);

    store.change(|view| {
        view.config = Some(Versioned {
            value: json!({"pause": true}),
            revision: 1,
        });
    });
    let ran = run(
        &store,
        "switchover --force --scheduled 2999-01-01T10:00",
        "",
    )
    .await;
    assert_eq!(
        ran.err,
        "Error: Can't schedule switchover in the paused state\n"
    );
    store.change(|view| view.members.retain(|member, _| *member == name("a")));
    let ran = run(&store, "switchover --force", "").await;
    assert_eq!(ran.err, "Error: No candidates found to switchover to\n");
}

#[tokio::test]
async fn a_failover_to_a_member_that_may_lack_commits_is_asked_for_twice() {
    let store = Store::new(view(NOBODY, NOBODY, NOBODY));
    store.change(|view| {
        view.config = Some(Versioned {
            value: json!({"synchronous_mode": true}),
            revision: 1,
        });
        let value = SyncDoc::parse(r#"{"leader":"a","sync_standby":"b"}"#);
        view.sync = Some(Versioned { value, revision: 1 });
    });
    let question = "Are you sure you want to failover to the asynchronous node c? [y/N]: ";
    let ran = run(&store, "failover --candidate c", "n\n").await;
    assert!(
        ran.out.ends_with(question) && ran.err == "Error: Aborting failover\n",
        "{ran:?}"
    );
    let ran = run(&store, "failover --candidate b", "n\n").await;
    assert!(!ran.out.contains(question), "{ran:?}");
}
