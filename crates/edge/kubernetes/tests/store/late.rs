//! Writes that come late: what a former leader prepared must not be done when somebody else leads, for the new leader has read
//! `/sync` already and promotes by what it says. And answers that are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgherd_kube_api::Verdict;
use pgherd_ports::{Acquisition, Condition, Dcs as _, HandOver, Key, Leading, Written};
use tokio::time::{Instant, sleep_until};

use crate::{Ours, TTL, join, name, until};

const BEFORE: &str = r#"{"leader":"a","quorum":0,"sync_standby":"b"}"#;
const LATE: &str = r#"{"leader":"a","quorum":0,"sync_standby":"c"}"#;

/// Changes of `/sync` that are stuck on their way.
struct Stuck {
    on: Arc<AtomicBool>,
    met: Arc<AtomicBool>,
}

impl Stuck {
    /// From now on they are carried out after `span`, whether or not their sender still waits.
    fn begin(ours: &Ours, span: Duration) -> Self {
        let stuck = Self {
            on: Arc::new(AtomicBool::new(true)),
            met: Arc::default(),
        };
        let (on, met) = (Arc::clone(&stuck.on), Arc::clone(&stuck.met));
        ours.api.rule(move |method, path| {
            let fits = method == "PATCH" && path.ends_with("demo-sync");
            match fits && on.load(Ordering::SeqCst) {
                true => {
                    met.store(true, Ordering::SeqCst);
                    Verdict::Delay(span)
                }
                false => Verdict::Serve,
            }
        });
        stuck
    }

    async fn is_met(&self) {
        until("a change is on its way", async || {
            self.met.load(Ordering::SeqCst)
        })
        .await;
    }

    /// New ones pass.
    fn end(&self) {
        self.on.store(false, Ordering::SeqCst);
    }
}

/// A has checked that it leads, and its change of `/sync` is stuck on its way. Its lease ends, B acquires.
async fn a_change_that_is_stuck(written_before: bool) {
    let ours = Ours::start().await;
    let (a, b) = (ours.member("a"), ours.member("b"));
    join(&a, "a").await;
    assert_eq!(a.acquire_leader().await, Ok(Acquisition::Mine));
    let mut when = Condition::ABSENT.and_leading();
    if written_before {
        let written = a.put(&Key::Sync, BEFORE, when).await.unwrap();
        let Written::Done(revision) = written else {
            unreachable!("nothing is there yet");
        };
        when = Condition::unchanged(Some(revision)).and_leading();
    }
    // B sees the record now: its lease ends a ttl later.
    assert!(b.load().await.unwrap().leader.is_some());
    let span = TTL * 2;
    let (begun, stuck) = (Instant::now(), Stuck::begin(&ours, span));
    a.put(&Key::Sync, LATE, when).await.unwrap_err();
    let sent = Instant::now();
    stuck.is_met().await;
    stuck.end();
    until("the lease of a ends", async || {
        b.acquire_leader().await == Ok(Acquisition::Mine)
    })
    .await;
    assert!(begun.elapsed() < span, "the changes are still on their way");
    let read = b.load().await.unwrap().sync;
    let there = read.as_ref().map(|sync| sync.value.has_standby(&name("b")));
    assert_eq!(there, written_before.then_some(true));
    sleep_until(sent + span + TTL / 8).await;
    let after = b.load().await.unwrap().sync;
    assert_eq!(after, read, "what b promotes by has changed");
    let refused = a.put(&Key::Sync, LATE, Condition::LEADING).await;
    assert_eq!(refused, Ok(Written::Refused));
}

pub(crate) async fn what_a_former_leader_prepared_is_refused() {
    tokio::join!(a_change_that_is_stuck(true), a_change_that_is_stuck(false));
}

/// The same when the key is handed over: A's change is on its way while it gives the key away.
pub(crate) async fn what_was_prepared_before_a_hand_over_is_refused() {
    let ours = Ours::start().await;
    let (a, b) = (Arc::new(ours.member("a")), ours.member("b"));
    join(&b, "b").await;
    a.acquire_leader().await.unwrap();
    a.put(&Key::Sync, BEFORE, Condition::LEADING).await.unwrap();
    let span = TTL / 2;
    let stuck = Stuck::begin(&ours, span);
    let writer = Arc::clone(&a);
    let late = tokio::spawn(async move { writer.put(&Key::Sync, LATE, Condition::LEADING).await });
    stuck.is_met().await;
    assert_eq!(a.hand_over(&name("b")).await, Ok(HandOver::Done));
    stuck.end();
    // Until b has taken the key up it is not the leader, for the door is open.
    let view = b.load().await.unwrap();
    assert!(!view.leader.unwrap().on_my_lease);
    let renewal = b.renew().await.unwrap();
    assert_eq!((renewal.alive, renewal.leading), (true, Leading::Me));
    let read = b.load().await.unwrap();
    assert!(read.leader.unwrap().on_my_lease);
    let said = late.await.unwrap();
    assert!(!matches!(said, Ok(Written::Done(_))), "{said:?}");
    tokio::time::sleep(span).await;
    let after = b.load().await.unwrap().sync;
    assert_eq!(after, read.sync);
    assert!(after.unwrap().value.has_standby(&name("b")));
}

/// While the objects of the cluster can not be changed nobody begins to lead; the key is taken up when they can.
pub(crate) async fn nobody_leads_before_the_door_is_closed() {
    let ours = Ours::start().await;
    let a = ours.member("a");
    ours.api
        .rule(|asked, path| match (asked, path.ends_with("demo-sync")) {
            ("PATCH", true) => Verdict::Refuse(503),
            _ => Verdict::Serve,
        });
    a.acquire_leader().await.unwrap_err();
    assert_eq!(
        ours.annotation("demo-leader", "leader").as_deref(),
        Some("a")
    );
    a.renew().await.unwrap_err();
    assert!(!a.load().await.unwrap().leader.unwrap().on_my_lease);
    ours.api.rule(|_, _| Verdict::Serve);
    assert_eq!(a.renew().await.unwrap().leading, Leading::Me);
}

/// A write whose answer was lost is known again, also where another one would look the same.
pub(crate) async fn lost_answers_are_found_out() {
    let ours = Ours::start().await;
    let (a, b) = (ours.member("a"), ours.member("b"));
    let lose_one = |method: &'static str, end: &'static str| {
        let met = AtomicBool::new(false);
        ours.api.rule(move |asked, path| {
            let fits = asked == method && path.ends_with(end);
            match fits && !met.swap(true, Ordering::SeqCst) {
                true => Verdict::LoseAnswer,
                false => Verdict::Serve,
            }
        });
    };
    lose_one("POST", "/configmaps");
    let claimed = a.put(&Key::Initialize, "", Condition::ABSENT).await;
    assert!(matches!(claimed, Ok(Written::Done(_))), "{claimed:?}");
    let refused = b.put(&Key::Initialize, "", Condition::ABSENT).await;
    assert_eq!(refused, Ok(Written::Refused));
    join(&b, "b").await;
    lose_one("POST", "/configmaps");
    assert_eq!(a.acquire_leader().await, Ok(Acquisition::Mine));
    lose_one("PATCH", "/demo-leader");
    assert_eq!(a.renew().await.unwrap().leading, Leading::Me);
    lose_one("PATCH", "/demo-leader");
    assert_eq!(a.hand_over(&name("b")).await, Ok(HandOver::Done));
    assert_eq!(b.renew().await.unwrap().leading, Leading::Me);
    lose_one("PATCH", "/demo-leader");
    assert_eq!(b.release_leader().await, Ok(true));
    assert_eq!(b.renew().await.unwrap().leading, Leading::Nobody);
}
