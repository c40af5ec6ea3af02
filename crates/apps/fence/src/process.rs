//! The fence's process: its loop, and what it does at the deadline.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pgherd_domain::Moment;

use crate::clock;
use crate::file::{AtPath, DeadlineFile, FileError, Trust};
use crate::log::Log;
use crate::record::{Order, Receipt, hash};
use crate::scout::{Scout, Seen};
use crate::server::{self, Tree};
use crate::shield;
use crate::stop::stop;
use crate::tether;

/// The longest sleep: a new order is seen that late, and the end of a suspend.
const LONGEST: Duration = Duration::from_millis(100);
/// The sleep after the deadline: a primary that somebody starts does not write for long.
const PASSED: Duration = Duration::from_millis(50);
/// A look of the scout that is older says nothing of what runs now.
const STALE: Duration = Duration::from_millis(400);
/// From one search for processes without a postmaster to the next.
const SEARCH: Duration = Duration::from_secs(1);
/// How long a fence with nothing to guard waits for an agent to come back.
const ALONE: Duration = Duration::from_secs(3600);
/// How long the lock is tried for: an agent that looks whether it is free has it for a moment.
const LOCK: Duration = Duration::from_secs(1);

/// What a fence is told on its command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory of the server.
    pub data_dir: PathBuf,
    /// The file with the deadline; the agent makes it.
    pub deadline_file: PathBuf,
}

/// Why a fence could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The deadline file can not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A thread could not be started.
    #[error("start the thread that looks at the data directory")]
    Thread(#[source] std::io::Error),
}

/// Guards one PostgreSQL until it is told to leave, the deadline file is gone, or nobody needs it any more.
/// Returns at once when another fence does so already.
///
/// # Errors
/// When it can not begin.
pub fn run(options: &Options) -> Result<(), RunError> {
    let file = Arc::new(DeadlineFile::open(
        &options.deadline_file,
        false,
        Trust::of(&options.data_dir),
    )?);
    if !lock(&file)? {
        return Ok(());
    }
    let scout = Scout::start(&options.data_dir, Arc::clone(&file)).map_err(RunError::Thread)?;
    let log = Log::start("fence");
    let missing = shield::raise();
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    let folder = options.data_dir.display();
    log.info(format_args!("process {pid} guards PostgreSQL in {folder}"));
    if !missing.is_empty() {
        log.info(format_args!("not granted: {}", missing.join(", ")));
    }
    let mut fence = Fence {
        folder: hash(options.data_dir.as_os_str().as_encoded_bytes()),
        boot: clock::boot(),
        receipt: Receipt {
            pid,
            started: server::started(pid).unwrap_or(0),
            sequence: 0,
        },
        options: options.clone(),
        order: Order::Disarmed,
        writer: 0,
        alone_since: None,
        search_at: Moment::default(),
        complained: false,
        looked_at: 0,
        file,
        scout,
        log,
    };
    let why = fence.guard();
    fence.log.info(format_args!("process {pid} ends: {why}"));
    fence.log.end();
    Ok(())
}

fn lock(file: &DeadlineFile) -> Result<bool, FileError> {
    let give_up = clock::now().plus(LOCK);
    loop {
        if file.lock()? {
            return Ok(true);
        }
        if clock::now() >= give_up {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Fence {
    options: Options,
    folder: u64,
    boot: u64,
    file: Arc<DeadlineFile>,
    scout: Scout,
    log: Log,
    order: Order,
    receipt: Receipt,
    /// The agent that wrote the order.
    writer: i32,
    /// Since when that agent is gone and nothing is to be guarded.
    alone_since: Option<Moment>,
    /// When processes without a postmaster are searched next.
    search_at: Moment,
    complained: bool,
    /// The last postmaster that was looked at, and told of when it has no tether.
    looked_at: i32,
}

impl Fence {
    /// Guards; returns why it ends.
    fn guard(&mut self) -> &'static str {
        loop {
            self.take_order();
            let now = clock::now();
            let seen = self.scout.seen();
            if let Some(why) = self.is_over(seen.as_ref(), now) {
                return why;
            }
            self.tell_untied(seen.as_ref());
            let pause = match self.order {
                Order::Armed { deadline, margin } if now >= deadline => {
                    if let Some(seen) = seen {
                        self.enforce(&seen, deadline, margin, now);
                    }
                    PASSED
                }
                Order::Armed { deadline, .. } => LONGEST.min(deadline.since(now)),
                Order::Disarmed | Order::Leave => LONGEST,
            };
            std::thread::sleep(pause);
        }
    }

    /// A postmaster that somebody else started goes on when the agent and the fence die together. Told once.
    fn tell_untied(&mut self, seen: Option<&Seen>) {
        let running = seen.and_then(|seen| seen.server.as_ref());
        let Some(server) = running.filter(|server| server.pid != self.looked_at) else {
            return;
        };
        self.looked_at = server.pid;
        if !tether::is_tethered(server.pid) && !server.exits_within(Duration::ZERO) {
            self.log.info(format_args!(
                "postmaster {} was not started by pgherd: nothing but this fence stops it when the agent is gone. \
                 After its next restart by pgherd it has a tether",
                server.pid
            ));
        }
    }

    /// Reads the file. What can not be read changes nothing: the last order stays.
    fn take_order(&mut self) {
        let Some(record) = self
            .file
            .order()
            .filter(|record| record.folder == self.folder)
        else {
            if !self.complained {
                let path = self.file.path().display();
                self.log
                    .error(format_args!("{path} holds no order: the last one stays"));
            }
            self.complained = true;
            return;
        };
        self.complained = false;
        self.writer = record.writer;
        // What ran before this boot does not run any more, and its clock is not ours.
        self.order = match record.order {
            Order::Armed { .. } if record.boot != self.boot => Order::Disarmed,
            order => order,
        };
        if record.sequence != self.receipt.sequence {
            self.receipt.sequence = record.sequence;
            self.scout.acknowledge(self.receipt);
        }
    }

    /// Whether there is nothing left to do, and why.
    fn is_over(&mut self, seen: Option<&Seen>, now: Moment) -> Option<&'static str> {
        let armed_until = match self.order {
            Order::Leave => return Some("the agent has said so"),
            Order::Armed { deadline, .. } => Some(deadline),
            Order::Disarmed => None,
        };
        let nothing_runs = seen.is_none_or(|seen| seen.server.is_none());
        match seen.map_or(AtPath::Same, |seen| seen.file) {
            AtPath::Same => {}
            // Without a file nobody can extend the deadline; it is enforced all the same.
            AtPath::Nothing => {
                if armed_until.is_none_or(|at| now > at.plus(SEARCH) && nothing_runs) {
                    return Some("the deadline file is gone");
                }
            }
            AtPath::Other => return self.go_over(),
        }
        // A deadline that is long past guards against a primary that somebody starts, but not for ever.
        let idle = armed_until.is_none_or(|at| now > at && nothing_runs);
        let alone = idle && server::started(self.writer).is_none();
        let since = *self.alone_since.get_or_insert(now);
        if !alone {
            self.alone_since = None;
        } else if now.since(since) > ALONE {
            return Some("nothing is guarded here, and the agent has not come back");
        }
        None
    }

    /// Another file lies at the path: an agent has made a new one. Its order is the one that counts.
    fn go_over(&mut self) -> Option<&'static str> {
        let file = DeadlineFile::open(
            &self.options.deadline_file,
            false,
            Trust::of(&self.options.data_dir),
        )
        .ok()?;
        if !file.lock().ok()? {
            return Some("another fence has the new deadline file");
        }
        self.file = Arc::new(file);
        self.receipt.sequence = 0;
        self.scout.moved(Arc::clone(&self.file));
        None
    }

    /// The deadline has passed: stops a primary that runs, and what one has left behind.
    fn enforce(&mut self, seen: &Seen, deadline: Moment, margin: Duration, now: Moment) {
        let is_fresh = now.since(seen.at) < STALE;
        if is_fresh && seen.primary.is_none() {
            return;
        }
        let running = |server: &&Arc<_>| !server::Postmaster::exits_within(server, Duration::ZERO);
        let server = seen.server.as_ref().filter(running);
        let mut tree = Tree::of(server.map(|server| &**server), &seen.folder);
        if server.is_none() {
            // A look that is old and showed nothing does not tell whose the processes are.
            if now < self.search_at || (!is_fresh && seen.server.is_none()) {
                return;
            }
            self.search_at = now.plus(SEARCH);
            if tree.each(|_| ()) == 0 {
                return;
            }
        }
        // The agent may have extended it this very moment.
        self.take_order();
        if !matches!(self.order, Order::Armed { deadline: still, .. } if still == deadline) {
            return;
        }
        let lease_end = deadline.plus(margin);
        let deed = stop(
            server.map(|server| &**server),
            &mut tree,
            deadline,
            lease_end,
            seen.primary,
        );
        let folder = self.options.data_dir.display();
        self.log
            .error(format_args!("the primary in {folder} {deed}"));
        self.search_at = now;
    }
}
