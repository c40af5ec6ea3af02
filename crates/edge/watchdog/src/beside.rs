//! The thread that has the device: whatever the device does, nobody else waits for it.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgherd_domain::{Moment, WatchdogSeen};
use pgherd_ports::{Clock, SystemClock, Wake, Watchdog, WatchdogOrder};
use tokio::sync::watch;
use tracing::{error, warn};

use crate::device::Driver;
use crate::keeping::Keeping;
use crate::linux::Linux;
use crate::trace::Trace;

/// From one look whether the device is there to the next.
const LOOK: Duration = Duration::from_secs(5);
/// A device that has not answered for so long hangs.
const HANGS: Duration = Duration::from_secs(3);
/// How long the agent's end waits for what was last said to be done.
const FAREWELL: Duration = Duration::from_secs(2);

/// The watchdog of this host.
#[derive(Debug)]
pub struct WatchdogBeside {
    say: Sender<Say>,
    shared: Arc<Shared>,
}

/// What the thread is told.
#[derive(Debug)]
enum Say {
    Order(WatchdogOrder),
    Retire(Sender<()>),
}

/// What the thread shows.
#[derive(Debug)]
struct Shared {
    seen: watch::Sender<WatchdogSeen>,
    /// Since when something that was said waits for the device.
    waits_since: Mutex<Option<Moment>>,
    clock: Arc<dyn Clock>,
    wake: Wake,
}

impl Shared {
    fn waits_since(&self) -> MutexGuard<'_, Option<Moment>> {
        self.waits_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what is known now that the device has answered. The loop is woken when that is something else, and not only a later
    /// reset; whoever it wakes must find nothing that waits any more, or it would take an answer for silence and sleep again.
    fn show(&self, now: WatchdogSeen) {
        let mut wakes = false;
        let mut waits_since = self.waits_since();
        self.seen.send_if_modified(|seen| {
            let changed = *seen != now;
            wakes = changed && !(seen.counts() && now.counts());
            *seen = now;
            changed
        });
        *waits_since = None;
        drop(waits_since);
        if wakes {
            self.wake.wake();
        }
    }
}

impl WatchdogBeside {
    /// Waits for orders. Nothing is opened before there is one. `wake` is woken whenever something else is known.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(data_dir: &Path, wake: Wake) -> Result<Self, String> {
        Self::with(Box::new(Linux), Trace::beside(data_dir), wake)
    }

    fn with(driver: Box<dyn Driver>, trace: Trace, wake: Wake) -> Result<Self, String> {
        let (say, said) = mpsc::channel();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let shared = Arc::new(Shared {
            seen: watch::Sender::new(WatchdogSeen::Off),
            waits_since: Mutex::new(None),
            clock: Arc::clone(&clock),
            wake,
        });
        let show = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || listen(Keeping::new(driver, clock, trace), &said, &show))
            .map_err(|error| format!("start the thread that keeps the watchdog: {error}"))?;
        Ok(Self { say, shared })
    }

    /// The orderly end: what was said last is done before this returns, unless the device hangs.
    pub fn retire(&self) {
        let (done, is_done) = mpsc::channel();
        if self.say.send(Say::Retire(done)).is_ok() && is_done.recv_timeout(FAREWELL).is_err() {
            warn!("the watchdog does not answer: if it counts it resets this host");
        }
    }
}

impl Watchdog for WatchdogBeside {
    fn set(&self, order: WatchdogOrder) {
        let now = self.shared.clock.now();
        self.shared.waits_since().get_or_insert(now);
        if self.say.send(Say::Order(order)).is_err() {
            error!("the watchdog is not told what to do: the thread that does it is gone");
        }
    }

    fn seen(&self) -> WatchdogSeen {
        let waiting = self.shared.waits_since();
        let waits_since = *waiting;
        let seen = self.shared.seen.borrow().clone();
        drop(waiting);
        let now = self.shared.clock.now();
        match waits_since.map(|since| now.since(since)) {
            // What counts goes on counting, and its moment is known.
            Some(waits) if waits > HANGS && !seen.counts() => WatchdogSeen::Unusable {
                why: format!("the device does not answer ({} s)", waits.as_secs()),
            },
            Some(_) | None => seen,
        }
    }

    fn changes(&self) -> watch::Receiver<WatchdogSeen> {
        self.shared.seen.subscribe()
    }
}

fn listen(mut keeping: Keeping, said: &Receiver<Say>, shared: &Shared) {
    let mut last: Option<WatchdogOrder> = None;
    loop {
        match said.recv_timeout(LOOK) {
            Ok(Say::Order(order)) => {
                let (order, retire) = newest(order, said);
                // From here on what comes waits by itself.
                *shared.waits_since() = Some(shared.clock.now());
                shared.show(keeping.obey(&order));
                last = Some(order);
                if let Some(done) = retire {
                    return end(keeping, &done);
                }
            }
            Ok(Say::Retire(done)) => return end(keeping, &done),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(order) = &last {
                    shared.show(keeping.look(order));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What was said last, when several orders wait: the device is not kept alive for an older lease.
fn newest(mut order: WatchdogOrder, said: &Receiver<Say>) -> (WatchdogOrder, Option<Sender<()>>) {
    while let Ok(next) = said.try_recv() {
        match next {
            Say::Order(next) => order = next,
            Say::Retire(done) => return (order, Some(done)),
        }
    }
    (order, None)
}

fn end(keeping: Keeping, done: &Sender<()>) {
    drop(keeping);
    // Whoever waited may have gone.
    done.send(()).ok();
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::Receiver;

    use pgherd_domain::{WatchdogMode, WatchdogPlan};
    use pgherd_ports::WatchdogWant;

    use super::*;
    use crate::device::Device;

    /// A driver whose devices hang until the test lets them go. It tells when one is being opened.
    #[derive(Debug)]
    struct Hanging {
        opens: Sender<()>,
        let_go: Mutex<Receiver<()>>,
    }

    impl Driver for Hanging {
        fn check(&self, _: &str) -> io::Result<()> {
            Ok(())
        }

        fn open(&self, _: &str, _: bool) -> io::Result<Box<dyn Device>> {
            self.opens.send(()).ok();
            self.let_go.lock().unwrap().recv().ok();
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[tokio::test]
    async fn a_device_that_hangs_hangs_nobody_and_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let (let_go, hangs) = mpsc::channel();
        let (opens, opened) = mpsc::channel();
        let driver = Box::new(Hanging {
            opens,
            let_go: Mutex::new(hangs),
        });
        let trace = Trace::beside(&folder.path().join("main"));
        let wake = Wake::new();
        let watchdog = WatchdogBeside::with(driver, trace, wake.clone()).unwrap();
        let now = SystemClock.now();
        let good_until = now.plus(Duration::from_secs(30));
        watchdog.set(WatchdogOrder {
            plan: WatchdogPlan {
                mode: WatchdogMode::Required,
                device: "/dev/watchdog".to_owned(),
                testing: false,
                timeout: Duration::from_secs(25),
                loop_wait: Duration::from_secs(10),
            },
            want: WatchdogWant::Alive { good_until },
        });
        assert_eq!(watchdog.seen(), WatchdogSeen::Off, "not known yet");
        // From here on the thread does not touch what the test sets back.
        opened.recv_timeout(Duration::from_secs(20)).unwrap();
        *watchdog.shared.waits_since() = Some(now.minus(HANGS * 2));
        let seen = watchdog.seen();
        assert!(
            seen.trouble().unwrap().contains("does not answer"),
            "{seen:?}"
        );
        let_go.send(()).unwrap();
        let told = async {
            while !watchdog
                .seen()
                .trouble()
                .is_some_and(|why| why.contains("open it"))
            {
                wake.woken().await;
            }
        };
        let soon = Duration::from_secs(20);
        tokio::time::timeout(soon, told).await.unwrap();
        watchdog.retire();
    }
}
