//! The keeper of the lease: a task of its own, so that nothing slow elsewhere can cost the lease.
//!
//! A renewal has three outcomes: renewed, lost (proven), unknown. Only the clock turns unknown into lost:
//! the lease is good until the moment before the last acknowledged renewal was sent, and ttl. It renews
//! only while turns complete, so a stuck brain does not keep the lease for ever either.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgherd_domain::{LeaseSeen, Lsn, MemberName, Moment, Standing};
use pgherd_ports::{Clock, Dcs, DcsError, Leading, Renewal, Wake};
use tokio::sync::{Notify, oneshot, watch};
use tracing::{error, info, warn};

use crate::fan::Fan;

/// How many renewals fit into one ttl.
const RENEWALS_PER_TTL: u32 = 6;

/// What the loop and the keeper share.
#[derive(Debug)]
pub(crate) struct Board {
    me: MemberName,
    seen: Fan<LeaseSeen>,
    ttl_millis: AtomicU64,
    last_turn: AtomicU64,
    /// Counts what the loop does to the key; a renewal that was under way meanwhile proves nothing.
    epoch: AtomicU64,
    /// Until when the promises of the others last, in nanoseconds; 0: there are none.
    promised_until: AtomicU64,
    /// How far the WAL of those reached who promised last.
    accepted: Mutex<BTreeMap<MemberName, Lsn>>,
    now: Notify,
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

impl Board {
    pub(crate) fn new(me: MemberName, ttl: Duration, now: Moment) -> Arc<Self> {
        Arc::new(Self {
            me,
            seen: Fan::new(LeaseSeen::NONE),
            ttl_millis: AtomicU64::new(millis(ttl)),
            last_turn: AtomicU64::new(now.as_nanos()),
            epoch: AtomicU64::new(0),
            promised_until: AtomicU64::new(0),
            accepted: Mutex::default(),
            now: Notify::new(),
            waiting: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<LeaseSeen> {
        self.seen.subscribe()
    }

    pub(crate) fn seen(&self) -> LeaseSeen {
        self.seen.get()
    }

    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_millis.load(Ordering::Relaxed))
    }

    pub(crate) fn set_ttl(&self, ttl: Duration) {
        self.ttl_millis.store(millis(ttl), Ordering::Relaxed);
    }

    /// A turn is complete.
    pub(crate) fn turned(&self, now: Moment) {
        self.last_turn.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// The key is given away: whatever a renewal under way says, it is not mine.
    pub(crate) fn gave_away(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.seen.replace(LeaseSeen::NONE);
    }

    /// Counts what the loop does to the key.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Everybody who might lead instead promised not to, until `until`: the lease is good until then. Not
    /// when it has ended meanwhile, or the key was given away since `epoch`. `false`: nothing came of it.
    pub(crate) fn confirm(&self, epoch: u64, until: Moment, now: Moment) -> bool {
        self.promised_until
            .fetch_max(until.as_nanos(), Ordering::SeqCst);
        let mut good = false;
        self.seen.modify_if(|seen| {
            let lives = seen.standing == Standing::Held
                && seen.good_until.is_some_and(|good| now < good)
                && self.epoch() == epoch;
            let longer = lives && seen.good_until < Some(until);
            if longer {
                seen.good_until = Some(until);
            }
            good = lives;
            longer
        });
        good
    }

    /// Whether the lease is good only because the others promised.
    pub(crate) fn led_by_promises(&self) -> bool {
        let seen = self.seen.get();
        let until = Moment::from_nanos(self.promised_until.load(Ordering::SeqCst));
        seen.standing == Standing::Held && seen.good_until == Some(until)
    }

    /// How far the WAL of those reaches who promised.
    pub(crate) fn hear(&self, accepted: BTreeMap<MemberName, Lsn>) {
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = accepted;
    }

    /// The same, while the lease is good only by their promises.
    pub(crate) fn accepted(&self) -> BTreeMap<MemberName, Lsn> {
        if !self.led_by_promises() {
            return BTreeMap::new();
        }
        let accepted = self.accepted.lock();
        accepted.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether somebody may still be bound by what it promised.
    pub(crate) fn promises_last(&self, now: Moment) -> bool {
        let until = Moment::from_nanos(self.promised_until.load(Ordering::SeqCst));
        now < until.plus(self.ttl())
    }

    /// Nobody is bound any more.
    pub(crate) fn promises_are_given_back(&self) {
        self.promised_until.store(0, Ordering::SeqCst);
    }

    /// The primary that a loss concerned does not run any more.
    pub(crate) fn loss_is_settled(&self) {
        self.seen.modify_if(|seen| {
            let lost = seen.standing == Standing::Lost;
            if lost {
                *seen = LeaseSeen::NONE;
            }
            lost
        });
    }

    /// Renews now, and returns when that renewal is over.
    pub(crate) async fn renew_now(&self) {
        let (done, wait) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(done);
        self.now.notify_one();
        // An error means that the keeper is gone, and then there is nothing to wait for.
        wait.await.ok();
    }
}

/// Keeps the lease until it is dropped.
pub(crate) async fn keep(board: Arc<Board>, dcs: Arc<dyn Dcs>, clock: Arc<dyn Clock>, wake: Wake) {
    loop {
        let waiting =
            std::mem::take(&mut *board.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let pause = if is_stuck(&board, clock.now()) {
            warn!("the turns do not complete: the lease is not renewed");
            board.ttl() / RENEWALS_PER_TTL
        } else if waiting.is_empty() && is_left_alone(&board.seen(), board.ttl(), clock.now()) {
            board.ttl() / RENEWALS_PER_TTL
        } else {
            renew(&board, &*dcs, &*clock, &wake).await
        };
        for done in waiting {
            // Nobody waits any more when the turn was dropped.
            done.send(()).ok();
        }
        let due = clock.now().plus(pause);
        tokio::select! {
            biased;
            () = board.now.notified() => {}
            () = clock.sleep_until(due) => {}
        }
    }
}

/// The lease has run out by this clock, though nothing proves that it is lost: renewals may have reached the
/// store whose answers did not come back. Renewing on would keep the key from everybody else, so it is left
/// alone until it has run out in the store too. A turn that reads the store asks for a renewal by itself.
fn is_left_alone(seen: &LeaseSeen, ttl: Duration, now: Moment) -> bool {
    seen.standing == Standing::Held
        && seen
            .good_until
            .is_some_and(|until| now >= until && now < until.plus(ttl + ttl / 4))
}

pub(crate) fn is_stuck(board: &Board, now: Moment) -> bool {
    let last = Moment::from_nanos(board.last_turn.load(Ordering::Relaxed));
    let patience = board.ttl().max(Duration::from_secs(10)) * 2;
    now.since(last) > patience
}

/// One renewal; returns how long to wait for the next.
async fn renew(board: &Board, dcs: &dyn Dcs, clock: &dyn Clock, wake: &Wake) -> Duration {
    let ttl = board.ttl();
    let epoch = board.epoch.load(Ordering::SeqCst);
    let sent = clock.now();
    let answer = dcs.renew().await;
    if board.epoch.load(Ordering::SeqCst) != epoch {
        return Duration::ZERO;
    }
    let good_until = sent.plus(span_of(ttl, dcs.lease_ttl()));
    let mut changed = false;
    // In one step: promises may extend the lease at this moment.
    board.seen.modify_if(|seen| {
        let after = outcome(&board.me, seen, &answer, good_until);
        tell(seen, &after);
        changed =
            seen.standing != after.standing || seen.trouble.is_some() != after.trouble.is_some();
        *seen = after;
        true
    });
    if changed {
        wake.wake();
    }
    match answer {
        Ok(_) => span_of(ttl, dcs.lease_ttl()) / RENEWALS_PER_TTL,
        Err(_) => (ttl / 20).max(Duration::from_millis(100)),
    }
}

/// How long a renewal is good for. While ttl changes, what was renewed may still be the former lease, or already the next:
/// the shorter of the two is believed.
fn span_of(ttl: Duration, of_lease: Option<Duration>) -> Duration {
    of_lease.map_or(ttl, |of_lease| of_lease.min(ttl))
}

/// What a renewal changes. An error, whichever, proves nothing: only the clock ends a lease then.
fn outcome(
    me: &MemberName,
    before: &LeaseSeen,
    answer: &Result<Renewal, DcsError>,
    good_until: Moment,
) -> LeaseSeen {
    match answer {
        Ok(renewal) => after_answer(me, before, renewal, good_until),
        Err(error) => LeaseSeen {
            trouble: Some(error.to_string()),
            ..before.clone()
        },
    }
}

/// What an answer proves.
fn after_answer(
    me: &MemberName,
    before: &LeaseSeen,
    renewal: &Renewal,
    good_until: Moment,
) -> LeaseSeen {
    let held = before.standing == Standing::Held;
    match (&renewal.leading, renewal.alive) {
        (Leading::Me, true) => LeaseSeen {
            standing: Standing::Held,
            good_until: Some(good_until),
            trouble: None,
        },
        // My own name under a lease of a former life of mine: claimed by the turn, taken by nobody.
        (Leading::Other(name), _) if name == me => LeaseSeen {
            trouble: held.then(|| "the leader key hangs on an old lease of mine".to_owned()),
            ..before.clone()
        },
        (Leading::Other(_), _) if held || before.standing == Standing::Lost => LeaseSeen {
            standing: Standing::Lost,
            good_until: None,
            trouble: None,
        },
        (Leading::Other(_), _) => LeaseSeen::NONE,
        // The key or the lease is gone, and nobody has taken it: what was good stays good until its end,
        // and is not extended. The turn tries to take the key again.
        (Leading::Nobody, _) | (Leading::Me, false) => LeaseSeen {
            trouble: held.then(|| "the leader key is gone".to_owned()),
            ..before.clone()
        },
    }
}

fn tell(before: &LeaseSeen, after: &LeaseSeen) {
    match (&before.trouble, &after.trouble) {
        (None, Some(trouble)) => warn!("lease not renewed: {trouble}"),
        (Some(_), None) if after.standing == Standing::Held => info!("lease renewed again"),
        (_, _) => {}
    }
    if before.standing == Standing::Held && after.standing == Standing::Lost {
        error!("the leader key is somebody else's");
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> MemberName {
        MemberName::new("a").unwrap()
    }

    fn held() -> LeaseSeen {
        LeaseSeen {
            standing: Standing::Held,
            good_until: Some(Moment::from_millis(5_000)),
            trouble: None,
        }
    }

    fn answer(alive: bool, leading: Leading) -> Renewal {
        Renewal { alive, leading }
    }

    #[test]
    fn while_ttl_changes_the_shorter_lease_is_believed() {
        let secs = Duration::from_secs;
        assert_eq!(span_of(secs(30), Some(secs(20))), secs(20));
        assert_eq!(span_of(secs(20), Some(secs(30))), secs(20));
        assert_eq!(span_of(secs(30), None), secs(30));
    }

    #[test]
    fn only_while_turns_complete_the_lease_is_renewed() {
        for (ttl, patience) in [(3, 20), (10, 20), (30, 60)] {
            let board = Board::new(me(), Duration::from_secs(ttl), Moment::from_millis(0));
            let turned = Moment::from_millis(7_000);
            board.turned(turned);
            let patience = Duration::from_secs(patience);
            assert!(!is_stuck(&board, turned.plus(patience)), "{ttl}");
            let late = turned.plus(patience + Duration::from_millis(1));
            assert!(is_stuck(&board, late), "{ttl}");
        }
    }

    #[test]
    fn no_error_of_the_store_ends_or_extends_a_lease() {
        let errors = [
            DcsError::TimedOut(Duration::from_secs(1), "e1: no answer".into()),
            DcsError::Unreachable("e1: connection refused".into()),
            DcsError::Denied("e1: permission denied".into()),
            DcsError::Answered("e1: requested lease not found".into()),
        ];
        let lost = LeaseSeen {
            standing: Standing::Lost,
            ..LeaseSeen::NONE
        };
        for error in errors {
            // A class that is new has to come into this table.
            match error {
                DcsError::TimedOut(..)
                | DcsError::Unreachable(_)
                | DcsError::Denied(_)
                | DcsError::Answered(_) => {}
            }
            for before in [held(), lost.clone(), LeaseSeen::NONE] {
                let trouble = Some(error.to_string());
                let good_until = Moment::from_millis(9_000);
                let after = outcome(&me(), &before, &Err(error.clone()), good_until);
                assert_eq!(after, LeaseSeen { trouble, ..before });
            }
        }
    }

    #[test]
    fn only_another_holder_takes_a_lease_away() {
        let other = || Leading::Other(MemberName::new("b").unwrap());
        let answers = [
            (other(), true),
            (other(), false),
            (Leading::Other(me()), true),
            (Leading::Other(me()), false),
            (Leading::Me, true),
            (Leading::Me, false),
            (Leading::Nobody, true),
            (Leading::Nobody, false),
        ];
        for (leading, alive) in answers {
            let proven = leading == other();
            let renewal = Ok(answer(alive, leading));
            let after = outcome(&me(), &held(), &renewal, Moment::from_millis(9_000));
            assert_eq!(after.standing == Standing::Lost, proven, "{renewal:?}");
            assert!(proven || after.good_until >= held().good_until);
        }
    }

    #[test]
    fn a_key_that_vanished_is_not_lost_and_not_extended() {
        let later = Moment::from_millis(9_000);
        for renewal in [
            answer(true, Leading::Nobody),
            answer(false, Leading::Nobody),
        ] {
            let after = after_answer(&me(), &held(), &renewal, later);
            assert_eq!(after.standing, Standing::Held);
            assert_eq!(after.good_until, Some(Moment::from_millis(5_000)));
        }
    }

    #[test]
    fn only_another_holder_proves_a_loss() {
        let other = Leading::Other(MemberName::new("b").unwrap());
        let after = after_answer(
            &me(),
            &held(),
            &answer(true, other.clone()),
            Moment::from_millis(9_000),
        );
        assert_eq!((after.standing, after.good_until), (Standing::Lost, None));
        let never_held = after_answer(
            &me(),
            &LeaseSeen::NONE,
            &answer(true, other),
            Moment::from_millis(1),
        );
        assert_eq!(never_held, LeaseSeen::NONE);
    }

    #[test]
    fn a_lease_that_ran_out_unheard_is_left_alone_until_the_store_has_seen_it_run_out() {
        let ttl = Duration::from_secs(4);
        let rests = |millis| is_left_alone(&held(), ttl, Moment::from_millis(millis));
        assert!(!rests(4_999), "still good");
        assert!(rests(5_000) && rests(9_999));
        assert!(
            !rests(10_000),
            "after ttl and a quarter it is renewed again"
        );
        assert!(!is_left_alone(
            &LeaseSeen::NONE,
            ttl,
            Moment::from_millis(6_000)
        ));
    }

    #[test]
    fn a_dead_lease_with_my_name_in_the_key_is_not_held() {
        let after = after_answer(
            &me(),
            &LeaseSeen::NONE,
            &answer(false, Leading::Me),
            Moment::from_millis(9_000),
        );
        assert_eq!(after.standing, Standing::NotHeld);
    }
}
