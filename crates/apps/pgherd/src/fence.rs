//! `pgherd fence`, and the agent's side of it: a thread keeps the fence running and hands deadlines on.
//!
//! A thread and not the runtime: it writes a file and starts processes, and both may wait for a disk.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgherd_domain::Moment;
use pgherd_fence::{FenceKeeper, KeepError, Options, Retired, Upkeep};
use pgherd_ports::{Clock as _, Fence, SystemClock, Wake};
use tracing::{error, info, warn};

use crate::agent::chain;
use crate::cli::FenceArgs;

/// From one look whether the fence still guards to the next.
const LOOK: Duration = Duration::from_millis(500);
/// The same until one guards for the first time: nobody leads before.
const FIRST_LOOK: Duration = Duration::from_millis(20);
/// A fence that is missing for no longer than this is no trouble: it is being started again.
const MENDED: Duration = Duration::from_secs(3);
/// How long the agent's end waits for the fence's.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs the fence until it is told to leave.
pub(crate) fn run(args: FenceArgs) -> ExitCode {
    let options = Options {
        data_dir: args.data_dir,
        deadline_file: args.deadline_file,
    };
    match pgherd_fence::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The fence beside this agent.
#[derive(Debug)]
pub(crate) struct FenceBeside {
    say: Sender<Say>,
    trouble: Arc<Mutex<Option<String>>>,
}

/// What the thread is told.
#[derive(Debug)]
enum Say {
    Deadline(Option<Moment>, Duration),
    Retire(Sender<()>),
}

impl FenceBeside {
    /// Takes the fence of `data_dir` over, or starts one. When that fails it is told, and tried again; `wake` is
    /// woken whenever it is settled whether one guards.
    ///
    /// # Errors
    /// When there is no thread to be had, or no telling which program this is.
    pub(crate) fn start(data_dir: &Path, wake: Wake) -> Result<Self, String> {
        let program = std::env::current_exe()
            .map_err(|error| format!("find the program to run as the fence: {error}"))?;
        Self::with_program(data_dir, program, wake)
    }

    fn with_program(data_dir: &Path, program: PathBuf, wake: Wake) -> Result<Self, String> {
        let (say, said) = mpsc::channel();
        let shown = Arc::new(Mutex::new(Some("the fence has not begun yet".to_owned())));
        let mut keeping = Keeping {
            data_dir: data_dir.to_owned(),
            program,
            keeper: None,
            wanted: None,
            trouble: None,
            guarded_at: None,
            shown: Arc::clone(&shown),
            wake,
        };
        keeping.look_after();
        std::thread::Builder::new()
            .name("fence-keeper".into())
            .spawn(move || keeping.listen(&said))
            .map_err(|error| format!("start the thread that keeps the fence: {error}"))?;
        Ok(Self {
            say,
            trouble: shown,
        })
    }

    /// The orderly end: the fence leaves, unless a primary still runs under a deadline.
    pub(crate) fn retire(&self) {
        let (done, is_done) = mpsc::channel();
        if self.say.send(Say::Retire(done)).is_ok() && is_done.recv_timeout(FAREWELL).is_err() {
            warn!("the fence does not leave: it will by itself when nothing is left to guard");
        }
    }
}

impl Fence for FenceBeside {
    fn set(&self, deadline: Option<Moment>, margin: Duration) {
        if self.say.send(Say::Deadline(deadline, margin)).is_err() {
            error!("the fence is not told its deadline: the thread that does it is gone");
        }
    }

    fn trouble(&self) -> Option<String> {
        let shown = self.trouble.lock();
        shown.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the thread knows.
struct Keeping {
    data_dir: PathBuf,
    program: PathBuf,
    keeper: Option<FenceKeeper>,
    /// The last deadline that could not be handed on yet.
    wanted: Option<(Option<Moment>, Duration)>,
    /// What is wrong; told once.
    trouble: Option<String>,
    /// When one was last seen guarding; `None`: never.
    guarded_at: Option<Moment>,
    /// What is told to whoever wants to lead.
    shown: Arc<Mutex<Option<String>>>,
    wake: Wake,
}

impl Keeping {
    fn listen(mut self, said: &Receiver<Say>) {
        loop {
            let pause = self.guarded_at.map_or(FIRST_LOOK, |_| LOOK);
            match said.recv_timeout(pause) {
                Ok(Say::Deadline(deadline, margin)) => {
                    self.wanted = Some((deadline, margin));
                    if let Err(error) = self.hand_on() {
                        self.complain(chain(&error));
                    }
                }
                Ok(Say::Retire(done)) => {
                    self.retire();
                    // Whoever waited may have gone.
                    done.send(()).ok();
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.look_after(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Sees to it that a fence guards and knows the deadline.
    fn look_after(&mut self) {
        match self.keep().and_then(|kept| self.hand_on().map(|()| kept)) {
            Ok(Upkeep::Guarded) if self.keeper.as_ref().is_some_and(FenceKeeper::guards) => {
                self.settle();
            }
            // It is about to, or was taken over this moment.
            Ok(Upkeep::Guarded) => {}
            Ok(Upkeep::Started) => {
                warn!(
                    "another fence was started: the last one had ended, or was not of this program"
                );
            }
            Ok(Upkeep::Pausing) => self.complain("the fence ends as soon as it is started".into()),
            Err(error) => self.complain(chain(&error)),
        }
        self.show();
    }

    /// Whoever wants to lead hears of what lasts, and at the start of everything.
    fn show(&mut self) {
        let missing = self.guarded_at.map(|at| SystemClock.now().since(at));
        let lasts = missing.is_none_or(|missing| missing > MENDED);
        let silent = || "the fence does not answer".to_owned();
        let now = lasts.then(|| self.trouble.clone().unwrap_or_else(silent));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown != now {
            *shown = now;
            drop(shown);
            self.wake.wake();
        }
    }

    fn keep(&mut self) -> Result<Upkeep, KeepError> {
        match &mut self.keeper {
            Some(keeper) => keeper.ensure(),
            None => FenceKeeper::start(&self.data_dir, self.program.clone(), None).map(|keeper| {
                let file = keeper.deadline_file().display().to_string();
                info!("the fence is told its deadlines in {file}");
                self.keeper = Some(keeper);
                Upkeep::Guarded
            }),
        }
    }

    fn hand_on(&mut self) -> Result<(), KeepError> {
        if let (Some(keeper), Some((deadline, margin))) = (&mut self.keeper, self.wanted) {
            keeper.set(deadline, margin)?;
            self.wanted = None;
        }
        Ok(())
    }

    fn retire(&mut self) {
        let left: Option<Result<Retired, KeepError>> = self.keeper.take().map(FenceKeeper::retire);
        match left {
            Some(Ok(Retired::StillNeeded)) => {
                warn!("the fence stays: a primary runs, and its lease is going to end");
            }
            Some(Err(error)) => warn!("the fence does not leave: {}", chain(&error)),
            Some(Ok(Retired::Left)) | None => {}
        }
    }

    fn complain(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            error!("no fence guards beside the agent: {trouble}");
            self.trouble = Some(trouble);
        }
    }

    fn settle(&mut self) {
        self.guarded_at = Some(SystemClock.now());
        if self.trouble.take().is_some() {
            info!("the fence guards again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For what takes a second, on a busy machine.
    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_fence_that_can_not_start_is_told_of_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let wake = Wake::new();
        let program = folder.path().join("gone");
        let data_dir = folder.path().join("data");
        let fence = FenceBeside::with_program(&data_dir, program, wake.clone()).unwrap();
        assert!(fence.trouble().is_some(), "nobody leads before one guards");
        let ends = async {
            while fence
                .trouble()
                .is_none_or(|why| !why.contains("as soon as it is started"))
            {
                wake.woken().await;
            }
        };
        tokio::time::timeout(SOON, ends).await.unwrap();
        fence.retire();
    }
}
