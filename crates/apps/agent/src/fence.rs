//! The agent's own fence: a primary whose lease ends is stopped, also when the turns are slow or stuck. And
//! the fence beside the agent is told every deadline, for the case that all of the agent is.

use std::sync::Arc;
use std::time::Duration;

use pgherd_decide::{fence_margin, serves_until};
use pgherd_domain::{LeaseSeen, Moment, Standing};
use pgherd_ports::{Clock, Fence};
use tokio::sync::watch;
use tracing::error;

use crate::Ports;
use crate::keeper::Board;

/// What the last turn saw, as far as a fence must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Situation {
    /// The cluster is paused: nothing is fenced.
    pub(crate) paused: bool,
    /// A primary runs here, and not one that is only being made.
    pub(crate) primary: bool,
    /// Something here may write, or is about to: a primary, what is left of one, or what becomes one.
    pub(crate) serves: bool,
}

impl Situation {
    /// Before the first turn: there may be a primary, and it is guarded as it was.
    pub(crate) const UNSEEN: Self = Self {
        paused: false,
        primary: true,
        serves: true,
    };
}

/// Watches the lease until it is dropped. In pause nothing is fenced.
pub(crate) async fn watch(
    mut situation: watch::Receiver<Situation>,
    board: Arc<Board>,
    ports: Ports,
) {
    let clock = ports.clock;
    let mut lease = board.subscribe();
    let mut watchdog = ports.watchdog.changes();
    let mut beside = Beside::new(ports.fence);
    let mut done = false;
    loop {
        let seen = lease.borrow_and_update().clone();
        let here = *situation.borrow_and_update();
        let counts = watchdog.borrow_and_update().clone();
        let margin = fence_margin(counts.span_of(board.ttl()));
        let now = clock.now();
        let seen = LeaseSeen {
            good_until: serves_until(&seen, &counts),
            ..seen
        };
        beside.tell(&seen, here, margin, now);
        let deadline = deadline(&seen, margin, now).filter(|_| !done);
        tokio::select! {
            biased;
            changed = lease.changed() => {
                if changed.is_err() {
                    return;
                }
                done = false;
            }
            changed = watchdog.changed() => {
                if changed.is_err() {
                    return;
                }
                done = false;
            }
            changed = situation.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = until(deadline, &*clock) => {
                if !here.paused {
                    // Nothing that serves is worth an alarm each time somebody asks for a lease in vain.
                    if here.serves {
                        error!("the lease ends: a primary that still runs is stopped now");
                    }
                    ports.postgres.fence().await;
                }
                // Nothing more to do before the lease changes.
                done = true;
            }
        }
    }
}

/// The fence beside the agent, and what it was told.
struct Beside {
    fence: Arc<dyn Fence>,
    told: Option<(Option<Moment>, Duration)>,
}

impl Beside {
    const fn new(fence: Arc<dyn Fence>) -> Self {
        Self { fence, told: None }
    }

    /// Tells it what is new. A primary without a lease, such as the one that an agent finds when it starts,
    /// stays under the last deadline until the lease is held again or it is stopped.
    fn tell(&mut self, seen: &LeaseSeen, here: Situation, margin: Duration, now: Moment) {
        let order = match seen.standing {
            _ if here.paused => None,
            Standing::NotHeld if here.primary => return,
            Standing::NotHeld => None,
            Standing::Held => deadline(seen, margin, now),
            // The moment of the loss is the deadline, not that of each look at it.
            Standing::Lost => match self.told {
                Some((Some(before), _)) if before <= now => return,
                _ => deadline(seen, margin, now),
            },
        };
        if self.told != Some((order, margin)) {
            self.told = Some((order, margin));
            self.fence.set(order, margin);
        }
    }
}

fn deadline(seen: &LeaseSeen, margin: Duration, now: Moment) -> Option<Moment> {
    match seen.standing {
        Standing::Lost => Some(now),
        Standing::Held => seen.good_until.map(|until| until.minus(margin)),
        Standing::NotHeld => None,
    }
}

async fn until(deadline: Option<Moment>, clock: &dyn Clock) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const MARGIN: Duration = Duration::from_secs(3);
    const GUARDED: Situation = Situation::UNSEEN;

    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<Option<u64>>>);

    impl Fence for Told {
        fn set(&self, deadline: Option<Moment>, margin: Duration) {
            assert_eq!(margin, MARGIN);
            let seconds = deadline.map(|moment| moment.as_nanos() / 1_000_000_000);
            self.0.lock().unwrap().push(seconds);
        }
    }

    fn seconds(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn lease(standing: Standing, until: Option<u64>) -> LeaseSeen {
        LeaseSeen {
            standing,
            good_until: until.map(seconds),
            trouble: None,
        }
    }

    /// What the fence is told when `looks` follow each other, a second apart.
    fn told(looks: &[(LeaseSeen, Situation)]) -> Vec<Option<u64>> {
        let told = Arc::new(Told::default());
        let mut beside = Beside::new(Arc::clone(&told) as Arc<dyn Fence>);
        for (at, (seen, here)) in (100..).zip(looks) {
            beside.tell(seen, *here, MARGIN, seconds(at));
        }
        std::mem::take(&mut *told.0.lock().unwrap())
    }

    #[test]
    fn every_renewal_moves_the_deadline() {
        let held = |until| (lease(Standing::Held, Some(until)), GUARDED);
        let looks = [held(130), held(130), held(135)];
        assert_eq!(told(&looks), [Some(127), Some(132)]);
    }

    #[test]
    fn a_primary_without_a_lease_stays_under_the_last_deadline() {
        let stopped = Situation {
            primary: false,
            ..GUARDED
        };
        let held = (lease(Standing::Held, Some(130)), GUARDED);
        assert_eq!(told(&[(LeaseSeen::NONE, GUARDED)]), []);
        let looks = [held, (LeaseSeen::NONE, GUARDED), (LeaseSeen::NONE, stopped)];
        assert_eq!(told(&looks), [Some(127), None]);
    }

    #[test]
    fn a_loss_has_one_moment() {
        let lost = || (lease(Standing::Lost, None), GUARDED);
        let held = (lease(Standing::Held, Some(130)), GUARDED);
        assert_eq!(told(&[held, lost(), lost()]), [Some(127), Some(101)]);
    }

    #[test]
    fn in_pause_nothing_is_fenced() {
        let paused = Situation {
            paused: true,
            ..GUARDED
        };
        let held = |here| (lease(Standing::Held, Some(130)), here);
        let looks = [held(GUARDED), held(paused), held(GUARDED)];
        assert_eq!(told(&looks), [Some(127), None, Some(127)]);
    }
}
