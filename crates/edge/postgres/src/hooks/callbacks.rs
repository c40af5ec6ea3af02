//! The callbacks' processes: beside everything else, one at a time, the newest wins (contract §9).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgherd_domain::{Hook, HookEnd, HookRun, HooksSeen, PgRole};
use pgherd_ports::Clock;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a killed callback may take to go before the next one begins all the same.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// What is known of every run, and what runs.
#[derive(Debug)]
pub(crate) struct Callbacks {
    clock: Arc<dyn Clock>,
    book: Arc<Mutex<HooksSeen>>,
    /// Reloads have a place of their own, so that they kill nothing that matters more.
    reload: tokio::sync::Mutex<Option<Running>>,
    other: tokio::sync::Mutex<Option<Running>>,
}

/// A callback that may still run. Dropping this leaves its process alone: what was told when the agent ends
/// is still to be done.
#[derive(Debug)]
struct Running {
    supersede: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) hook: Hook,
    pub(crate) role: PgRole,
    pub(crate) command: Command,
    /// How long it may run; `None`: for ever.
    pub(crate) limit: Option<Duration>,
}

impl Callbacks {
    /// Nothing runs.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            book: Arc::default(),
            reload: tokio::sync::Mutex::default(),
            other: tokio::sync::Mutex::default(),
        }
    }

    /// How all went.
    pub(crate) fn book(&self) -> HooksSeen {
        self.book
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes a run in that was waited for.
    pub(crate) fn note(&self, hook: Hook, run: HookRun) {
        note(&self.book, hook, run);
    }

    /// Starts a callback. One of the same place that still runs is killed first, with its children. Returns
    /// when the new one has been started.
    pub(crate) async fn call(&self, mut call: Call) {
        let place = match call.hook {
            Hook::OnReload => &self.reload,
            Hook::OnStart
            | Hook::OnStop
            | Hook::OnRestart
            | Hook::OnRoleChange
            | Hook::PrePromote
            | Hook::BeforeStop => &self.other,
        };
        let mut place = place.lock().await;
        if let Some(before) = place.take()
            && before.supersede.send(()).is_ok()
            && timeout(KILL_PATIENCE, before.ended).await.is_err()
        {
            tracing::warn!(
                "a killed callback does not end; {} begins beside it",
                call.hook
            );
        }
        let began = self.clock.now();
        let child = match call.command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let end = HookEnd::Failed(format!("can not be started: {error}"));
                let run = self.run(Some(call.role), Duration::ZERO, end);
                return note(&self.book, call.hook, run);
            }
        };
        let (supersede, superseded) = oneshot::channel();
        let (clock, book) = (Arc::clone(&self.clock), Arc::clone(&self.book));
        let ended = tokio::spawn(async move {
            let end = until_it_ends(child, superseded, call.limit).await;
            let run = HookRun {
                role: Some(call.role),
                ended: clock.wall(),
                took: clock.now().since(began),
                end,
            };
            note(&book, call.hook, run);
        });
        *place = Some(Running { supersede, ended });
    }

    /// A run that ends now.
    pub(crate) fn run(&self, role: Option<PgRole>, took: Duration, end: HookEnd) -> HookRun {
        HookRun {
            role,
            ended: self.clock.wall(),
            took,
            end,
        }
    }
}

async fn until_it_ends(
    mut child: Child,
    superseded: oneshot::Receiver<()>,
    limit: Option<Duration>,
) -> HookEnd {
    let superseded = async {
        // Without its sender nobody supersedes it any more.
        if superseded.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let limit = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        status = child.wait() => return match status {
            Ok(status) if status.success() => HookEnd::Succeeded,
            Ok(status) => HookEnd::Failed(status.to_string()),
            Err(error) => HookEnd::Failed(error.to_string()),
        },
        () = superseded => HookEnd::Superseded,
        () = limit => HookEnd::TimedOut,
    };
    kill_group(&child);
    drop(child.wait().await);
    end
}

/// Ends a process that has a group of its own, with its children.
fn kill_group(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw)
        && let Err(error) = kill_process_group(pid, Signal::KILL)
    {
        tracing::debug!(%error, ?pid, "kill a callback");
    }
}

fn note(book: &Mutex<HooksSeen>, hook: Hook, run: HookRun) {
    let role = run
        .role
        .map_or_else(String::new, |role| format!(" {}", role.text()));
    let took = run.took;
    match &run.end {
        HookEnd::Succeeded => tracing::info!("callback {hook}{role} succeeded in {took:.1?}"),
        HookEnd::Failed(_) | HookEnd::TimedOut | HookEnd::Superseded => {
            tracing::warn!("callback {hook}{role} {} after {took:.1?}", run.end);
        }
    }
    book.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .note(hook, run);
}
