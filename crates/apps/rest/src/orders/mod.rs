//! Orders: what changes something (contract §16.7).

mod config;
mod failsafe;
mod member;
mod switch;

use hyper::Method;
use pgherd_api::orders::SwitchKind;

use crate::app::App;
use crate::manner::Manner;
use crate::reply::Reply;

/// What comes with an order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letter<'a> {
    /// The body; `None`: the request had no length.
    pub(crate) body: Option<&'a [u8]>,
    /// For how long a leader asks this member not to race, as its header has it.
    pub(crate) span: Option<&'a str>,
}

/// Every order there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    PatchConfig,
    PutConfig,
    Reload,
    Sigterm,
    Restart,
    CancelRestart,
    Reinitialize,
    Delayed,
    Switch(SwitchKind),
    CancelSwitchover,
    Failsafe,
    Citus,
}

impl Order {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 13] = [
        Self::PatchConfig,
        Self::PutConfig,
        Self::Reload,
        Self::Sigterm,
        Self::Restart,
        Self::CancelRestart,
        Self::Reinitialize,
        Self::Delayed,
        Self::Switch(SwitchKind::Switchover),
        Self::Switch(SwitchKind::Failover),
        Self::CancelSwitchover,
        Self::Failsafe,
        Self::Citus,
    ];

    /// The order behind a method and the first segment of a path.
    pub(crate) fn of(method: &Method, segment: &str) -> Option<Self> {
        Some(match (method.as_str(), segment) {
            ("PATCH", "config") => Self::PatchConfig,
            ("PUT", "config") => Self::PutConfig,
            ("POST", "reload") => Self::Reload,
            ("POST", "sigterm") => Self::Sigterm,
            ("POST", "restart") => Self::Restart,
            ("DELETE", "restart") => Self::CancelRestart,
            ("POST", "reinitialize") => Self::Reinitialize,
            ("POST", "delayed") => Self::Delayed,
            ("POST", "switchover") => Self::Switch(SwitchKind::Switchover),
            ("POST", "failover") => Self::Switch(SwitchKind::Failover),
            ("DELETE", "switchover") => Self::CancelSwitchover,
            ("POST", "failsafe") => Self::Failsafe,
            ("POST", "citus" | "mpp") => Self::Citus,
            _ => return None,
        })
    }

    /// Whether the caller's address counts. A leader that can not reach the store asks for promises whose
    /// addresses nobody can look up then, so that the members' part alone restricts nothing.
    pub(crate) fn is_restricted(self, manner: &Manner) -> bool {
        manner.has_allowlist || manner.members_allowed && self != Self::Failsafe
    }
}

/// Does it, and answers. Whoever asks has been let through already.
pub(crate) async fn carry_out(app: &App, order: Order, letter: Letter<'_>) -> Reply {
    let body = letter.body;
    let done = match order {
        Order::PatchConfig => config::patch(app, body).await,
        Order::PutConfig => config::put(app, body).await,
        Order::Reload => {
            app.desk.reload.wake();
            app.desk.wake.wake();
            Ok(Reply::sentence(202, "reload scheduled"))
        }
        // has an effect only on the test build of another system; elsewhere it is accepted
        Order::Sigterm => Ok(Reply::sentence(202, "shutdown scheduled")),
        Order::Restart => member::restart(app, body).await,
        Order::CancelRestart => member::cancel_restart(app).await,
        Order::Reinitialize => member::reinitialize(app, body).await,
        Order::Delayed => member::delayed(app, body).await,
        Order::Switch(kind) => switch::switch(app, kind, body).await,
        Order::CancelSwitchover => switch::cancel(app).await,
        // an event for a coordinator, which this never is: heard, and nothing to do
        Order::Citus => match pgherd_api::orders::required(body) {
            Ok(_) => Ok(Reply::sentence(200, "OK")),
            Err(rejection) => Err(rejection.into()),
        },
        Order::Failsafe => failsafe::promise(app, letter).await,
    };
    done.unwrap_or_else(|refusal| refusal)
}
