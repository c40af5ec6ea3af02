//! The watchdog is told what to do: it counts while a primary may write here, and is kept alive once for every
//! proof that the lease is good, which is a renewal or the promises of the others (contract §11). What the
//! turns know comes from them; nothing here waits for them or for the device.

use std::sync::Arc;

use pgherd_domain::{LeaseSeen, Moment, Standing, WatchdogMode, WatchdogPlan};
use pgherd_ports::{Watchdog, WatchdogOrder, WatchdogWant};
use pgherd_settings::Settings;
use tokio::sync::watch;

use crate::Ports;
use crate::fence::Situation;
use crate::keeper::Board;

/// The plan of these settings.
pub(crate) fn plan(settings: &Settings) -> WatchdogPlan {
    let watchdog = &settings.changing.watchdog;
    let timing = &settings.changing.cluster.timing;
    WatchdogPlan {
        mode: watchdog.mode,
        device: watchdog.device.to_string(),
        testing: watchdog.driver == "testing",
        timeout: watchdog.safety_margin.timeout(timing.ttl),
        loop_wait: timing.loop_wait,
    }
}

/// Tells the watchdog whatever is new, until it is dropped.
pub(crate) async fn tell(
    mut situation: watch::Receiver<Situation>,
    mut plan: watch::Receiver<WatchdogPlan>,
    board: Arc<Board>,
    ports: Ports,
) {
    let mut lease = board.subscribe();
    let mut told = Told {
        watchdog: ports.watchdog,
        last: None,
    };
    loop {
        let seen = lease.borrow_and_update().clone();
        let here = *situation.borrow_and_update();
        let plan_now = plan.borrow_and_update().clone();
        told.tell(plan_now, want(&seen, here, ports.clock.now()));
        let changed = tokio::select! {
            biased;
            changed = lease.changed() => changed,
            changed = situation.changed() => changed,
            changed = plan.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// The watchdog, and what it was last told: the same lease keeps it alive only once.
struct Told {
    watchdog: Arc<dyn Watchdog>,
    last: Option<WatchdogOrder>,
}

impl Told {
    fn tell(&mut self, plan: WatchdogPlan, want: WatchdogWant) {
        let want = match plan.mode {
            WatchdogMode::Off => WatchdogWant::Off,
            WatchdogMode::Automatic | WatchdogMode::Required => want,
        };
        let order = WatchdogOrder { plan, want };
        if self.last.as_ref() != Some(&order) {
            self.watchdog.set(order.clone());
            self.last = Some(order);
        }
    }
}

/// What is wanted of the device. Only a lease that is good lets the host live on.
fn want(lease: &LeaseSeen, here: Situation, now: Moment) -> WatchdogWant {
    if here.paused || !here.serves {
        return WatchdogWant::Off;
    }
    match (lease.standing, lease.good_until) {
        (Standing::Held, Some(good_until)) if now < good_until => {
            WatchdogWant::Alive { good_until }
        }
        (Standing::Held | Standing::Lost | Standing::NotHeld, _) => WatchdogWant::Leave,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use pgherd_domain::WatchdogSeen;

    use super::*;

    const SERVES: Situation = Situation::UNSEEN;
    const REPLICA: Situation = Situation {
        primary: false,
        serves: false,
        ..SERVES
    };

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn lease(standing: Standing, until: Option<u64>) -> LeaseSeen {
        LeaseSeen {
            standing,
            good_until: until.map(at),
            trouble: None,
        }
    }

    #[test]
    fn it_counts_only_where_a_primary_may_write_and_lives_only_by_a_good_lease() {
        use WatchdogWant::{Alive, Leave, Off};
        let good_until = at(130);
        for (seen, here, now, wanted) in [
            (
                lease(Standing::Held, Some(130)),
                SERVES,
                100,
                Alive { good_until },
            ),
            (lease(Standing::Held, Some(130)), SERVES, 130, Leave),
            (lease(Standing::Lost, None), SERVES, 100, Leave),
            (lease(Standing::NotHeld, None), SERVES, 100, Leave),
            (lease(Standing::Held, Some(130)), REPLICA, 100, Off),
            (lease(Standing::NotHeld, None), REPLICA, 100, Off),
        ] {
            assert_eq!(want(&seen, here, at(now)), wanted, "{seen:?} {here:?}");
            let paused = Situation {
                paused: true,
                ..here
            };
            assert_eq!(want(&seen, paused, at(now)), Off);
        }
    }

    #[derive(Debug)]
    struct Recorder(Mutex<Vec<WatchdogWant>>, watch::Sender<WatchdogSeen>);

    impl Watchdog for Recorder {
        fn set(&self, order: WatchdogOrder) {
            self.0.lock().unwrap().push(order.want);
        }

        fn seen(&self) -> WatchdogSeen {
            WatchdogSeen::Ready
        }

        fn changes(&self) -> watch::Receiver<WatchdogSeen> {
            self.1.subscribe()
        }
    }

    #[test]
    fn one_renewal_keeps_it_alive_once_and_a_new_plan_takes_effect_with_the_next() {
        let recorder = Arc::new(Recorder(
            Mutex::default(),
            watch::Sender::new(WatchdogSeen::Ready),
        ));
        let mut told = Told {
            watchdog: Arc::clone(&recorder) as Arc<dyn Watchdog>,
            last: None,
        };
        let plan = |mode| WatchdogPlan {
            mode,
            device: "/dev/watchdog".to_owned(),
            testing: false,
            timeout: Duration::from_secs(25),
            loop_wait: Duration::from_secs(10),
        };
        let alive = |until| WatchdogWant::Alive {
            good_until: at(until),
        };
        let automatic = || plan(WatchdogMode::Automatic);
        told.tell(automatic(), alive(130));
        told.tell(automatic(), alive(130));
        told.tell(automatic(), alive(135));
        told.tell(plan(WatchdogMode::Off), alive(135));
        let said = std::mem::take(&mut *recorder.0.lock().unwrap());
        assert_eq!(said, [alive(130), alive(135), WatchdogWant::Off]);
    }
}
