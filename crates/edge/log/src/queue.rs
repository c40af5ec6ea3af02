//! The queue of records, and the thread that writes them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;
use pgherd_ports::{Clock as _, SystemClock};
use pgherd_settings::Log;

use crate::heartbeat::Heartbeats;
use crate::record::Record;
use crate::sink::Sink;
use crate::template::Template;

/// At the end this long is waited for room in the queue, some times over.
const ROOM_PATIENCE: Duration = Duration::from_millis(100);

/// Where lines go, and why that is not where they should.
pub(crate) type Opened = (Sink, Option<String>);

/// What the thread is told.
enum Told {
    Record(Box<Record>),
    /// Other settings are laid down.
    Change,
    /// Answered when everything before it is written.
    Drain(SyncSender<()>),
}

/// How full the queue is, and what stands beside it.
#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicUsize,
    lost: AtomicU64,
    /// Lost, and not told yet.
    untold: AtomicU64,
    /// Settings to be taken in force before the next record. Not in the queue: it may be full for long, and whoever
    /// changes them waits for no disk.
    changed: Mutex<Option<Log>>,
}

impl Counts {
    fn changed(&self) -> MutexGuard<'_, Option<Log>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the queue that takes records in.
pub(crate) struct Queue {
    thread: Option<SyncSender<Told>>,
    /// Without a thread, whoever logs writes.
    own: Mutex<Writer>,
    counts: Arc<Counts>,
}

impl Queue {
    /// Starts the thread, which opens what it writes to.
    pub(crate) fn start(settings: &Log, open: impl Fn(&Log) -> Opened + Send + 'static) -> Self {
        let length = usize::try_from(settings.max_queue_size).unwrap_or(usize::MAX);
        let (told, tell) = mpsc::sync_channel(length.clamp(1, 1 << 20));
        let counts = Arc::new(Counts::default());
        let of_thread = (settings.clone(), Arc::clone(&counts));
        let started = thread::Builder::new().name("log".into()).spawn(move || {
            let (settings, counts) = of_thread;
            run(&tell, Writer::new(&settings, open(&settings)), &counts);
        });
        Self {
            thread: started.is_ok().then_some(told),
            own: Mutex::new(Writer::new(&Log::default(), Sink::single(None))),
            counts,
        }
    }

    /// Takes a record in; loses it when too many wait already.
    pub(crate) fn push(&self, record: Record) {
        let Some(thread) = &self.thread else {
            return self.write(&record);
        };
        // counted before: the thread may be faster than this one
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        match thread.try_send(Told::Record(Box::new(record))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                self.counts.untold.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Disconnected(told)) => {
                self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
                if let Told::Record(record) = told {
                    self.write(&record);
                }
            }
        }
    }

    fn write(&self, record: &Record) {
        let mut writer = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write(record);
    }

    /// Hands other settings to the thread.
    pub(crate) fn change(&self, settings: &Log) {
        *self.counts.changed() = Some(settings.clone());
        if let Some(thread) = &self.thread {
            // when there is no room, the next record brings them in force
            thread.try_send(Told::Change).ok();
        }
    }

    /// Waits until everything is written, for `patience` at most.
    pub(crate) fn drain(&self, patience: Duration) -> bool {
        let (done, is_done) = mpsc::sync_channel(1);
        self.thread.is_none()
            || self.tell(|| Told::Drain(done.clone())) && is_done.recv_timeout(patience).is_ok()
    }

    /// Waits and lost.
    pub(crate) fn backlog(&self) -> (usize, u64) {
        let waiting = self.counts.waiting.load(Ordering::Relaxed);
        (waiting, self.counts.lost.load(Ordering::Relaxed))
    }

    /// Tells the thread something that is no record; waits a little for room.
    fn tell(&self, what: impl Fn() -> Told) -> bool {
        let Some(thread) = &self.thread else {
            return false;
        };
        let tries = 10;
        for _ in 0..tries {
            match thread.try_send(what()) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(_)) => thread::park_timeout(ROOM_PATIENCE),
            }
        }
        false
    }
}

/// Writes until nobody is left who could log.
fn run(tell: &Receiver<Told>, mut writer: Writer, counts: &Counts) {
    while let Ok(told) = tell.recv() {
        let changed = counts.changed().take();
        if let Some(settings) = changed {
            writer.change(&settings);
        }
        match told {
            Told::Record(record) => {
                counts.waiting.fetch_sub(1, Ordering::Relaxed);
                writer.write(&record);
                let untold = counts.untold.swap(0, Ordering::Relaxed);
                if untold > 0 {
                    let text = format!("QueueHandler has lost {untold} log records");
                    writer.write(&Record::own(SystemClock.wall(), "WARNING", text));
                }
            }
            Told::Change => {}
            Told::Drain(done) => {
                // whoever waited may have gone
                done.try_send(()).ok();
            }
        }
    }
}

/// Makes lines of records and puts them where they belong.
struct Writer {
    template: Template,
    heartbeats: Heartbeats,
    sink: Sink,
}

impl Writer {
    fn new(settings: &Log, (sink, trouble): Opened) -> Self {
        let mut writer = Self {
            template: Template::new(settings, TimeZone::system()),
            heartbeats: Heartbeats::default(),
            sink,
        };
        writer.heartbeats.once = settings.deduplicate_heartbeat_logs;
        writer.complain(trouble);
        writer
    }

    fn change(&mut self, settings: &Log) {
        self.template = Template::new(settings, TimeZone::system());
        self.heartbeats.once = settings.deduplicate_heartbeat_logs;
        if self.sink.differs(settings) {
            let (sink, trouble) = Sink::open(settings);
            self.sink = sink;
            self.complain(trouble);
        }
    }

    fn complain(&mut self, trouble: Option<String>) {
        if let Some(text) = trouble {
            self.write(&Record::own(SystemClock.wall(), "ERROR", text));
        }
    }

    fn write(&mut self, record: &Record) {
        if self.heartbeats.admit(record) {
            self.sink.write(&self.template.line(record));
        }
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn record(text: &str) -> Record {
        Record::own(SystemClock.wall(), "INFO", text.to_owned())
    }

    fn log(folder: &Utf8PathBuf) -> Log {
        Log {
            dir: Some(folder.clone()),
            format: pgherd_settings::LogFormat::Template("%(message)s".to_owned()),
            ..Log::default()
        }
    }

    #[test]
    fn everything_is_written_in_order_and_settings_change_between_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let queue = Queue::start(&log(&path.join("one")), Sink::open);
        queue.push(record("first"));
        assert!(queue.drain(Duration::from_secs(10)));
        queue.change(&log(&path.join("two")));
        queue.push(record("second"));
        assert!(queue.drain(Duration::from_secs(10)));
        let text = |name: &str| fs_err::read_to_string(path.join(name).join("patroni.log"));
        assert_eq!(text("one").unwrap(), "first\n");
        assert_eq!(text("two").unwrap(), "second\n");
        assert_eq!(queue.backlog(), (0, 0));
    }

    #[test]
    fn a_full_queue_loses_records_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let (told, tell) = mpsc::sync_channel(2);
        let queue = Queue {
            thread: Some(told),
            own: Mutex::new(Writer::new(&Log::default(), Sink::single(None))),
            counts: Arc::default(),
        };
        for text in ["a", "b", "c", "d"] {
            queue.push(record(text));
        }
        assert_eq!(queue.backlog(), (2, 2));
        let counts = Arc::clone(&queue.counts);
        drop(queue);
        let settings = log(&path);
        run(
            &tell,
            Writer::new(&settings, Sink::open(&settings)),
            &counts,
        );
        let text = fs_err::read_to_string(path.join("patroni.log")).unwrap();
        assert_eq!(text, "a\nQueueHandler has lost 2 log records\nb\n");
    }

    #[test]
    fn a_folder_that_can_not_be_made_leaves_standard_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = Utf8PathBuf::from_path_buf(file.path().join("log")).unwrap();
        let (_, trouble) = Sink::open(&log(&path));
        assert!(trouble.unwrap().contains("log to standard error"));
    }
}
