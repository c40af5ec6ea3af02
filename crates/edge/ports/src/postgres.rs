//! The PostgreSQL port: one local server.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pgherd_domain::{
    Adjustment, ClusterView, HooksSeen, PgRole, PostgresSeen, Upstream, UpstreamSeen, Work,
    WorkError,
};
use pgherd_settings::Settings;
use serde_json::Value;

use crate::Wake;

/// What a long work says of itself while it runs; shown in the member key, the log and `pgherd list`.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    said: Arc<Mutex<Option<String>>>,
    wake: Option<Wake>,
}

impl Progress {
    /// A progress that wakes the loop whenever it says something new.
    pub fn waking(wake: Wake) -> Self {
        Self {
            said: Arc::default(),
            wake: Some(wake),
        }
    }

    /// Says how far the work is, such as `copying 412 of 900 MB (46 %)`.
    pub fn say(&self, text: impl Into<String>) {
        let text = text.into();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() != Some(&text) {
            *said = Some(text);
            if let Some(wake) = &self.wake {
                wake.wake();
            }
        }
    }

    /// What was last said.
    pub fn said(&self) -> Option<String> {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Why a small change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdjustError {
    /// The server did not answer.
    #[error("PostgreSQL does not answer: {0}")]
    NotAnswering(String),
    /// The server refused.
    #[error("{0}")]
    Refused(String),
}

/// One PostgreSQL server on this host.
#[async_trait]
pub trait LocalPostgres: Send + Sync + fmt::Debug {
    /// Looks at the server, within about two seconds whatever happens. Looking never fails and changes nothing.
    async fn observe(&self) -> PostgresSeen;

    /// Returns when the postmaster that runs now has exited (pidfd); never, when none runs or is known.
    async fn exited(&self);

    /// Returns when a standby begins or ends to stream from this server, within about a tenth of a second; what
    /// happened since the last call counts too. Never, while the server does not answer.
    async fn standbys_changed(&self) {
        std::future::pending::<()>().await;
    }

    /// Carries a long work out. Dropping the future calls the work off as far as that is safe: child
    /// processes that it started are ended, a started postmaster stays.
    async fn carry_out(&self, work: &Work, progress: &Progress) -> Result<(), WorkError>;

    /// Makes a small change to the running server.
    async fn adjust(&self, change: &Adjustment) -> Result<(), AdjustError>;

    /// Asks a server for its timeline and history, with the rewind (or superuser) credentials.
    async fn ask_history(&self, upstream: &Upstream) -> Result<UpstreamSeen, String>;

    /// Takes new settings in force for what follows, and the role whose overrides apply. When PostgreSQL
    /// runs and a file that it reads changes, it is reloaded (contract §3.3). Cheap when nothing changed.
    async fn configure(&self, settings: Arc<Settings>, role: PgRole, cluster: Option<&ClusterView>);

    /// Whether the leader key is this member's, as the DCS was read a moment ago, also while a work runs: an operator's
    /// callback is told of the stop of a primary whether the key has gone already (contract §9). Cheap.
    fn note_leading(&self, _leads: bool) {}

    /// Reloads PostgreSQL even when nothing changed (SIGHUP, `POST /reload`).
    async fn reload(&self) -> Result<(), AdjustError>;

    /// Keeps a copy of the dynamic configuration beside the data, for a start after the DCS has lost it
    /// (contract §2.1). Cheap when it is kept already.
    async fn keep_dynamic(&self, _dynamic: &Value) {}

    /// Whether nothing of the server is left that might write: no postmaster, and no process that has outlived
    /// one. When that can not be told, something is.
    async fn is_gone(&self) -> bool;

    /// How the operator's callbacks and hooks went.
    fn hooks(&self) -> HooksSeen {
        HooksSeen::default()
    }

    /// The agent's own last resort when the lease ends: immediate shutdown of a server that runs as a
    /// primary, then SIGKILL to what is left of it. Never touches a replica. Returns when nothing of it
    /// runs any more.
    async fn fence(&self);
}
