//! The agent's log (contract §1.7): what is told, in which form, and where to.
//!
//! Whoever logs never waits for a disk: records go into a queue of limited length, and a thread of its own writes
//! them. Read in this order: `record` (one event), `levels` (what is told), `template` (the form of a record),
//! `heartbeat` (what is not worth repeating), `sink` and `rotation` (where it goes), `queue` (the thread).

mod heartbeat;
mod levels;
mod queue;
mod record;
mod rotation;
mod sink;
mod template;

use std::fmt;
use std::panic;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use camino::Utf8Path;
use pgherd_ports::{Clock as _, SystemClock};
use pgherd_settings::Log;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use crate::queue::Queue;
use crate::record::Record;
use crate::sink::Sink;

/// The log of this process, once it was started.
static LOG: OnceLock<Arc<Shared>> = OnceLock::new();

/// What the threads that log and the one that writes share.
struct Shared {
    levels: ArcSwap<Targets>,
    queue: Queue,
    /// Levels in tracing's own words, over those of the settings.
    directives: Option<String>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Starts the log of this process as `settings` say. `directives`, such as `pgherd_etcd=debug`, say in tracing's own
/// words what else is told. A second start is taken as [`change`].
pub fn start(settings: &Log, directives: Option<&str>) {
    begin(settings, directives, || Queue::start(settings, Sink::open));
}

/// Starts the log of a small program: to `file`, which grows without end, else to standard error.
pub fn start_program(file: Option<&Utf8Path>) {
    let settings = Log::default();
    let file = file.map(Utf8Path::to_owned);
    begin(&settings, None, || {
        Queue::start(&settings, move |_| Sink::single(file.as_deref()))
    });
}

fn begin(settings: &Log, directives: Option<&str>, queue: impl FnOnce() -> Queue) {
    if LOG.get().is_some() {
        return change(settings);
    }
    let shared = Shared {
        levels: ArcSwap::from_pointee(levels::targets(settings, directives)),
        queue: queue(),
        directives: directives.map(str::to_owned),
    };
    let layer = Told(Arc::clone(LOG.get_or_init(|| Arc::new(shared))));
    // one that is there already, in a test, stays
    tracing::subscriber::set_global_default(Registry::default().with(layer)).ok();
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        // whoever reads the file does not see standard error
        tracing::error!(
            critical = true,
            "Unexpected exception raised, please report it as a BUG: {panic}"
        );
        usual(panic);
    }));
}

/// Takes other settings in force; the length of the queue stays.
pub fn change(settings: &Log) {
    if let Some(shared) = LOG.get() {
        let targets = levels::targets(settings, shared.directives.as_deref());
        shared.levels.store(Arc::new(targets));
        shared.queue.change(settings);
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Records that wait to be written, and records lost since the start because too many did.
pub fn backlog() -> (usize, u64) {
    LOG.get().map_or((0, 0), |shared| shared.queue.backlog())
}

/// Waits until everything is written. `false`: not within `patience`, and the process may end with code 5
/// (contract §1.4).
pub fn finish(patience: Duration) -> bool {
    LOG.get().is_none_or(|shared| shared.queue.drain(patience))
}

/// Hands events that are told to the queue.
struct Told(Arc<Shared>);

impl<S: Subscriber> Layer<S> for Told {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_told(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.is_told(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // levels may be raised later; callsites ask for themselves
        Some(LevelFilter::TRACE)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.queue.push(Record::of(event, SystemClock.wall()));
    }
}

impl Told {
    fn is_told(&self, metadata: &Metadata<'_>) -> bool {
        let levels = self.0.levels.load();
        levels.would_enable(metadata.target(), metadata.level())
    }
}
