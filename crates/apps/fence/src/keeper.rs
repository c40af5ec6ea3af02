//! The agent's side: keeps the fence running and tells it the deadline.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pgherd_domain::Moment;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use crate::file::{AtPath, DeadlineFile, FileError, Trust};
use crate::record::{Order, Receipt, Record, hash};
use crate::server::{self, Postmaster};
use crate::{clock, place};

/// Signals that end whole sessions or services are not for the fence. What is ignored stays so in the program
/// that takes the shell's place.
const IGNORING: &str = r#"trap '' HUP INT QUIT TERM; exec "$0" "$@""#;
/// What a fence that was just started may take until it has the lock.
const START: Duration = Duration::from_secs(5);
/// From one start to the next, when a fence ends right away.
const RESTART: Duration = Duration::from_secs(1);
/// How long a fence may take to see an order; stopping a server takes it a few seconds.
const DEAF: Duration = Duration::from_secs(10);
/// How long a fence that is to leave is waited for.
const FAREWELL: Duration = Duration::from_secs(1);
/// From one look whether something has happened to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Why the fence could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The deadline file can not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The data directory's path can not be told.
    #[error("tell the full path of {path}", path = path.display())]
    Path {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system can not hold a process so that a signal reaches no other.
    #[error(
        "the system gives no handle on a process (pidfd, Linux 5.3); a fence could not stop a server"
    )]
    NoHandles(#[source] io::Error),
    /// The process could not be started.
    #[error("start {program} as the fence", program = program.display())]
    Start {
        /// Which program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What [`FenceKeeper::ensure`] found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// A fence guards, or is about to.
    Guarded,
    /// There was none, or not one that will do: one was started.
    Started,
    /// It ended right after its start; it is started again a little later.
    Pausing,
}

/// How [`FenceKeeper::retire`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// The fence was told to leave.
    Left,
    /// A primary runs under an armed deadline, so the fence stays and enforces it.
    StillNeeded,
}

/// Keeps the fence of one data directory. Dropping it changes nothing: the fence goes on by the last order.
#[derive(Debug)]
pub struct FenceKeeper {
    data_dir: PathBuf,
    program: PathBuf,
    /// Which file the program is: an upgrade may put another at its path while this agent runs.
    program_id: Option<(u64, u64)>,
    file: DeadlineFile,
    record: Record,
    /// The last order that the fence has acknowledged, and until when it was not behind.
    heard: (u64, Moment),
    child: Option<Child>,
    started: Option<Moment>,
}

impl FenceKeeper {
    /// Takes the fence of `data_dir` over, with the deadline that is in force; starts one when none runs.
    /// `program` is run as `program fence --data-dir … --deadline-file …`. The deadline file lies at
    /// `deadline_file`, else beside the data directory.
    ///
    /// # Errors
    /// When the deadline file can not be made or the process not be started.
    pub fn start(
        data_dir: &Path,
        program: PathBuf,
        deadline_file: Option<&Path>,
    ) -> Result<Self, KeepError> {
        pidfd_open(getpid(), PidfdFlags::empty())
            .map_err(|error| KeepError::NoHandles(error.into()))?;
        let data_dir = std::path::absolute(data_dir).map_err(|source| KeepError::Path {
            path: data_dir.to_owned(),
            source,
        })?;
        let file = match deadline_file {
            Some(path) => DeadlineFile::open(path, true, Trust::of(&data_dir))?,
            None => place::open(&data_dir)?,
        };
        let (boot, folder) = (clock::boot(), hash(data_dir.as_os_str().as_encoded_bytes()));
        let before = file.order().filter(|record| record.folder == folder);
        let order = match before.map(|record| (record.order, record.boot)) {
            Some((Order::Armed { deadline, margin }, then)) if then == boot => {
                Order::Armed { deadline, margin }
            }
            _ => Order::Disarmed,
        };
        let record = Record {
            order,
            sequence: before.map_or(0, |record| record.sequence),
            writer: i32::try_from(std::process::id()).unwrap_or(0),
            boot,
            folder,
        };
        let mut keeper = Self {
            data_dir,
            program_id: file_id(&program),
            program,
            file,
            record,
            heard: (0, clock::now()),
            child: None,
            started: None,
        };
        if !keeper.file.holds_garbage() {
            keeper.write(order)?;
        }
        // Else whoever guards goes on by the last order it could read, until there is a new one.
        keeper.ensure()?;
        Ok(keeper)
    }

    /// The deadline in force; `None`: the fence is disarmed.
    pub const fn deadline(&self) -> Option<Moment> {
        match self.record.order {
            Order::Armed { deadline, .. } => Some(deadline),
            Order::Disarmed | Order::Leave => None,
        }
    }

    /// Where the deadline file lies.
    pub fn deadline_file(&self) -> &Path {
        self.file.path()
    }

    /// Process id of the fence, as it has told it; it may have ended since.
    pub fn pid(&self) -> Option<i32> {
        self.file.receipt().map(|receipt| receipt.pid)
    }

    /// Sets the deadline: a primary that runs then is stopped, and all is over `margin` later. `None`
    /// disarms. One pwrite; the fence sees it before it acts.
    ///
    /// # Errors
    /// When the file can not be written; the last deadline stays in force.
    pub fn set(&mut self, deadline: Option<Moment>, margin: Duration) -> Result<(), KeepError> {
        let order = deadline.map_or(Order::Disarmed, |deadline| Order::Armed {
            deadline,
            margin,
        });
        self.write(order)
    }

    /// Whether a fence has seen the last order.
    pub fn is_heard(&self) -> bool {
        let receipt = self.file.receipt();
        receipt.is_some_and(|receipt| receipt.sequence >= self.record.sequence)
    }

    /// Whether a fence guards and listens. Cheap.
    pub fn guards(&self) -> bool {
        let receipt = self.file.receipt();
        let listens = receipt.is_some_and(|receipt| {
            receipt.sequence >= self.record.sequence || clock::now().since(self.heard.1) <= DEAF
        });
        listens && !self.exited()
    }

    /// Whether no fence guards at this moment. Cheap; one that was just started counts as none until it has
    /// its lock.
    pub fn exited(&self) -> bool {
        self.file.is_free()
    }

    /// Sees to it that a fence of this program guards and listens, and that its file is in place. To be called
    /// often: it costs a few system calls.
    ///
    /// # Errors
    /// When the file is gone and can not be made again, or a fence can not be started.
    pub fn ensure(&mut self) -> Result<Upkeep, KeepError> {
        if self.file.at_path() != AtPath::Same {
            let trust = Trust::of(&self.data_dir);
            self.file = DeadlineFile::open(self.file.path(), true, trust)?;
            self.write(self.record.order)?;
        }
        if let Some(child) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            self.child = None;
        }
        if !self.exited() && !self.replace_unfit() {
            return Ok(Upkeep::Guarded);
        }
        let age = self.started.map(|at| clock::now().since(at));
        match (&mut self.child, age) {
            (Some(_), Some(age)) if age < START => return Ok(Upkeep::Guarded),
            (Some(child), _) => {
                // It hangs before it has the lock; the next one gets its turn.
                child.kill().ok();
            }
            (None, Some(age)) if age < RESTART => return Ok(Upkeep::Pausing),
            (None, _) => {}
        }
        self.child = Some(self.spawn()?);
        self.started = Some(clock::now());
        Ok(Upkeep::Started)
    }

    /// The orderly end: tells the fence to leave and removes the file. While a primary runs under an armed
    /// deadline both stay.
    ///
    /// # Errors
    /// When the file can not be written or removed.
    pub fn retire(mut self) -> Result<Retired, KeepError> {
        let runs_primary = || {
            let server = Postmaster::find(&self.data_dir);
            server.is_some_and(|server| server::is_primary(&self.data_dir, Some(&server)))
        };
        if self.deadline().is_some() && runs_primary() {
            return Ok(Retired::StillNeeded);
        }
        self.write(Order::Leave)?;
        self.file.remove()?;
        let give_up = clock::now().plus(FAREWELL);
        while !self.exited() && clock::now() < give_up {
            std::thread::sleep(LOOK_AGAIN);
        }
        if let Some(child) = &mut self.child {
            child.try_wait().ok();
        }
        Ok(Retired::Left)
    }

    fn write(&mut self, order: Order) -> Result<(), KeepError> {
        if self.is_heard() {
            self.heard.1 = clock::now();
        }
        let record = Record {
            order,
            sequence: self.record.sequence + 1,
            ..self.record
        };
        self.file.write_order(&record)?;
        self.record = record;
        Ok(())
    }

    /// Ends a fence that runs another program than this agent would start (an upgrade), or that does not
    /// listen. `true`: it is gone.
    fn replace_unfit(&mut self) -> bool {
        let Some(receipt) = self.file.receipt() else {
            return false;
        };
        let now = clock::now();
        if receipt.sequence >= self.record.sequence || receipt.sequence != self.heard.0 {
            self.heard = (receipt.sequence, now);
        }
        let deaf = now.since(self.heard.1) > DEAF;
        if !deaf && !self.runs_another_program(receipt) {
            return false;
        }
        let Some(fence) = Pid::from_raw(receipt.pid)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            // The number may be another's by now.
            .filter(|_| server::started(receipt.pid) == Some(receipt.started))
        else {
            return false;
        };
        if pidfd_send_signal(&fence, Signal::KILL).is_err() {
            return false;
        }
        let give_up = clock::now().plus(FAREWELL);
        while !self.exited() && clock::now() < give_up {
            std::thread::sleep(LOOK_AGAIN);
        }
        if let Some(child) = &mut self.child {
            child.try_wait().ok();
        }
        self.child = None;
        self.started = None;
        self.heard.1 = now;
        self.exited()
    }

    fn runs_another_program(&self, receipt: Receipt) -> bool {
        let running = file_id(Path::new(&format!("/proc/{}/exe", receipt.pid)));
        // What can not be seen is no reason.
        running.is_some() && self.program_id.is_some() && running != self.program_id
    }

    /// The program as this agent knows it, also when an upgrade has put another in its place: both sides
    /// must agree on what stands in the file.
    fn same_program(&self) -> PathBuf {
        let moved = file_id(&self.program) != self.program_id;
        if moved && file_id(Path::new("/proc/self/exe")) == self.program_id {
            return format!("/proc/{}/exe", std::process::id()).into();
        }
        self.program.clone()
    }

    fn spawn(&self) -> Result<Child, KeepError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", IGNORING]);
        command.arg(self.same_program()).arg("fence");
        command.arg("--data-dir").arg(&self.data_dir);
        command.arg("--deadline-file").arg(self.file.path());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            // Passwords may be among the agent's settings, and the service manager's socket is the agent's.
            if name.starts_with("PATRONI_") || name == "NOTIFY_SOCKET" {
                command.env_remove(&*name);
            }
        }
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| KeepError::Start {
                program: self.program.clone(),
                source,
            })
    }
}

/// What tells a file from every other: its device and inode.
fn file_id(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
