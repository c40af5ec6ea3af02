//! The agent as process 1 of a container: a small parent that starts it, hands signals on and waits for whatever
//! ends (contract §1.3).
//!
//! The first process of a container inherits every orphan in it, and the agent has better to do than to wait for
//! those. An agent that is killed is started again, so that it costs the server nothing here either.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use pgherd_domain::Moment;
use pgherd_ports::{Clock as _, SystemClock};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use signal_hook::consts::{SIGABRT, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

/// What is handed on to the agent.
const HANDED_ON: [(i32, Signal); 7] = [
    (SIGHUP, Signal::HUP),
    (SIGQUIT, Signal::QUIT),
    (SIGUSR1, Signal::USR1),
    (SIGUSR2, Signal::USR2),
    (SIGINT, Signal::INT),
    (SIGABRT, Signal::ABORT),
    (SIGTERM, Signal::TERM),
];
/// An agent that was killed earlier than this after its start is not started again: that is for whoever runs
/// the container, who will wait a little.
const TOO_SOON: Duration = Duration::from_secs(1);

/// Whether this is the first process of its container or machine.
pub(crate) fn is_needed() -> bool {
    std::process::id() == 1
}

/// Runs this program once more as the agent, and returns its exit code when it has ended.
pub(crate) fn run() -> ExitCode {
    pgherd_log::start(&pgherd_settings::Log::default(), None);
    match serve() {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            error!("can not be the parent of an agent: {why}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<u8, std::io::Error> {
    let all = HANDED_ON.map(|(number, _)| number);
    let mut signals = Signals::new(all.into_iter().chain([SIGCHLD]))?;
    let mut agent = Agent::start()?;
    for number in signals.forever() {
        if let Some((_, signal)) = HANDED_ON.iter().find(|(named, _)| *named == number) {
            agent.signal(*signal);
            continue;
        }
        // One signal may stand for several ends.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid != agent.pid {
                let code = code(status);
                info!("Reaped pid={}, exit status={code}", pid.as_raw_nonzero());
            } else if agent.may_return(status) {
                warn!("the agent was killed; it is started again");
                agent = Agent::start()?;
            } else {
                return Ok(code(status));
            }
        }
    }
    Ok(0)
}

struct Agent {
    pid: Pid,
    started: Moment,
    /// It was told to end.
    is_ending: bool,
}

impl Agent {
    fn start() -> Result<Self, std::io::Error> {
        let mut words = std::env::args_os();
        let child = Command::new("/proc/self/exe")
            .arg0(words.next().unwrap_or_else(|| "pgherd".into()))
            .args(words)
            .spawn()?;
        // It is waited for with all the others.
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Self {
            pid: pid.ok_or(std::io::ErrorKind::InvalidData)?,
            started: SystemClock.now(),
            is_ending: false,
        })
    }

    fn signal(&mut self, signal: Signal) {
        self.is_ending |= signal == Signal::TERM || signal == Signal::INT;
        if let Err(error) = kill_process(self.pid, signal) {
            warn!("hand a signal on to the agent: {error}");
        }
    }

    /// Whether one that ended so is to be started again.
    fn may_return(&self, status: WaitStatus) -> bool {
        let lived = SystemClock.now().since(self.started);
        status.signaled() && !self.is_ending && lived >= TOO_SOON
    }
}

/// As a shell gives it: the exit code, or 128 and the signal's number.
fn code(status: WaitStatus) -> u8 {
    let signal = || status.terminating_signal().map(|signal| 128 + signal);
    let code = status.exit_status().or_else(signal);
    code.and_then(|code| code.try_into().ok()).unwrap_or(1)
}
