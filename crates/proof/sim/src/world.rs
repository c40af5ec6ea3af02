//! The world: everything that is simulated, in one place, and the virtual time it lives in.
//!
//! Time is tokio's paused clock, so nothing waits for real and every run of a seed is the same. All state
//! is behind one lock that is never held over an `.await`; whoever waits for something waits for a change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgherd_domain::{MemberName, TimelineId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Pendulum;
use crate::dice::Dice;
use crate::host::Host;
use crate::invariants::{self, Violation};
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::network::{Network, Place};
use crate::store::Store;

/// One universe. Cheap to clone; all clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changed: Notify,
    began: Instant,
}

/// More accesses than any sound universe makes without time passing.
const ACCESSES_MAX: u32 = 500_000;

/// Everything there is.
pub(crate) struct State {
    /// The virtual time of the current access.
    pub(crate) now: Duration,
    pub(crate) dice: Dice,
    pub(crate) network: Network,
    pub(crate) store: Store,
    pub(crate) hosts: BTreeMap<MemberName, Host>,
    pub(crate) ledger: Ledger,
    pub(crate) journal: Journal,
    pub(crate) violations: Vec<Violation>,
    /// The newest timeline whose history file is in the WAL archive, when there is an archive: then
    /// PostgreSQL never gives the number of a timeline twice.
    pub(crate) archive: Option<TimelineId>,
    /// The replication connections that the standby's side still holds.
    pub(crate) sessions: BTreeSet<u64>,
    /// How many accesses there were at this very instant.
    accesses: (Duration, u32),
    /// Numbers for postmasters, sessions and the like.
    next_number: u64,
}

impl State {
    /// A member's host.
    #[expect(
        clippy::expect_used,
        reason = "only members that `add_host` made have ports, and nothing removes a host"
    )]
    pub(crate) fn host(&self, name: &MemberName) -> &Host {
        self.hosts.get(name).expect("the host was added")
    }

    /// A member's host.
    #[expect(
        clippy::expect_used,
        reason = "only members that `add_host` made have ports, and nothing removes a host"
    )]
    pub(crate) fn host_mut(&mut self, name: &MemberName) -> &mut Host {
        self.hosts.get_mut(name).expect("the host was added")
    }

    /// A number that was never given before.
    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Time stands still while anything can be done, so whoever never waits would stop the universe.
    fn count_access(&mut self) {
        let (at, count) = self.accesses;
        let count = if at == self.now { count + 1 } else { 1 };
        self.accesses = (self.now, count);
        assert!(
            count < ACCESSES_MAX,
            "somebody turns in circles at {:?} without ever waiting",
            self.now
        );
    }

    /// Tells what happened.
    pub(crate) fn tell(&mut self, who: &str, what: impl Into<String>) {
        self.journal.tell(self.now, who, what.into());
    }
}

impl World {
    /// The universe of `seed`, without members. Must be called inside a tokio runtime whose clock is paused.
    pub fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                now: Duration::ZERO,
                network: Network::new(dice.of("network")),
                store: Store::new(dice.of("dcs")),
                hosts: BTreeMap::new(),
                ledger: Ledger::default(),
                journal: Journal::default(),
                violations: Vec::new(),
                archive: None,
                sessions: BTreeSet::new(),
                accesses: (Duration::ZERO, 0),
                next_number: 0,
                dice,
            }),
            changed: Notify::new(),
            began: Instant::now(),
        }))
    }

    /// The virtual time since the universe began.
    pub fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Waits a span of virtual time.
    pub(crate) async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// Runs something on its own in this world.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = self.now();
        state.count_access();
        state
    }

    /// Looks without changing anything.
    pub(crate) fn look<T>(&self, see: impl FnOnce(&State) -> T) -> T {
        see(&self.lock())
    }

    /// Changes something; everybody who waits looks again.
    pub(crate) fn change<T>(&self, make: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let made = make(&mut state);
        state.tell_store_news();
        invariants::at_every_change(&mut state);
        drop(state);
        self.0.changed.notify_waiters();
        made
    }

    /// Changes what nobody waits for, such as dice.
    pub(crate) fn quietly<T>(&self, make: impl FnOnce(&mut State) -> T) -> T {
        make(&mut self.lock())
    }

    /// Waits until `see` finds what it waits for.
    pub(crate) async fn until<T>(&self, mut see: impl FnMut(&State) -> Option<T>) -> T {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = self.look(&mut see) {
                return found;
            }
            changed.await;
        }
    }

    /// Waits until `make` can do what it is to do; it changes nothing before that.
    pub(crate) async fn until_change<T>(&self, mut make: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let made = {
                let mut state = self.lock();
                let made = make(&mut state);
                if made.is_some() {
                    state.tell_store_news();
                    invariants::at_every_change(&mut state);
                }
                made
            };
            if let Some(made) = made {
                self.0.changed.notify_waiters();
                return made;
            }
            changed.await;
        }
    }

    /// Adds a member's host: powered, its data directory empty, no agent.
    pub(crate) fn add_host(&self, name: &MemberName) {
        self.change(|state| {
            let mut dice = state.dice.of(name.as_str());
            let boot = Duration::from_secs(1000 + dice.below(100_000));
            state
                .hosts
                .insert(name.clone(), Host::new(Pendulum::exact(boot), dice));
        });
        crate::postgres::attend(self, name);
        self.spawn(crate::fence::guard(self.clone(), name.clone()));
        self.spawn(crate::watchdog::count(self.clone(), name.clone()));
    }

    /// Waits while the member's agent is frozen.
    pub(crate) async fn thawed(&self, name: &MemberName) {
        self.until(|state| {
            let host = state.host(name);
            (!host.frozen && !host.server.suspended).then_some(())
        })
        .await;
    }

    /// What broke so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.look(|state| state.violations.clone())
    }

    /// Carries a message between two members' hosts.
    pub(crate) async fn carry_between(&self, from: &MemberName, to: &MemberName) -> bool {
        self.carry(&Place::Member(from.clone()), &Place::Member(to.clone()))
            .await
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({:?})", self.now())
    }
}
