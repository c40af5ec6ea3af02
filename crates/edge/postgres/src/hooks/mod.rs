//! The operator's callbacks and hooks: which event calls which command, told what (contract §9).

mod callbacks;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgherd_domain::{ClusterView, Hook, HookEnd, Moment, PgRole, WorkError};
use pgherd_pgconf::split_command;
use pgherd_ports::Clock;
use tokio::time::timeout;

use crate::run::{RunError, hook_command, output};
use crate::server::LocalServer;
use callbacks::{Call, Callbacks};

/// What hooks remember of one server.
#[derive(Debug)]
pub(crate) struct Hooks {
    callbacks: Callbacks,
    told: Mutex<Told>,
    /// A cluster is being made: nothing is told before it is there.
    silent: AtomicBool,
}

#[derive(Debug, Default)]
struct Told {
    /// The role that was told last; `None` before the first callback.
    role: Option<PgRole>,
    /// Whether the leader key was this member's when the cluster was last seen.
    leads: bool,
}

/// While it lives, no callback is called.
pub(crate) struct Silence<'a>(&'a AtomicBool);

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Hooks {
    /// Nothing has been told yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            callbacks: Callbacks::new(clock),
            told: Mutex::default(),
            silent: AtomicBool::new(false),
        }
    }

    /// Calls nothing until the guard is dropped.
    pub(crate) fn silence(&self) -> Silence<'_> {
        self.silent.store(true, Ordering::Release);
        Silence(&self.silent)
    }

    /// How all went.
    pub(crate) fn book(&self) -> pgherd_domain::HooksSeen {
        self.callbacks.book()
    }

    fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the leader key was this member's when the cluster was last seen.
    pub(crate) fn leads(&self) -> bool {
        self.told().leads
    }

    /// Whether the leader key is this member's now.
    pub(crate) fn note_leading(&self, leads: bool) {
        self.told().leads = leads;
    }

    /// Says that `role` is told now; gives what was told before.
    fn tell_role(&self, role: PgRole) -> Option<PgRole> {
        self.told().role.replace(role)
    }
}

impl LocalServer {
    /// The server has been started as `role`: another role than the last one is a change of role, and then
    /// only that is told.
    pub(crate) async fn tell_started(&self, role: PgRole) {
        if self.hooks.is_silent() {
            return;
        }
        let hook = match self.hooks.tell_role(role) {
            Some(before) if before != role => Hook::OnRoleChange,
            Some(_) | None => Hook::OnStart,
        };
        self.callback(hook, role).await;
    }

    /// The server has been stopped by us.
    pub(crate) async fn tell_stopped(&self) {
        let role = {
            let told = self.hooks.told();
            match told.role {
                Some(PgRole::Primary) if !told.leads => PgRole::Demoted,
                Some(role) => role,
                None if self.place.is_standby() => PgRole::Replica,
                None => PgRole::Primary,
            }
        };
        self.callback(Hook::OnStop, role).await;
    }

    /// The server has been restarted in the role it had.
    pub(crate) async fn tell_restarted(&self, role: PgRole) {
        self.hooks.tell_role(role);
        self.callback(Hook::OnRestart, role).await;
    }

    /// The running server is told to read its files again.
    pub(crate) async fn tell_reloaded(&self) {
        let told = self.hooks.told().role;
        let role = told.unwrap_or_else(|| match self.place.is_standby() {
            true => PgRole::Replica,
            false => PgRole::Primary,
        });
        self.callback(Hook::OnReload, role).await;
    }

    /// The role is another one, without a start.
    pub(crate) async fn tell_role(&self, role: PgRole) {
        if self.hooks.tell_role(role) != Some(role) {
            self.callback(Hook::OnRoleChange, role).await;
        }
    }

    /// A primary could not be started again, and nothing runs.
    pub(crate) async fn tell_lost(&self) {
        if self.hooks.told().role == Some(PgRole::Primary) {
            self.tell_role(PgRole::Demoted).await;
        }
    }

    /// What the loop sees of the running server: a server that the agent found running is told once, as
    /// soon as the cluster agrees with what it is; and so is a role that it took without us.
    pub(crate) async fn tell_seen(&self, role: PgRole, cluster: Option<&ClusterView>) {
        let Some(cluster) = cluster else { return };
        let leads = cluster.leader_name() == Some(&self.settings().fixed.name);
        self.hooks.note_leading(leads);
        let before = self.hooks.told().role;
        let agrees = match role {
            PgRole::Primary | PgRole::StandbyLeader => leads,
            PgRole::Replica => true,
            PgRole::Demoted | PgRole::Promoted | PgRole::Uninitialized => false,
        };
        if !agrees || before == Some(role) {
            return;
        }
        match before {
            None => self.tell_started(role).await,
            // The last one told is newer than what a turn saw.
            Some(PgRole::Primary) => {}
            Some(_) => self.tell_role(role).await,
        }
    }

    async fn callback(&self, hook: Hook, role: PgRole) {
        if self.hooks.is_silent() {
            return;
        }
        let settings = self.settings();
        let commands = &settings.changing.postgresql.callbacks;
        let given = match hook {
            Hook::OnStart => &commands.on_start,
            Hook::OnStop => &commands.on_stop,
            Hook::OnRestart => &commands.on_restart,
            Hook::OnReload => &commands.on_reload,
            Hook::OnRoleChange => &commands.on_role_change,
            Hook::PrePromote | Hook::BeforeStop => &None,
        };
        let Some(given) = given else { return };
        let words = match split_command(given) {
            Ok(words) => words,
            Err(error) => return tracing::error!(%error, "callback {hook} is not called"),
        };
        let Some((program, arguments)) = words.split_first() else {
            return;
        };
        let mut command = hook_command(program, self.place.owner());
        // What it prints is the agent's output, as with Patroni.
        command
            .stdout(std::process::Stdio::inherit())
            .stderr(std::process::Stdio::inherit())
            .args(arguments)
            .args([hook.name(), role.text(), &settings.fixed.scope]);
        let limit = settings.changing.postgresql.hook_timeout;
        let call = Call {
            hook,
            role,
            command,
            limit,
        };
        self.hooks.callbacks.call(call).await;
    }

    /// `pre_promote`: the promotion waits for it, and is not done when it fails.
    pub(crate) async fn pre_promote(&self) -> Result<(), WorkError> {
        let settings = self.settings();
        let pg = &settings.changing.postgresql;
        let Some(command) = &pg.pre_promote else {
            return Ok(());
        };
        match self
            .blocking(Hook::PrePromote, command, pg.hook_timeout)
            .await
        {
            HookEnd::Succeeded => Ok(()),
            end @ (HookEnd::Failed(_) | HookEnd::TimedOut | HookEnd::Superseded) => {
                Err(WorkError::Failed(format!("pre_promote {end}")))
            }
        }
    }

    /// `before_stop`: the stop waits for it, whatever comes of it, but not so long that the stop itself is
    /// late: at most half of what is left until `escalate_at`.
    pub(crate) async fn before_stop(&self, escalate_at: Option<Moment>) {
        if self.hooks.is_silent() {
            return;
        }
        let settings = self.settings();
        let pg = &settings.changing.postgresql;
        let Some(command) = &pg.before_stop else {
            return;
        };
        let left = escalate_at.map(|moment| moment.since(self.now()) / 2);
        let limit = match (pg.hook_timeout, left) {
            (Some(limit), Some(left)) => Some(limit.min(left)),
            (limit, left) => limit.or(left),
        };
        self.blocking(Hook::BeforeStop, command, limit).await;
    }

    async fn blocking(&self, hook: Hook, command: &str, limit: Option<Duration>) -> HookEnd {
        let began = self.now();
        let end = match split_command(command) {
            Err(error) => HookEnd::Failed(error.to_string()),
            Ok(words) => {
                let (program, arguments) = words.split_at(1);
                let mut run = hook_command(&program.concat(), self.place.owner());
                run.args(arguments);
                let limit = limit.unwrap_or(Duration::MAX);
                match timeout(limit, output(run)).await {
                    Ok(Ok(_)) => HookEnd::Succeeded,
                    Ok(Err(error @ (RunError::Failed { .. } | RunError::NotStarted { .. }))) => {
                        HookEnd::Failed(error.to_string())
                    }
                    Err(_) => HookEnd::TimedOut,
                }
            }
        };
        let took = self.now().since(began);
        let run = self.hooks.callbacks.run(None, took, end.clone());
        self.hooks.callbacks.note(hook, run);
        end
    }
}
