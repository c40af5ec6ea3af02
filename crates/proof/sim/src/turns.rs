//! What a turn looks like in the journal: actions and reasons in a compact form, told when they change.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use pgherd_agent::OnTurn;
use pgherd_domain::{Action, Adjustment, Answer, Reason, StartAs, StopMode, Upstream, Veto, Work};

use serde_json::Value;

use crate::process::Process;

/// How long stopping a server takes after the turn that decides it.
const ACTING: Duration = Duration::from_secs(1);

/// Writes the turns of `name` into the journal of `world`.
pub(crate) fn recorder(process: &Process) -> OnTurn {
    let (world, name) = (process.world.clone(), process.me.clone());
    let last = Mutex::new(String::new());
    Box::new(move |seen, decision, notes| {
        let does: Vec<String> = decision.actions.iter().filter_map(action).collect();
        let why: Vec<String> = decision.because.iter().filter_map(reason).collect();
        let line = if does.is_empty() {
            why.join("; ")
        } else {
            format!("{} <- {}", does.join(", "), why.join("; "))
        };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let new = !line.is_empty() && *last != line;
        world.quietly(|state| {
            if new {
                state.tell(name.as_str(), line.clone());
            }
            for note in notes {
                state.tell(name.as_str(), format!("guard holds back: {note}"));
            }
            if let Some(config) = seen.dcs.known().and_then(|view| view.config.as_ref()) {
                let pause = config.value.get("pause").and_then(Value::as_bool);
                let now = state.now;
                let host = state.host_mut(&name);
                if host.knows_pause && pause != Some(true) {
                    // It hears of the end of the pause only now, and needs a moment to act on it.
                    host.excused_until = host.excused_until.max(now + ACTING);
                }
                host.knows_pause = pause == Some(true);
            }
        });
        if new {
            *last = line;
        }
    })
}

/// An action as a scenario shows it; `None` for what happens all the time, or shows itself in the DCS or
/// in PostgreSQL when it takes effect.
fn action(action: &Action) -> Option<String> {
    Some(match action {
        Action::AcquireLeader => "acquire the leader key".to_owned(),
        Action::ReleaseLeader { .. } => "release the leader key".to_owned(),
        Action::HandOver { to, .. } => format!("hand the leader key over to {to}"),
        Action::Begin(work) => self::work(work),
        Action::CancelWork => "call the work off".to_owned(),
        Action::ArmWatchdog => "let the watchdog count".to_owned(),
        Action::Adjust(Adjustment::Follow { upstream }) => {
            format!("follow {}", server(upstream.as_ref()))
        }
        Action::Exit { because } => match because {
            Some(because) => format!("exit: {because}"),
            None => "exit".to_owned(),
        },
        Action::Answer { answer, .. } => match answer {
            Answer::Done(_) => "answer: done".to_owned(),
            Answer::Accepted(_) => "answer: accepted".to_owned(),
            Answer::Refused(..) => "answer: refused".to_owned(),
        },
        Action::PublishMember(_)
        | Action::TakeInitialize
        | Action::WriteInitialize { .. }
        | Action::DeleteInitialize { .. }
        | Action::RestoreConfig { .. }
        | Action::WriteStatus(_)
        | Action::WriteSync { .. }
        | Action::DeleteSync { .. }
        | Action::WriteHistory(_)
        | Action::WriteFailsafe(_)
        | Action::DeleteFailsafe
        | Action::WriteFailover { .. }
        | Action::Adjust(_)
        | Action::Ask(_) => return None,
    })
}

fn server(upstream: Option<&Upstream>) -> String {
    match upstream {
        Some(Upstream {
            name: Some(name), ..
        }) => name.to_string(),
        Some(upstream) => upstream.host.clone(),
        None => "nobody".to_owned(),
    }
}

fn started(start_as: &StartAs) -> String {
    match start_as {
        StartAs::Primary { .. } => "as a primary".to_owned(),
        StartAs::Replica { upstream } => format!("as a replica of {}", server(upstream.as_ref())),
    }
}

fn work(work: &Work) -> String {
    match work {
        Work::Bootstrap => "make a new cluster".to_owned(),
        Work::Clone { source, .. } => format!("copy {}", server(Some(source))),
        Work::Start { start_as, .. } => format!("start {}", started(start_as)),
        Work::Restart { start_as, .. } => format!("restart {}", started(start_as)),
        Work::Stop { mode, .. } => match mode {
            StopMode::Fast => "stop".to_owned(),
            StopMode::Immediate => "stop at once".to_owned(),
        },
        Work::Restore => "restore without a leader".to_owned(),
        Work::PrePromote => "run pre_promote".to_owned(),
        Work::Promote { .. } => "promote".to_owned(),
        Work::Checkpoint => "checkpoint".to_owned(),
        Work::CrashRecovery => "recover in single-user mode".to_owned(),
        Work::Rewind { source } => format!("rewind from {}", server(Some(source))),
        Work::CopySlots { source, .. } => format!("copy slots of {}", server(Some(source))),
        Work::StopBefore {
            time: Some(time), ..
        } => format!("stop replay before {time}"),
        Work::StopBefore { time: None, .. } => "let replay go on".to_owned(),
    }
}

/// A reason without what changes from turn to turn; `None` for what goes without saying.
fn reason(reason: &Reason) -> Option<String> {
    Some(match reason {
        Reason::WorkInProgress { .. }
        | Reason::StillStarting { .. }
        | Reason::Compared {
            diverged: false, ..
        }
        | Reason::NotRacing(Veto::AskingPeers) => return None,
        Reason::Leading { .. } => "leads".to_owned(),
        Reason::LeadingStandby { .. } => "leads the standby cluster".to_owned(),
        Reason::FollowingStandby { leader, .. } => format!("follows the standby leader {leader}"),
        Reason::Following { leader, .. } => format!("follows {leader}"),
        Reason::Idle { .. } => "follows nobody".to_owned(),
        Reason::LostLockDuring(kind) => format!("lost the key during {kind}"),
        Reason::CloningFrom { .. } => "has no data".to_owned(),
        Reason::NotRacing(veto) => format!("may not race: {veto}"),
        Reason::Awaiting { what, at, .. } => format!("awaits the {what} at {at}"),
        Reason::SystemIdMismatch { .. } => "data of another cluster".to_owned(),
        Reason::WorkFailed { kind, why } => format!("{kind} failed: {why}"),
        Reason::SwitchCalledOff(why) => format!("switch called off: {why}"),
        Reason::Says(_)
        | Reason::Compared { .. }
        | Reason::Switching { .. }
        | Reason::DataDirectory(_)
        | Reason::Sync(_)
        | Reason::Note(_)
        | Reason::Warning(_) => reason.to_string(),
    })
}
