//! As many universes as fit into a time, on all cores.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pgherd_domain::Moment;
use pgherd_ports::{Clock, SystemClock};
use pgherd_sim::universe::{self, Kind, Report};

use super::tell_broken;

/// From one line on the progress to the next.
const TELL: Duration = Duration::from_secs(10);

/// What was done so far.
#[derive(Debug, Default)]
struct Done {
    universes: u64,
    promotions: usize,
    acknowledged: usize,
    broken: u64,
    /// Virtual time.
    lasted: Duration,
}

impl Done {
    fn add(&mut self, report: &Report) {
        self.universes += 1;
        self.promotions += report.promotions;
        self.acknowledged += report.acknowledged;
        self.broken += u64::from(!report.violations.is_empty());
        self.lasted += report.lasted;
    }

    /// In words, after `took` of the wall clock.
    fn tell(&self, took: Duration) {
        let hours = self.lasted.as_secs_f64() / 3600.0;
        let rate = hours / (took.as_secs_f64() / 60.0).max(f64::EPSILON);
        println!(
            "[{:>5.0}s] {} universes, {hours:.1} cluster-hours ({rate:.1} a minute), {} promotions, {} acknowledged commits, {} broken",
            took.as_secs_f64(),
            self.universes,
            self.promotions,
            self.acknowledged,
            self.broken,
        );
    }
}

/// Runs universes of this kind for `span`, from `seed` on, which the clock gives when nobody does.
///
/// # Errors
/// When one breaks, or can not begin.
pub(super) fn run_for(span: Duration, seed: Option<u64>, kind: Kind) -> Result<(), String> {
    let clock = SystemClock;
    let seed = seed.unwrap_or_else(|| clock.wall().as_micros().unsigned_abs());
    let begin = clock.now();
    let end = begin.plus(span);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    println!(
        "from seed {seed} on, {cores} at a time, for {} minutes",
        span.as_secs() / 60
    );
    let next = AtomicU64::new(seed);
    let (tell, told) = mpsc::channel();
    let mut done = Done::default();
    thread::scope(|scope| {
        for _ in 0..cores {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || work(next, end, kind, &tell));
        }
        drop(tell);
        let mut due = begin.plus(TELL);
        for (seed, report) in told {
            let report = report.map_err(|why| format!("seed {seed} did not begin: {why}"))?;
            done.add(&report);
            if !report.violations.is_empty() {
                tell_broken(seed, kind, &report);
            }
            if clock.now() >= due {
                due = clock.now().plus(TELL);
                done.tell(clock.now().since(begin));
            }
        }
        Ok::<(), String>(())
    })?;
    done.tell(clock.now().since(begin));
    if done.broken == 0 {
        Ok(())
    } else {
        Err(format!("{} universes broke what must hold", done.broken))
    }
}

type Told = (u64, Result<Report, String>);

/// One universe after the other, until the time is over or nobody listens.
fn work(next: &AtomicU64, end: Moment, kind: Kind, tell: &mpsc::Sender<Told>) {
    while SystemClock.now() < end {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if tell.send((seed, universe::run(seed, kind))).is_err() {
            return;
        }
    }
}
