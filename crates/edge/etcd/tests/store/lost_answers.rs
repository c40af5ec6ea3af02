//! Requests that were carried out while their answer was lost: sent again, they are recognised as done.

use pgherd_ports::{Acquisition, Condition, Dcs as _, HandOver, Key, Leading, Written};

use crate::Etcd;
use crate::link::Link;
use crate::server::Servers;
use crate::{member, name, options, ready};

/// A member behind two links to one server, and a witness that sees what really happened.
struct Lossy {
    _servers: Servers,
    links: [Link; 2],
    dcs: Etcd,
    witness: Etcd,
}

impl Lossy {
    async fn make() -> Self {
        let servers = Servers::start(1);
        let target = servers.ports()[0];
        let links = [Link::to(target).await, Link::to(target).await];
        let dcs = member("a", options(links.iter().map(Link::url).collect()));
        let witness = member("b", options(servers.urls()));
        ready(&dcs).await;
        Self {
            _servers: servers,
            links,
            dcs,
            witness,
        }
    }

    /// Runs it with the answers of either link lost: one of the two is the one asked first.
    async fn with_lost_answers(&self, operation: impl AsyncFn(&Self, usize)) {
        for (round, link) in self.links.iter().enumerate() {
            link.mute();
            operation(self, round).await;
            link.heal();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conditional_write_happens_once() {
    let lossy = Lossy::make().await;
    lossy.dcs.acquire_leader().await.unwrap();
    lossy
        .with_lost_answers(async |lossy, round| {
            let before = lossy.witness.load().await.unwrap().sync;
            let when = Condition::unchanged(before.map(|sync| sync.revision)).and_leading();
            let value = format!(r#"{{"leader":"a","round":{round}}}"#);
            let written = lossy.dcs.put(&Key::Sync, &value, when).await.unwrap();
            let seen = lossy.witness.load().await.unwrap().sync.unwrap();
            assert_eq!(written, Written::Done(seen.revision), "round {round}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconditional_write_happens() {
    let lossy = Lossy::make().await;
    lossy.dcs.acquire_leader().await.unwrap();
    lossy
        .with_lost_answers(async |lossy, round| {
            let value = format!(r#"{{"optime":{round}}}"#);
            let written = lossy
                .dcs
                .put(&Key::Status, &value, Condition::LEADING)
                .await;
            assert!(matches!(written, Ok(Written::Done(_))), "{written:?}");
            let seen = lossy.witness.load().await.unwrap().status.optime.unwrap();
            assert_eq!(seen.as_u64().to_string(), round.to_string());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_key_is_taken_and_released_once() {
    let lossy = Lossy::make().await;
    lossy
        .with_lost_answers(async |lossy, _| {
            assert_eq!(lossy.dcs.acquire_leader().await, Ok(Acquisition::Mine));
            assert_eq!(lossy.dcs.renew().await.unwrap().leading, Leading::Me);
            lossy.dcs.release_leader().await.unwrap();
        })
        .await;
    for link in &lossy.links {
        assert_eq!(lossy.dcs.acquire_leader().await, Ok(Acquisition::Mine));
        link.mute();
        assert_eq!(lossy.dcs.release_leader().await, Ok(true));
        assert_eq!(lossy.witness.load().await.unwrap().leader, None);
        link.heal();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_happens_once() {
    let lossy = Lossy::make().await;
    let key = Key::Member(name("b"));
    lossy
        .witness
        .put(&key, "{}", Condition::ALWAYS)
        .await
        .unwrap();
    for link in &lossy.links {
        assert_eq!(lossy.dcs.acquire_leader().await, Ok(Acquisition::Mine));
        link.mute();
        assert_eq!(lossy.dcs.hand_over(&name("b")).await, Ok(HandOver::Done));
        assert_eq!(lossy.witness.renew().await.unwrap().leading, Leading::Me);
        link.heal();
        assert_eq!(lossy.witness.release_leader().await, Ok(true));
    }
}

/// Two members claim the bootstrap with one and the same value, so a claim whose answer was lost can not be told
/// from a rival's: it is not sent twice, and never taken for ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_was_lost_is_not_taken_for_ours() {
    let servers = Servers::start(1);
    let link = Link::to(servers.ports()[0]).await;
    let dcs = member("a", options(vec![link.url()]));
    let rival = member("b", options(servers.urls()));
    ready(&dcs).await;
    link.mute();
    assert!(
        dcs.put(&Key::Initialize, "", Condition::ABSENT)
            .await
            .is_err()
    );
    link.heal();
    rival
        .delete(&Key::Initialize, Condition::ALWAYS)
        .await
        .unwrap();
    let won = rival.put(&Key::Initialize, "", Condition::ABSENT).await;
    assert!(matches!(won, Ok(Written::Done(_))));
    let lost = dcs.put(&Key::Initialize, "", Condition::ABSENT).await;
    assert_eq!(lost, Ok(Written::Refused));
}
