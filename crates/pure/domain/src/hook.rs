//! The operator's commands that are run around changes of the server (contract §9), and how they went.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::{PgRole, WallTime};

/// When a command of the operator's is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// After a start.
    OnStart,
    /// After a stop.
    OnStop,
    /// After a restart.
    OnRestart,
    /// After a reload.
    OnReload,
    /// After a change of role.
    OnRoleChange,
    /// Between taking the leader key and promoting; must succeed.
    PrePromote,
    /// Before a stop.
    BeforeStop,
}

impl Hook {
    /// As settings and commands call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnStart => "on_start",
            Self::OnStop => "on_stop",
            Self::OnRestart => "on_restart",
            Self::OnReload => "on_reload",
            Self::OnRoleChange => "on_role_change",
            Self::PrePromote => "pre_promote",
            Self::BeforeStop => "before_stop",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookEnd {
    /// Exit code 0.
    Succeeded,
    /// Another exit code, a signal, or it could not be started: in words.
    Failed(String),
    /// It took longer than it may, and was killed.
    TimedOut,
    /// A later event came, and it was killed.
    Superseded,
}

impl HookEnd {
    /// One word for tables and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed_out",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for HookEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::TimedOut => f.write_str("took too long and was killed"),
            Self::Superseded => f.write_str("was killed, because a later event came"),
        }
    }
}

/// One run of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRun {
    /// The role that it was told; `None` for hooks that are told none.
    pub role: Option<PgRole>,
    /// When it ended.
    pub ended: WallTime,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub end: HookEnd,
}

/// How the operator's commands went since the agent began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HooksSeen {
    /// The last run of each that has ended.
    pub last: BTreeMap<Hook, HookRun>,
    /// How often each ended how, by [`HookEnd::name`].
    pub counts: BTreeMap<(Hook, &'static str), u64>,
}

impl HooksSeen {
    /// Takes a run in that has ended.
    pub fn note(&mut self, hook: Hook, run: HookRun) {
        *self.counts.entry((hook, run.end.name())).or_default() += 1;
        self.last.insert(hook, run);
    }
}
