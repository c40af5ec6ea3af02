//! The tether: the parent of a postmaster. It is what ends PostgreSQL when the agent and the fence are both gone.
//!
//! The kernel ties the two: a postmaster whose parent dies gets SIGQUIT, an immediate shutdown. And the tether reads
//! the deadline file as the fence does, and stops a primary a moment after the fence should have. It knows
//! neither the agent nor the fence, outlives both, and ends with the postmaster.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgherd_domain::Moment;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setsid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::file::{AtPath, DeadlineFile};
use crate::log::Log;
use crate::record::{Order, Record, hash};
use crate::server::{self, Postmaster, Tree};
use crate::stop::stop;
use crate::{clock, place, shield};

/// The longest sleep: a new order is seen that late, and the end of a suspend.
const LONGEST: Duration = Duration::from_millis(100);
/// The sleep after the deadline.
const PASSED: Duration = Duration::from_millis(50);
/// From one look at the disk to the next.
const LOOK: Duration = Duration::from_millis(50);
/// A look that is older says nothing of what runs now.
const STALE: Duration = Duration::from_millis(400);
/// The fence goes first: it is alive nearly always, and says what it did. At most a quarter of the margin.
const AFTER_YOU: Duration = Duration::from_millis(200);

/// The verb of a tether, as the command line of one shows it.
const VERB: &str = "tether";
/// The verb of the program that becomes the postmaster.
const CHILD: &str = "tethered";

/// What a tether is told on its command line.
#[derive(Debug, Clone)]
pub struct TetherOptions {
    /// The data directory of the server.
    pub data_dir: PathBuf,
    /// The account that the server runs as; `None`: this one.
    pub run_as: Option<(u32, u32)>,
    /// The server: program and arguments.
    pub server: Vec<OsString>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum TetherError {
    /// The data directory's path can not be told.
    #[error("tell the full path of the data directory")]
    Path(#[source] io::Error),
    /// Its process could not be started.
    #[error("start a process for the server")]
    Start(#[source] io::Error),
    /// What would end it with its parent can not be set up.
    #[error("tie the server to its parent")]
    Tie(#[source] io::Error),
    /// The parent died before it was tied to.
    #[error("the parent of the server has ended; the server is not started without one")]
    Orphan,
    /// The program can not be run.
    #[error("run {program}", program = program.display())]
    Program {
        /// Which.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Starts a server, is its parent, and returns its exit code when nothing of it is left; 128 and the signal's
/// number, when it was ended by one. The server's output goes where stdout goes.
///
/// # Errors
/// When there is no process to be had.
pub fn tether(options: &TetherOptions) -> Result<u8, TetherError> {
    outlive_signals();
    let data_dir = std::path::absolute(&options.data_dir).map_err(TetherError::Path)?;
    let mut child = spawn(options).map_err(TetherError::Start)?;
    // Only now: the server is to have neither the priority nor the long life.
    shield::raise();
    let log = Log::start(VERB);
    let postmaster = i32::try_from(child.id()).map_err(io::Error::other);
    let postmaster = postmaster.and_then(Postmaster::of_child);
    match postmaster {
        Ok(postmaster) => {
            let postmaster = Arc::new(postmaster);
            let mut tether = Tether {
                folder: hash(data_dir.as_os_str().as_encoded_bytes()),
                boot: clock::boot(),
                lookout: Lookout::start(&data_dir, Arc::clone(&postmaster)),
                data_dir,
                order: Order::Disarmed,
                complained: false,
                log,
            };
            tether.hold(&postmaster);
            let code = wait(&mut child);
            tether.see_off();
            tether.log.end();
            code
        }
        Err(error) => {
            log.error(format_args!(
                "the deadline is not watched, the server is only tied: {error}"
            ));
            wait(&mut child)
        }
    }
}

/// Becomes the server: ends with `parent`, in a session of its own. Returns only when that fails.
pub fn tethered(parent: i32, server: &[OsString]) -> TetherError {
    // It fails for the leader of a group, which is as good.
    setsid().ok();
    if let Err(error) = set_parent_process_death_signal(Some(Signal::QUIT)) {
        return TetherError::Tie(error.into());
    }
    // Had the parent died before, nothing would tell.
    if getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(parent) {
        return TetherError::Orphan;
    }
    let Some((program, args)) = server.split_first() else {
        return TetherError::Orphan;
    };
    TetherError::Program {
        program: program.into(),
        source: Command::new(program).args(args).exec(),
    }
}

/// Whether the parent of process `pid` is a tether.
pub(crate) fn is_tethered(pid: i32) -> bool {
    let parent = server::parent(pid);
    parent.is_some_and(|parent| {
        server::words(parent)
            .get(1)
            .is_some_and(|word| word == VERB)
    })
}

/// Signals that end whole sessions or services are not for the tether. They are caught, not ignored: what is
/// ignored stays so in the server.
fn outlive_signals() {
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).ok();
    }
}

fn spawn(options: &TetherOptions) -> io::Result<Child> {
    // This program, also when an upgrade has put another at its path or its folder is closed to the account.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("pgherd")
        .args([CHILD, "--parent"])
        .arg(std::process::id().to_string())
        .arg("--")
        .args(&options.server)
        .stdin(Stdio::null())
        .stderr(io::stdout().as_fd().try_clone_to_owned()?);
    if let Some((uid, gid)) = options.run_as {
        command.uid(uid).gid(gid);
    }
    command.spawn()
}

fn wait(child: &mut Child) -> Result<u8, TetherError> {
    let status = child.wait().map_err(TetherError::Start)?;
    let signal = || status.signal().map(|signal| 128 + signal);
    let code = status.code().or_else(signal);
    Ok(code.and_then(|code| code.try_into().ok()).unwrap_or(1))
}

struct Tether {
    data_dir: PathBuf,
    folder: u64,
    boot: u64,
    lookout: Lookout,
    order: Order,
    complained: bool,
    log: Log,
}

impl Tether {
    /// Returns when the postmaster has exited.
    fn hold(&mut self, postmaster: &Postmaster) {
        loop {
            let pause = self.look_at_deadline(|tether, deadline, margin| {
                tether.enforce(postmaster, deadline, margin);
            });
            if postmaster.exits_within(pause) {
                return;
            }
        }
    }

    /// Returns when nothing is left of the server whose postmaster has exited: what is may still be committing.
    fn see_off(&mut self) {
        let folder =
            std::fs::canonicalize(&self.data_dir).unwrap_or_else(|_| self.data_dir.clone());
        let mut left = Tree::of(None, &folder);
        while left.each(|_| ()) > 0 {
            let pause = self.look_at_deadline(|tether, deadline, margin| {
                let deed = stop(None, &mut left, deadline, deadline.plus(margin), None);
                tether.tell(&deed);
            });
            std::thread::sleep(pause);
            left = Tree::of(None, &folder);
        }
    }

    /// Does `enforce` when it is time; returns until when nothing is to be done.
    fn look_at_deadline(&mut self, enforce: impl FnOnce(&mut Self, Moment, Duration)) -> Duration {
        self.take_order();
        let Order::Armed { deadline, margin } = self.order else {
            return LONGEST;
        };
        let due = deadline.plus(AFTER_YOU.min(margin / 4));
        let now = clock::now();
        if now < due {
            return LONGEST.min(due.since(now));
        }
        enforce(self, deadline, margin);
        PASSED
    }

    /// Reads the file. What can not be read changes nothing; an order in the words of another version is for
    /// others to carry out, for this process can not be replaced while the server runs.
    fn take_order(&mut self) {
        let Some(file) = self.lookout.seen().file else {
            return;
        };
        let Some(record) = file.order().filter(|found| found.folder == self.folder) else {
            if file.is_foreign() {
                self.order = Order::Disarmed;
            } else if !self.complained {
                self.complained = true;
                let path = file.path().display();
                self.log
                    .error(format_args!("{path} holds no order: the last one stays"));
            }
            return;
        };
        self.complained = false;
        self.order = self.meant(&record);
    }

    /// What ran before this boot does not run any more, and its clock is not ours.
    fn meant(&self, record: &Record) -> Order {
        match record.order {
            Order::Armed { .. } if record.boot != self.boot => Order::Disarmed,
            order => order,
        }
    }

    fn enforce(&mut self, postmaster: &Postmaster, deadline: Moment, margin: Duration) {
        let seen = self.lookout.seen();
        let is_fresh = clock::now().since(seen.at) < STALE;
        if is_fresh && seen.primary.is_none() {
            return;
        }
        let folder = seen.folder.unwrap_or_else(|| self.data_dir.clone());
        let mut tree = Tree::of(Some(postmaster), &folder);
        let lease_end = deadline.plus(margin);
        let deed = stop(
            Some(postmaster),
            &mut tree,
            deadline,
            lease_end,
            seen.primary,
        );
        self.tell(&deed);
    }

    fn tell(&self, deed: &crate::stop::Deed) {
        let folder = self.data_dir.display();
        self.log
            .error(format_args!("the primary in {folder} {deed}"));
    }
}

/// What the disk showed last.
#[derive(Debug, Clone, Default)]
struct Looked {
    at: Moment,
    /// Since when the server is, or may be, a primary.
    primary: Option<Moment>,
    /// The data directory without links.
    folder: Option<PathBuf>,
    file: Option<Arc<DeadlineFile>>,
}

/// A thread that looks at the disk, so that the deadline never waits for one.
struct Lookout(Arc<Mutex<Looked>>);

impl Lookout {
    fn start(data_dir: &Path, postmaster: Arc<Postmaster>) -> Self {
        let looked = Arc::new(Mutex::new(Looked::default()));
        let (mine, data_dir) = (Arc::clone(&looked), data_dir.to_owned());
        let looking = move || {
            loop {
                let mut next = lock(&mine).clone();
                look(&data_dir, &postmaster, &mut next);
                *lock(&mine) = next;
                std::thread::sleep(LOOK);
            }
        };
        // Without it there is never a deadline, and the tie alone holds.
        drop(
            std::thread::Builder::new()
                .name("lookout".into())
                .spawn(looking),
        );
        Self(looked)
    }

    fn seen(&self) -> Looked {
        lock(&self.0).clone()
    }
}

fn look(data_dir: &Path, postmaster: &Postmaster, last: &mut Looked) {
    let is_there = |file: &Arc<DeadlineFile>| file.at_path() == AtPath::Same;
    // One that is gone still tells the last deadline, until there is another.
    if !last.file.as_ref().is_some_and(is_there)
        && let Some(found) = place::find(data_dir)
    {
        last.file = Some(Arc::new(found));
    }
    let is_primary = server::is_primary(data_dir, Some(postmaster));
    last.folder = std::fs::canonicalize(data_dir).ok();
    last.at = clock::now();
    last.primary = is_primary.then(|| last.primary.unwrap_or(last.at));
}

fn lock(looked: &Mutex<Looked>) -> std::sync::MutexGuard<'_, Looked> {
    looked.lock().unwrap_or_else(PoisonError::into_inner)
}
