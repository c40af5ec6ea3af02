//! Orders: switchover, failover, restart, reinitialize, reload.

use std::time::Duration;

use pgherd_domain::{Answer, CitusStep, LeaderKey, Operation, Refusal};
use pgherd_ports::{CitusAsked, Key};
use tokio::sync::mpsc;

use crate::stand::{LIMIT, Stand, fit, name};

const B: &str = "http://10.0.0.2:8008/patroni";

/// Waits for the order in the store, then lets the cluster answer it.
async fn settle(stand: &Stand, leader: &str, order_stays: bool) {
    let written = async {
        while stand.store.view().failover.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, written).await.unwrap();
    stand.store.change(|view| {
        view.leader = Some(LeaderKey {
            name: name(leader),
            revision: 9,
            on_my_lease: false,
        });
        if !order_stays {
            view.failover = None;
        }
    });
    stand.show(&stand.sample());
}

async fn ordered(path: &str, body: &str, leader: &str, order_stays: bool) -> (u16, String) {
    let stand = Stand::leading().await;
    stand.peers.0.lock().unwrap().insert(B.to_owned(), fit());
    let (answer, ()) = tokio::join!(
        stand.send("POST", path, body),
        settle(&stand, leader, order_stays)
    );
    answer
}

#[tokio::test]
async fn a_switchover_answers_when_somebody_else_leads() {
    let body = r#"{"leader": "a", "candidate": "b"}"#;
    let done = (200, "Successfully switched over to \"b\"".to_owned());
    assert_eq!(ordered("/switchover", body, "b", true).await, done);
    let other = (200, "Switched over to \"c\" instead of \"b\"".to_owned());
    assert_eq!(ordered("/switchover", body, "c", false).await, other);
    let failed = (503, "Switchover failed".to_owned());
    assert_eq!(ordered("/switchover", body, "a", false).await, failed);
    let done = (200, "Successfully failed over to \"b\"".to_owned());
    assert_eq!(
        ordered("/failover", r#"{"candidate": "b"}"#, "b", false).await,
        done
    );
}

#[tokio::test]
async fn nothing_is_written_without_a_candidate_that_is_fit() {
    let stand = Stand::leading().await;
    let body = r#"{"leader": "a"}"#;
    let refused = (
        412,
        "switchover is not possible: no good candidates have been found".to_owned(),
    );
    assert_eq!(stand.send("POST", "/switchover", body).await, refused);
    let mut unfit = fit();
    unfit.watchdog_failed = true;
    stand.peers.0.lock().unwrap().insert(B.to_owned(), unfit);
    assert_eq!(stand.send("POST", "/switchover", body).await, refused);
    let refused = (
        412,
        "failover is not possible: no good candidates have been found".to_owned(),
    );
    assert_eq!(
        stand
            .send("POST", "/failover", r#"{"candidate": "b"}"#)
            .await,
        refused
    );
    assert_eq!(stand.store.writes(), []);
}

#[tokio::test]
async fn an_order_that_can_not_be_written_is_no_order() {
    let stand = Stand::leading().await;
    stand.peers.0.lock().unwrap().insert(B.to_owned(), fit());
    stand.store.set_overtaken(true);
    let refused = (503, "failed to write failover key into DCS".to_owned());
    assert_eq!(
        stand
            .send("POST", "/switchover", r#"{"leader": "a"}"#)
            .await,
        refused
    );
}

#[tokio::test]
async fn a_planned_switchover_is_written_at_once_and_can_be_forgotten() {
    let stand = Stand::leading().await;
    let nothing = (404, "no switchover is scheduled".to_owned());
    assert_eq!(stand.send("DELETE", "/switchover", "").await, nothing);
    let body = r#"{"leader": "a", "scheduled_at": "2999-01-01T10:00:00+01:00"}"#;
    let planned = (202, "Switchover scheduled".to_owned());
    assert_eq!(stand.send("POST", "/switchover", body).await, planned);
    let order = r#"{"leader":"a","scheduled_at":"2999-01-01T10:00:00+01:00"}"#;
    assert_eq!(stand.store.writes(), [(Key::Failover, order.to_owned())]);
    let gone = (200, "scheduled switchover deleted".to_owned());
    assert_eq!(stand.send("DELETE", "/switchover", "").await, gone);
    assert_eq!(stand.store.writes()[1], (Key::Failover, "{}".to_owned()));
    assert_eq!(stand.send("DELETE", "/switchover", "").await, nothing);
}

#[tokio::test]
async fn restarts_go_to_the_agent_and_its_answer_comes_back() {
    let mut stand = Stand::leading().await;
    let done = |text: &str| Answer::Done(text.to_owned());
    let refused = |why, text: &str| Answer::Refused(why, text.to_owned());
    for (answer, code, text) in [
        (
            done("restarted successfully"),
            200,
            "restarted successfully",
        ),
        (
            Answer::Accepted("Restart scheduled".to_owned()),
            202,
            "Restart scheduled",
        ),
        (
            refused(Refusal::Unavailable, "restart failed"),
            503,
            "restart failed",
        ),
        (
            refused(Refusal::Conflict, "Another restart is already scheduled"),
            409,
            "Another restart is already scheduled",
        ),
        (refused(Refusal::NotFound, "x"), 404, "x"),
        (refused(Refusal::Impossible, "y"), 500, "y"),
    ] {
        let url = format!("{}/restart", stand.url);
        let request = crate::stand::answer(stand.http.post(url).body(r#"{"role": "primary"}"#));
        let (found, operation) = tokio::join!(request, stand.serve_one(answer));
        assert_eq!(found, (code, text.to_owned()));
        assert!(
            matches!(operation, Operation::Restart { role: Some(_), .. }),
            "{operation:?}"
        );
    }
}

#[tokio::test]
async fn the_other_orders_to_a_member_need_no_body() {
    let mut stand = Stand::leading().await;
    let url = stand.url.clone();
    let http = stand.http.clone();
    let answer = || Answer::Done("ok".to_owned());
    let request = crate::stand::answer(http.delete(format!("{url}/restart")));
    let (found, operation) = tokio::join!(request, stand.serve_one(answer()));
    assert_eq!((found.0, operation), (200, Operation::CancelRestart));

    let request = crate::stand::answer(http.post(format!("{url}/reinitialize")));
    let (found, operation) = tokio::join!(request, stand.serve_one(answer()));
    assert_eq!(found.0, 200);
    assert_eq!(
        operation,
        Operation::Reinitialize {
            force: false,
            from_leader: false
        }
    );

    assert_eq!(
        stand.send("POST", "/reload", "").await,
        (202, "reload scheduled".to_owned())
    );
    tokio::time::timeout(LIMIT, stand.reload.woken())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_message_of_a_citus_worker_is_for_the_leader_of_the_coordinator() {
    let (ask, mut asked) = mpsc::channel(1);
    let stand = Stand::start_for(|_| {}, Some(ask)).await;
    let event =
        r#"{"type": "before_demote", "group": 1, "leader": "w", "timeout": 30, "cooldown": 10}"#;
    for path in ["/citus", "/mpp"] {
        for body in [r#"{"type": "x"}"#, event] {
            let answer = stand.send("POST", path, body).await;
            assert_eq!(answer, (200, "OK".to_owned()), "nothing to do for {body}");
        }
    }
    stand.hold_lease(Duration::from_secs(600));
    for path in ["/citus", "/mpp"] {
        let (code, text) = stand.send("POST", path, r#"{"type": "x"}"#).await;
        assert!(
            code == 400 && text.contains("group, leader"),
            "{code} {text}"
        );
        assert_eq!(stand.send("POST", path, "{}").await.0, 400);
        let heard = async {
            let CitusAsked { event, done } = asked.recv().await.unwrap();
            done.send(()).unwrap();
            (event.step, event.group)
        };
        let (answer, heard) = tokio::join!(stand.send("POST", path, event), heard);
        assert_eq!(answer, (200, "OK".to_owned()));
        assert_eq!(heard, (CitusStep::BeforeDemote, 1));
    }
}

#[tokio::test]
async fn an_agent_that_is_gone_is_told() {
    let mut stand = Stand::leading().await;
    stand.requests.close();
    let (code, text) = stand.send("POST", "/restart", "").await;
    assert_eq!((code, text.as_str()), (503, "the agent is shutting down"));
}

#[tokio::test]
async fn what_there_is_no_order_for_is_501() {
    let stand = Stand::leading().await;
    for (method, path) in [
        ("POST", "/"),
        ("POST", "/foo"),
        ("DELETE", "/config"),
        ("PUT", "/restart"),
    ] {
        let (code, page) = stand.send(method, path, "{}").await;
        assert_eq!(code, 501, "{method} {path}");
        assert!(page.contains("Error code: 501"), "{page}");
    }
}
