//! How leading ends where keys have no lease: what a leader sent last comes too late, and what is left of it is nobody's.

use pgherd_ports::{Acquisition, Condition, Dcs as _, HandOver, Key, Leading, Written};

use crate::link::Link;
use crate::server::Servers;
use crate::{Etcd, http, member, name, options, ready, text, until};

const OLD: &str = r#"{"leader":"a","sync_standby":"b"}"#;
const LATE: &str = r#"{"leader":"a","sync_standby":"c"}"#;

fn url(servers: &Servers, key: &str) -> String {
    format!("{}/v2/keys/service/demo/{key}", servers.urls()[0])
}

/// Sends what a former leader had sent before: it compares with the revision that it knew. Whether etcd did it.
async fn lands(servers: &Servers, revision: i64) -> bool {
    let request = http().put(format!("{}?prevIndex={revision}", url(servers, "sync")));
    let form = format!("value={}", LATE.replace('"', "%22"));
    let kind = "application/x-www-form-urlencoded";
    let answer = request.header("Content-Type", kind).body(form).send();
    let answer = answer.await.expect("etcd answers");
    answer.status().is_success()
}

async fn sync(dcs: &Etcd) -> (String, i64) {
    let view = dcs.load().await.expect("the store answers");
    let sync = view.sync.expect("the key is there");
    (format!("{:?}", sync.value), sync.revision)
}

/// The leader stalls before its last write of `/sync` is carried out, its key ends, another member takes it and decides by
/// `/sync`: from then on that write is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_leader_sent_last_comes_too_late_once_another_leads() {
    let servers = Servers::start(1);
    let (a, b) = (
        member("a", options(servers.urls())),
        member("b", options(servers.urls())),
    );
    ready(&a).await;
    a.acquire_leader().await.unwrap();
    a.put(&Key::Sync, OLD, Condition::LEADING).await.unwrap();
    let (before, revision) = sync(&a).await;
    let ended = http().delete(url(&servers, "leader")).send().await;
    ended.unwrap().error_for_status().unwrap();
    assert_eq!(b.acquire_leader().await, Ok(Acquisition::Mine));
    assert!(!lands(&servers, revision).await);
    let (after, moved) = sync(&b).await;
    assert!(after == before && moved > revision);
    // Its writer finds out as well, and so does one that leads no more and does not know.
    let unchanged = Condition::unchanged(Some(revision));
    let refused = a.put(&Key::Sync, LATE, unchanged.and_leading()).await;
    assert_eq!(refused, Ok(Written::Refused));
    let unchanged = Condition::unchanged(Some(moved)).and_leading();
    let written = b.put(&Key::Sync, LATE, unchanged).await;
    assert!(matches!(written, Ok(Written::Done(_))), "{written:?}");
}

/// Who hands over, or releases, after a write of `/sync` whose answer was lost makes sure first that it can not come later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_write_is_overtaken_before_the_key_is_given_away() {
    let servers = Servers::start(1);
    let link = Link::to(servers.ports()[0]).await;
    let a = member("a", options(vec![link.url()]));
    let b = member("b", options(servers.urls()));
    ready(&a).await;
    b.put(&Key::Member(name("b")), "{}", Condition::ALWAYS)
        .await
        .unwrap();
    a.acquire_leader().await.unwrap();
    let when = Condition::LEADING;
    a.put(&Key::Sync, OLD, when).await.unwrap();
    for give_away in [true, false] {
        link.mute();
        assert!(a.put(&Key::Sync, OLD, when).await.is_err());
        link.heal();
        let (_, revision) = sync(&b).await;
        if give_away {
            assert_eq!(a.hand_over(&name("b")).await, Ok(HandOver::Done));
            assert_eq!(b.renew().await.unwrap().leading, Leading::Me);
            assert_eq!(b.hand_over(&name("a")).await, Ok(HandOver::NoLease));
            b.release_leader().await.unwrap();
        } else {
            assert_eq!(a.release_leader().await, Ok(true));
        }
        assert!(!lands(&servers, revision).await);
        a.acquire_leader().await.unwrap();
    }
}

/// The key ends by itself: its holder learns it by its next renewal, and somebody else may begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_gone_or_anothers_is_told_by_the_next_renewal() {
    let servers = Servers::start(1);
    let a = member("a", options(servers.urls()));
    ready(&a).await;
    let key = Key::Member(name("a"));
    a.put(&key, "{}", Condition::ALWAYS).await.unwrap();
    a.acquire_leader().await.unwrap();
    let gone = http().delete(url(&servers, "leader")).send().await;
    gone.unwrap().error_for_status().unwrap();
    let renewal = a.renew().await.unwrap();
    assert_eq!((renewal.alive, renewal.leading), (true, Leading::Nobody));
    // As Patroni takes it, and as it renews.
    let patroni = format!("{}?value=p&ttl=30&prevExist=false", url(&servers, "leader"));
    let taken = http().put(patroni).send().await.unwrap();
    taken.error_for_status().unwrap();
    let leading = a.renew().await.unwrap().leading;
    assert_eq!(leading, Leading::Other(name("p")));
    assert_eq!(a.acquire_leader().await, Ok(Acquisition::Taken));
    let before = a.load().await.unwrap().leader.unwrap();
    let renewed = format!("{}?value=p&ttl=30&prevValue=p", url(&servers, "leader"));
    let renewed = http().put(renewed).send().await.unwrap();
    renewed.error_for_status().unwrap();
    assert_eq!(a.load().await.unwrap().leader, Some(before));
}

/// A leader key that ends sooner than etcd had said, for a clock was set: whoever read that before keeps off, since its holder
/// still counts on it. One that is deleted is free at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_ends_before_its_time_is_not_taken_before_it() {
    let servers = Servers::start(1);
    let (a, fresh) = (
        member("a", options(servers.urls())),
        member("b", options(servers.urls())),
    );
    ready(&a).await;
    let put = async |parameters: &str| {
        let url = format!("{}?{parameters}", url(&servers, "leader"));
        let done = http().put(url).send().await.unwrap();
        done.error_for_status().unwrap();
    };
    put("value=p&ttl=60").await;
    assert!(a.load().await.unwrap().leader.is_some());
    // Nobody is told of this one.
    put("ttl=1&refresh=true&prevExist=true").await;
    until("the key has ended", async || {
        let left = http().get(url(&servers, "leader")).send().await;
        left.unwrap().status() == 404
    })
    .await;
    let said = text(a.acquire_leader().await);
    assert!(said.contains("before its time"), "{said}");
    assert_eq!(a.load().await.unwrap().leader, None);
    assert_eq!(fresh.acquire_leader().await, Ok(Acquisition::Mine));

    assert!(a.load().await.unwrap().leader.is_some());
    fresh.renew().await.unwrap();
    fresh.leave().await.unwrap();
    assert_eq!(a.acquire_leader().await, Ok(Acquisition::Mine));
}
