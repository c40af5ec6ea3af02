//! Requests that were carried out while their answer was lost: sent again, they are recognised as done.

use pgherd_ports::{Acquisition, Condition, Dcs as _, HandOver, Key, Leading, Written};

use crate::link::Link;
use crate::server::Agent;
use crate::{member, name, options, ready};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_and_not_answered_is_done_once() {
    let Some(server) = Agent::server() else {
        return;
    };
    let link = Link::to(server.port()).await;
    let dcs = member("a", options(link.url()));
    let witness = member("b", options(server.url()));
    ready(&dcs).await;
    let (to, key) = (name("b"), Key::Member(name("b")));
    witness.put(&key, "{}", Condition::ALWAYS).await.unwrap();

    link.lose_next();
    assert_eq!(dcs.acquire_leader().await, Ok(Acquisition::Mine));
    assert!(link.has_lost());

    link.lose_next();
    let when = Condition::ABSENT.and_leading();
    let written = dcs.put(&Key::Sync, r#"{"leader":"a"}"#, when).await;
    let sync = witness.load().await.unwrap().sync.unwrap();
    assert_eq!(written, Ok(Written::Done(sync.revision)));
    assert!(link.has_lost());

    link.lose_next();
    let status = r#"{"optime":7}"#;
    let written = dcs.put(&Key::Status, status, Condition::LEADING).await;
    assert!(matches!(written, Ok(Written::Done(_))), "{written:?}");
    assert!(link.has_lost());

    link.lose_next();
    assert_eq!(dcs.hand_over(&to).await, Ok(HandOver::Done));
    assert!(link.has_lost());
    assert_eq!(witness.renew().await.unwrap().leading, Leading::Me);
    assert_eq!(witness.release_leader().await, Ok(true));

    assert_eq!(dcs.acquire_leader().await, Ok(Acquisition::Mine));
    link.lose_next();
    assert_eq!(dcs.release_leader().await, Ok(true));
    assert!(link.has_lost());
    assert_eq!(witness.load().await.unwrap().leader, None);

    // Two members claim the bootstrap with one and the same value, so a claim whose answer was lost can not be told
    // from a rival's: it is not sent twice, and never taken for ours.
    link.lose_next();
    let claim = || dcs.put(&Key::Initialize, "", Condition::ABSENT);
    assert!(claim().await.is_err());
    assert!(link.has_lost());
    let gone = witness.delete(&Key::Initialize, Condition::ALWAYS).await;
    gone.unwrap();
    let won = witness.put(&Key::Initialize, "", Condition::ABSENT).await;
    assert!(matches!(won, Ok(Written::Done(_))));
    assert_eq!(claim().await, Ok(Written::Refused));
}
